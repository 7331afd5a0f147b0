"""Sites and site maps as values: what an insertion selects, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from attentune.errors import ArchitectureError
from attentune.spaces.architecture import ALL, Place, parse
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.sites import SiteMap, site_map_from_json, site_map_to_json
from attentune.spaces.backbones.stages import find_stages
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.backbones.trace import trace_model
from attentune.spaces.backbones.trace_sites import list_sites, remove_own_attention


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


# --- the backbone's own attention -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "place", "modules"),
    [
        ("seresnet18", "s2b1", ["layer2.0.se"]),
        (
            "mobilenetv3_small_050",
            "s3-s4",
            [f"blocks.{s}.{b}.se" for s, b in ("20", "21", "22", "30", "31")],
        ),
        ("test_byobnet", "s2", ["stages.1.0.attn_last"]),
        ("ese_vovnet19b_slim", "s2", ["stages.1.blocks.0.attn"]),  # in its stage, in no block
    ],
)
def test_sites_after_a_removal_are_those_that_a_trace_finds(backbone, place, modules):
    places = parse(f"{backbone}(attention=none@{place})").removed
    sites = find_sites(backbone)
    assert [own.module for own in sites.own_attention_at(places)] == modules
    with torch.device("meta"):
        model = import_timm().create_model(backbone).eval()
        remove_own_attention(model, modules)
        trace = trace_model(model, torch.zeros(1, 3, *sites.image_size))
    assert sites.without_own_attention(places).sites == list_sites(trace, find_stages(trace))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet18(attention=none@s1)", "resnet18 has no attention of its own to remove"),
        ("test_efficientnet(attention=none@s3)", "none of its own in s3, but in s4, s5"),
        ("test_efficientnet(attention=none@s9)", "has no s9; its stages are s1 to s5"),
        ("mobilenetv3_small_050(attention=none@s3b9)", "its s3 has blocks b1 to b3"),
        ("lcnet_075(attention=none@s6b9)", r"has no s6b9"),
    ],
)
def test_a_place_without_own_attention_is_refused_with_what_is_there(text, message):
    architecture = parse(text)
    sites = find_sites(architecture.backbone)
    message = message.replace("none of its own", "no attention of its own")
    with pytest.raises(ArchitectureError, match=message):
        sites.check_architecture(architecture)
    assert sites.without_own_attention(()) is sites
    sites.check_architecture(parse(f"{architecture.backbone}(attention=none)"))
