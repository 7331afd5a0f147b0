"""Networks of the papers: the same parameters, and the same function as timm's own.

The figures are the papers', as printed and in their units: ECA-Net's tables count M = 2^20, the
others 10^6, all to the last printed digit.
"""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.architecture import parse
from attentune.spaces.build import build
from attentune.spaces.timm_compat import import_timm
from torch import Tensor, nn

MILLION, MEBI = 10**6, 2**20


def make(text: str, **options) -> nn.Module:
    options = {"num_classes": 1000, "image_size": None, **options}
    return build(parse(text), seed=0, **options).eval()


def parameters(text: str) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in make(text).parameters())


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("resnet18", 11_689_512),
        ("resnet18+se(r=16)@all.residual", 11_776_552),
        ("resnet50+se(r=16,bias=true)@all.residual", 28_088_024),
        ("resnet50+eca@all.residual", 25_557_032 + 3 * 5 + 4 * 5 + 6 * 5 + 3 * 7),
        ("mobilenetv2_100+ca(r=32)@all.mid", 3_951_504),
    ],
)
def test_the_exact_number_of_parameters(text, number):
    assert parameters(text) == number


@pytest.mark.parametrize(
    ("text", "published", "unit"),
    [
        # CBAM (arXiv 1807.06521), table 4
        ("resnet18", "11.69", MILLION),
        ("resnet18+se@all.residual", "11.78", MILLION),
        ("resnet18+cbam(bias=true)@all.residual", "11.78", MILLION),
        ("resnet50", "25.56", MILLION),
        ("resnet50+se(bias=true)@all.residual", "28.09", MILLION),
        ("resnet50+cbam(bias=true)@all.residual", "28.09", MILLION),
        # ECA-Net (arXiv 1910.03151), table 3
        ("resnet50", "24.37", MEBI),
        ("resnet50+se@all.residual", "26.77", MEBI),
        ("resnet50+eca@all.residual", "24.37", MEBI),
        # coordinate attention (arXiv 2103.02907), table 3: 32 is CA's ratio, 24 that of the others
        ("mobilenetv2_100", "3.50", MILLION),
        ("mobilenetv2_100+se(r=24,bias=true)@all.mid", "3.89", MILLION),
        ("mobilenetv2_100+ca(r=32)@all.mid", "3.95", MILLION),
    ],
)
def test_the_published_size_in_the_papers_unit(text, published, unit):
    digits = len(published.partition(".")[2])
    assert parameters(text) / unit == pytest.approx(float(published), abs=0.51 * 10**-digits)


SENET = [
    # arXiv 1709.01507: ratios (table 10), then stages (table 17), whose stage 2 is our s1
    ("resnet50+se(r=2,bias=true)@all.residual", 45.7),
    ("resnet50+se(r=4,bias=true)@all.residual", 35.7),
    ("resnet50+se(r=8,bias=true)@all.residual", 30.7),
    ("resnet50+se(r=16,bias=true)@all.residual", 28.1),
    ("resnet50+se(r=32,bias=true)@all.residual", 26.9),
    ("resnet50+se(bias=true)@s1.residual", 25.6),
    ("resnet50+se(bias=true)@s2.residual", 25.7),
    ("resnet50+se(bias=true)@s3.residual", 26.4),
]


@pytest.mark.parametrize(("text", "published"), SENET)
def test_the_senet_papers_ratios_and_stages(text, published):
    # The printed sizes are sums of rounded ones: a tenth of a million is their precision.
    assert parameters(text) / MILLION == pytest.approx(published, abs=0.1)


def as_in_timm(key: str, value: Tensor) -> tuple[str, Tensor]:
    """Our SE after a norm, in the words of timm's blocks; linear layers as 1×1 convolutions."""
    if ".attention.se." not in key:
        return key, value
    block = key.partition(".attention.se.")[0].rpartition(".")[0]
    layer = key.rpartition(".attention.se.")[2]
    return f"{block}.se.{layer}", value[:, :, None, None] if value.dim() == 2 else value


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("resnet50+se(r=16,bias=true)@all.residual", "seresnet50"),
        # timm rounds the hidden width to a multiple of 8, which for 64 channels makes 8 of 4.
        (
            "resnet18+se(r=8,bias=true)@s1.residual+se(r=16,bias=true)@s2-s4.residual",
            "seresnet18",
        ),
    ],
)
def test_se_at_residual_is_timms_own_se_resnet(text, own):
    ours, theirs = make(text, image_size=64), import_timm().create_model(own).eval()
    renamed = dict(as_in_timm(key, value) for key, value in ours.state_dict().items())
    theirs.load_state_dict(renamed, strict=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours(x))
