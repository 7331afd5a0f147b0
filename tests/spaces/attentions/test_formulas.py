"""How many parameters every attention adds: the papers' numbers and the catalogue's formulas."""

from __future__ import annotations

import pytest
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.formulas import channel_groups, eca_kernel
from attentune.spaces.attentions.registry import get_attention
from torch import nn

GOLDEN = [
    ("se", 256, {"r": 16}, 2 * 256 * 16),
    ("se", 256, {"r": 16, "bias": True}, 2 * 256 * 16 + 16 + 256),
    ("se", 8, {"r": 16}, 2 * 8 * 1),
    ("se", 100, {"r": 16}, 2 * 100 * 6),
    ("eca", 64, {"k": "auto"}, 3),
    ("eca", 2048, {"k": "auto"}, 7),
    ("eca", 64, {"k": 9}, 9),
    ("cbam", 64, {"r": 16}, 2 * 64 * 4 + 2 * 49 + 2),
    ("cbam", 64, {"r": 16, "k": 3, "bias": True}, 2 * 64 * 4 + 4 + 64 + 2 * 9 + 2),
    ("ca", 64, {"r": 32}, 64 * 8 + 8 + 16 + 2 * (8 * 64 + 64)),
    ("ca", 512, {"r": 32}, 512 * 16 + 16 + 32 + 2 * (16 * 512 + 512)),
    ("nl", 64, {"r": 2}, 3 * (64 * 32 + 32) + 32 * 64 + 64 + 2 * 64),
    ("gc", 256, {"r": 16}, 257 + (256 * 16 + 16) + 32 + (16 * 256 + 256)),
    ("a2", 64, {"r": 4}, 3 * (64 * 16 + 16) + 16 * 64 + 64),
    ("ese", 256, {}, 256 * 256 + 256),
    ("channel", 64, {"r": 16}, 2 * 64 * 4),
    ("spatial", 64, {}, 100),
    ("srm", 64, {}, 4 * 64),
    ("fca", 256, {"r": 16}, 2 * 256 * 16),
    ("gct", 64, {}, 3 * 64),
    ("lct", 256, {}, 2 * 256),
    ("sge", 256, {}, 2 * 64),
    ("bam", 256, {}, 2 * 256 * 16 + 16 + 3 * 256 + 256 * 16 + 18 * 256 + 4 * 16 + 3),
    ("scse", 64, {}, 2 * 64 * 32 + 64),
    ("triplet", 64, {}, 3 * (2 * 49 + 2)),
    ("shuffle", 256, {}, 3 * 256 // 64),
    ("ela", 256, {}, 256 * 7 + 2 * 256),
    ("ema", 256, {}, 10 * 8 * 8 + 4 * 8),
    ("strip", 64, {}, 7 * 64 * 64 + 5 * 64),
    ("ge", 64, {}, 0),
    ("ge", 64, {"extent": "8", "gather": "conv"}, 3 * 11 * 64),
    ("ge", 64, {"extent": "2", "gather": "conv", "mlp": True}, 11 * 64 + 2 * 64 * 4),
    ("simam", 64, {}, 0),
    ("sk", 128, {}, 9 * 128 * 4 + 256 + 128 * 32 + 64 + 2 * 128 * 32),
]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_every_attention_has_a_golden_number():
    assert {name for name, *_ in GOLDEN} == set(ATTENTIONS)


@pytest.mark.parametrize("start", ["paper", "identity"])
@pytest.mark.parametrize(("name", "channels", "options", "golden"), GOLDEN)
def test_parameters_equal_the_catalogues_formula(name, channels, options, golden, start, make):
    entry = get_attention(name)
    settings = {**entry.defaults, **options, "start": start}
    for width in (8, 24, 100, channels):
        expected = entry.parameters(width, settings, (7, 7))
        assert count(make(name, width, options, start)) == expected, width


@pytest.mark.parametrize(("name", "channels", "options", "golden"), GOLDEN)
def test_parameters_equal_the_papers_numbers(name, channels, options, golden, make):
    assert count(make(name, channels, options)) == golden


def test_se_everywhere_in_resnet50_gives_the_papers_28_1_million(make):
    widths = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    added = sum(count(make("se", width, {"r": 16, "bias": True})) for width in widths)
    assert 25_557_032 + added == 28_088_024


def test_modules_in_resnet50_add_what_the_papers_tables_show(make):
    widths = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3

    def everywhere(name, options):
        return sum(count(make(name, width, options)) for width in widths)

    # FcaNet counts like SE; SGE and SimAM keep the 25.56 M; GCT adds 0.05 M, SRM 0.06 M.
    assert everywhere("fca", {}) == everywhere("se", {"r": 16}) == 2_514_944
    assert everywhere("sge", {}) == 16 * 128
    assert everywhere("simam", {}) == 0
    assert everywhere("gct", {}) == 3 * sum(widths)
    assert everywhere("srm", {}) == 4 * sum(widths) == 60_416


@pytest.mark.parametrize(
    ("channels", "kernel"),
    [(4, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)],
)
def test_eca_chooses_the_papers_kernel(channels, kernel):
    assert eca_kernel(channels) == kernel


@pytest.mark.parametrize(
    ("channels", "asked", "groups"),
    [(256, 64, 64), (64, 64, 16), (100, 64, 25), (24, 64, 6), (7, 64, 1), (3, 8, 1), (64, 6, 4)],
)
def test_groups_divide_the_channels_and_leave_four_in_each(channels, asked, groups):
    assert channel_groups(channels, asked) == groups
