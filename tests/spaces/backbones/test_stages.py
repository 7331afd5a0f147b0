"""Stages and blocks are the backbone's own."""

from __future__ import annotations

import pytest
from attentune.errors import BackboneError
from attentune.spaces.architecture import ALL
from attentune.spaces.backbones.discover import find_sites

EVERYWHERE = ("residual", "mid", "pre", "identity", "post", "stage")


NO_SHORTCUT = ("residual", "mid", "pre", "post", "stage")


FAMILIES = [
    ("resnet18", [2, 2, 2, 2], EVERYWHERE),
    ("resnet50", [3, 4, 6, 3], EVERYWHERE),
    ("resnext50_32x4d", [3, 4, 6, 3], EVERYWHERE),
    ("seresnet50", [3, 4, 6, 3], EVERYWHERE),
    ("resnetv2_50", [3, 4, 6, 3], EVERYWHERE),
    ("regnetx_002", [1, 1, 4, 7], EVERYWHERE),
    ("regnety_002", [1, 1, 4, 7], EVERYWHERE),
    ("mobilenetv2_100", [1, 2, 3, 4, 3, 3, 1], EVERYWHERE),
    ("mobilenetv3_small_050", [1, 2, 3, 2, 3, 1], EVERYWHERE),
    ("mobilenetv3_large_100", [1, 2, 3, 4, 2, 3, 1], EVERYWHERE),
    ("efficientnet_b0", [1, 2, 2, 3, 3, 4, 1], EVERYWHERE),
    ("efficientnetv2_rw_t", [2, 4, 4, 6, 9, 14], EVERYWHERE),
    ("convnext_atto", [2, 2, 6, 2], EVERYWHERE),
    ("convnext_tiny", [3, 3, 9, 3], EVERYWHERE),
    ("densenet121", [6, 12, 24, 16], NO_SHORTCUT),
    ("vgg11_bn", [1, 1, 2, 2, 2], ("mid", "post", "stage")),
    ("vgg16", [2, 2, 3, 3, 3], ("mid", "post", "stage")),
    ("test_resnet", [1, 1, 1, 1], EVERYWHERE),
    ("test_efficientnet", [1, 1, 1, 1, 1], NO_SHORTCUT),
    ("test_convnext", [1, 2, 4, 2], EVERYWHERE),
]


@pytest.mark.parametrize(("backbone", "blocks", "positions"), FAMILIES)
def test_a_backbones_own_stages_and_blocks_are_found(backbone, blocks, positions):
    sites = find_sites(backbone)
    assert list(sites.blocks.values()) == blocks
    assert list(sites.blocks) == list(range(1, len(blocks) + 1))
    assert sites.positions == positions
    # Every block has an output, every stage an end.
    assert len(sites.sites_at(ALL, "post")) == sum(blocks)
    assert len(sites.sites_at(ALL, "stage")) == len(blocks)


@pytest.mark.parametrize(
    "backbone",
    ["vgg11_bn", "rexnet_100", "resnet18", "densenet121", "nest_tiny", "swin_s3_tiny_224"],
)
def test_stages_and_blocks_do_not_depend_on_the_image(backbone):
    for size in (16, 20, 32, 65):
        try:
            tiny = find_sites(backbone, image_size=size)
        except BackboneError:
            continue  # too small for this backbone's pooling
        large = find_sites(backbone)
        assert [(s.label, s.anchor) for s in tiny.sites] == [
            (s.label, s.anchor) for s in large.sites
        ]
