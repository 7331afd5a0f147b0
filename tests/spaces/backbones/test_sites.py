"""Sites and site maps as values: what an insertion selects, and what is refused."""

from __future__ import annotations

import json

import pytest
from attentune.errors import ArchitectureError
from attentune.spaces.architecture import ALL, Place, parse
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.sites import SiteMap, site_map_from_json, site_map_to_json


@pytest.fixture(scope="module")
def resnet() -> SiteMap:
    return find_sites("resnet18", image_size=64)


def insertion(text: str):
    return parse(f"resnet18+{text}").insertions[0]


def test_a_site_map_survives_json():
    sites = find_sites("regnety_002", image_size=64)
    assert site_map_from_json(json.loads(json.dumps(site_map_to_json(sites)))) == sites


def test_an_insertion_selects_its_sites_in_the_order_of_the_network(resnet):
    selected = resnet.select_sites(insertion("se@s3b2,s1.residual"))
    assert [site.label for site in selected] == ["s1b1.residual", "s1b2.residual", "s3b2.residual"]
    assert resnet.sites_at(Place(1, 1), "residual") == selected[:2]
    assert len(resnet.sites_at(ALL, "stage")) == 4


def test_an_attention_that_replaces_a_convolution_is_accepted_at_mid_only(resnet):
    accepting = {site.position for site in resnet.sites if site.accepts("sk")}
    assert accepting == {"mid"}
    with pytest.raises(ArchitectureError, match=r"sk has a meaning only at mid, not at s1b1\.pre"):
        resnet.select_sites(insertion("sk@s1b1.pre"))


def test_blocks_have_paths_and_a_tiny_map_is_degenerate():
    tiny = find_sites("resnet18", image_size=32)
    assert tiny.blocks == {1: 2, 2: 2, 3: 2, 4: 2}
    assert tiny.block_path(3, 2) == "layer3.1"
    assert {site.stage for site in tiny.sites if site.degenerate} == {4}
