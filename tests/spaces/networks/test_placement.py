"""Which attention goes to which site, with which resolved options, and in which order."""

from __future__ import annotations

import pytest
from attentune.errors import ArchitectureError
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.networks.placement import Placement, placements, resolve_options


def place(text: str) -> list[Placement]:
    architecture = parse(text)
    return placements(architecture, find_sites(architecture.backbone, image_size=64))


def test_placements_follow_the_text_and_count_what_precedes_them_at_one_anchor():
    placed = place("resnet18+se@s1.residual+eca@s1b2.residual+ca@s2b1.mid")
    assert [str(placement) for placement in placed] == [
        "se at s1b1.residual (layer1.0.bn2)",
        "se at s1b2.residual (layer1.1.bn2)",
        "eca at s1b2.residual (layer1.1.bn2)",
        "ca at s2b1.mid (layer2.0.act1)",
    ]
    assert [placement.order for placement in placed] == [0, 0, 1, 0]


def test_options_that_build_one_module_resolve_alike():
    first, second = (parse(f"resnet18+se(r={r})@all.residual").insertions[0] for r in (33, 48))
    assert resolve_options(first, 64) == resolve_options(second, 64)
    assert resolve_options(first, 512) != resolve_options(second, 512)
    assert dict(resolve_options(first, 512))["width"] == 512 // 33


def test_an_attention_that_replaces_a_convolution_is_told_its_shape_but_not_its_path():
    (placement,) = place("resnet18+sk@s2b1.mid")
    convolution = placement.arguments["convolution"]
    assert (convolution.module, convolution.kernel, convolution.stride) == ("", 3, 2)
    assert placement.site.convolution.module == "layer2.0.conv1"


def test_a_site_that_does_not_exist_is_refused():
    with pytest.raises(ArchitectureError, match="has no s9"):
        place("resnet18+se@s9.residual")
