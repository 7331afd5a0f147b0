"""Positions lie where their names say, and one point of a network has one anchor."""

from __future__ import annotations

import pytest
from attentune.spaces.architecture import ALL, Place
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.sites import Site, SiteMap


def at(sites: SiteMap, label: str) -> Site:
    (matching,) = (site for site in sites.sites if site.label == label)
    return matching


@pytest.mark.parametrize(
    ("backbone", "label", "channels", "size", "anchor"),
    [
        ("resnet18", "s2b1.residual", 128, 28, ("out", "layer2.0.bn2")),
        ("resnet18", "s2b1.mid", 128, 28, ("out", "layer2.0.act1")),
        ("resnet18", "s2b1.pre", 64, 56, ("in", "layer2.0.conv1")),
        ("resnet18", "s2b1.identity", 128, 28, ("out", "layer2.0.downsample.1")),
        ("resnet18", "s2b2.identity", 128, 28, ("shortcut", "layer2.1", "layer2.1.conv1")),
        ("resnet18", "s2b2.post", 128, 28, ("out", "layer2.1")),
        ("resnet50", "s4b1.mid", 512, 7, ("out", "layer4.0.act2")),
        ("seresnet50", "s1b1.residual", 256, 56, ("out", "layer1.0.se")),
        ("mobilenetv2_100", "s2b1.mid", 96, 56, ("out", "blocks.1.0.bn2")),
        ("mobilenetv2_100", "s2b1.residual", 24, 56, ("out", "blocks.1.0")),
        ("mobilenetv2_100", "s2b2.residual", 24, 56, ("out", "blocks.1.1.bn3")),
        ("efficientnet_b0", "s1b1.mid", 32, 112, ("out", "blocks.0.0.bn1")),
        ("regnety_002", "s3b1.residual", 152, 14, ("out", "s3.b1.conv3")),
        ("regnety_002", "s3b1.mid", 152, 14, ("out", "s3.b1.conv2")),
        ("convnext_tiny", "s1b1.mid", 96, 56, ("out", "stages.0.blocks.0.conv_dw")),
        ("convnext_tiny", "s1b1.residual", 96, 56, ("out", "stages.0.blocks.0.drop_path")),
        ("convnext_tiny", "s1b1.identity", 96, 56, ("out", "stages.0.blocks.0.shortcut")),
        ("densenet121", "s1b2.pre", 96, 56, ("in", "features.denseblock1.denselayer2.norm1")),
        ("densenet121", "s1b2.mid", 32, 56, ("out", "features.denseblock1.denselayer2")),
        ("densenet121", "s1b6.stage", 256, 56, ("in", "features.transition1.norm")),
        ("vgg11_bn", "s3b2.mid", 256, 56, ("out", "features.13")),
    ],
)
def test_a_position_lies_at_the_module_that_makes_the_map(backbone, label, channels, size, anchor):
    site = at(find_sites(backbone), label)
    assert (site.channels, site.height, site.width) == (channels, size, size)
    assert site.anchor == anchor


@pytest.mark.parametrize(
    ("backbone", "one", "other"),
    [
        ("resnet18", "s1b2.post", "s1b2.stage"),
        ("mobilenetv2_100", "s2b1.residual", "s2b1.post"),
        ("mobilenetv2_100", "s1b1.post", "s2b1.pre"),
        ("densenet121", "s1b1.residual", "s1b1.post"),
        ("vgg11_bn", "s1b1.mid", "s1b1.stage"),
    ],
)
def test_positions_that_are_one_point_of_the_network_share_their_anchor(backbone, one, other):
    sites = find_sites(backbone)
    assert at(sites, one).anchor == at(sites, other).anchor


def test_mobilenets_blocks_without_a_shortcut_have_no_identity():
    sites = find_sites("mobilenetv2_100")
    assert not sites.sites_at(Place(2, 2, 1), "identity")
    assert len(sites.sites_at(ALL, "identity")) == 10


def test_without_its_own_attention_the_branch_ends_at_the_norm():
    stripped = find_sites("seresnet50").without_own_attention((ALL,))
    assert at(stripped, "s1b1.residual").anchor == ("out", "layer1.0.bn3")
    assert stripped.own_attention == find_sites("seresnet50").own_attention


@pytest.mark.parametrize(
    ("backbone", "channels", "anchor"),
    [
        # behind the split-attention convolution as a whole, not inside it
        ("resnest14d", 64, ("out", "layer1.0.conv2")),
        ("skresnext50_32x4d", 128, ("out", "layer1.0.conv2")),
        # where the block itself puts parallel convolutions together
        ("res2net50_26w_4s", 104, ("out", "layer1.0.drop_block")),
        ("inception_next_atto", 40, ("out", "stages.0.blocks.0.norm")),
        ("mixnet_s", 24, ("out", "blocks.1.0.bn2")),
    ],
)
def test_mid_is_behind_the_whole_spatial_convolution(backbone, channels, anchor):
    found = {site.anchor: site for site in find_sites(backbone).sites if site.position == "mid"}
    assert anchor in found
    assert found[anchor].channels == channels or backbone == "mixnet_s"
