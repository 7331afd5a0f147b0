"""Insertion points: what running a backbone finds, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
from attentune.errors import BackboneError
from attentune.spaces.architecture import ALL, Place
from attentune.spaces.backbones import discover
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.sites import Site, SiteMap, site_map_from_json, site_map_to_json
from attentune.spaces.backbones.timm_compat import backbone_names, check_backbone, import_timm

EVERYWHERE = ("residual", "mid", "pre", "identity", "post", "stage")
NO_SHORTCUT = ("residual", "mid", "pre", "post", "stage")


def at(sites: SiteMap, label: str) -> Site:
    (found,) = (site for site in sites.sites if site.label == label)
    return found


# --- stages, blocks, positions --------------------------------------------------------------------

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


@pytest.mark.parametrize(
    ("backbone", "number", "first"),
    [
        ("resnet18", 0, None),
        ("convnext_tiny", 0, None),
        ("densenet121", 0, None),
        ("seresnet50", 16, "layer1.0.se"),
        ("regnety_002", 13, "s1.b1.se"),
        ("efficientnet_b0", 16, "blocks.0.0.se"),
        ("mobilenetv3_small_050", 9, "blocks.0.0.se"),
        ("ecaresnet26t", 8, "layer1.0.se"),
    ],
)
def test_the_backbones_own_attention_is_found(backbone, number, first):
    own = find_sites(backbone).own_attention
    assert len(own) == number
    assert first is None or own[0] == first


def test_without_its_own_attention_the_branch_ends_at_the_norm():
    stripped = find_sites("seresnet50", strip_attention=True)
    assert at(stripped, "s1b1.residual").anchor == ("out", "layer1.0.bn3")
    assert stripped.own_attention == find_sites("seresnet50").own_attention


def test_sizes_follow_the_picture_and_the_stem():
    last = {
        (size, stem): find_sites("resnet18", image_size=size, stem=stem).sites[-1]
        for size, stem in [(224, "native"), (32, "native"), (32, "small")]
    }
    assert {key: (site.height, site.width) for key, site in last.items()} == {
        (224, "native"): (7, 7),
        (32, "native"): (1, 1),
        (32, "small"): (4, 4),
    }
    assert last[32, "native"].degenerate
    assert not last[32, "small"].degenerate


@pytest.mark.parametrize(
    "backbone",
    ["vgg11_bn", "rexnet_100", "resnet18", "densenet121", "nest_tiny", "swin_s3_tiny_224"],
)
def test_stages_and_blocks_do_not_depend_on_the_picture(backbone):
    for size in (16, 20, 32, 65):
        try:
            tiny = find_sites(backbone, image_size=size)
        except BackboneError:
            continue  # too small for this backbone's pooling
        large = find_sites(backbone)
        assert [(s.label, s.anchor) for s in tiny.sites] == [
            (s.label, s.anchor) for s in large.sites
        ]


def test_a_tag_of_pretrained_weights_is_part_of_the_name():
    tagged = find_sites("resnet18.a1_in1k")
    assert tagged.backbone == "resnet18.a1_in1k"
    assert tagged.sites == find_sites("resnet18").sites


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("vit_tiny_patch16_224", "vit_tiny_patch16_224 has no site .* works on tokens"),
        ("mixer_s32_224", "works on tokens"),
        ("resnet81", "timm has no model 'resnet81'; did you mean 'resnet"),
        ("zzz", "timm has no model 'zzz'$"),
        ("resnet18.a9_in1k", "no pretrained weights 'a9_in1k' for resnet18; did you mean 'a"),
    ],
)
def test_a_backbone_without_sites_is_refused_with_the_reason(backbone, message):
    with pytest.raises(BackboneError, match=message):
        find_sites(backbone)


def test_a_picture_that_is_too_small_is_refused():
    with pytest.raises(BackboneError, match="cannot be run on images of 1×1 pixels"):
        find_sites("vgg11_bn", image_size=1)


# --- memory ---------------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A cache of its own, and a count of how often a backbone was run."""
    runs = []
    run = discover._run

    def counted(*args, **options):
        runs.append(args)
        return run(*args, **options)

    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(discover, "_run", counted)
    discover._find_sites.cache_clear()
    yield tmp_path, runs
    discover._find_sites.cache_clear()


def test_a_site_map_is_found_once_and_remembered_on_disk(cached):
    folder, runs = cached
    first = find_sites("test_resnet")
    discover._find_sites.cache_clear()  # as if in another process
    assert find_sites("test_resnet") == first
    assert len(runs) == 1
    assert len(list(folder.rglob("*"))) == 2  # one folder, one file, no draft


def test_pictures_of_another_size_have_the_same_sites_with_other_maps(cached):
    folder, runs = cached
    native, tiny = find_sites("test_resnet"), find_sites("test_resnet", image_size=33)
    assert native.image_size == (160, 160)
    assert tiny.image_size == (33, 33)
    assert [(s.label, s.anchor, s.channels) for s in tiny.sites] == [
        (s.label, s.anchor, s.channels) for s in native.sites
    ]
    assert [s.height for s in tiny.sites_at(ALL, "stage")] == [9, 5, 3, 2]
    assert len(runs) == len(list(folder.rglob("*.json"))) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"backbone": 1}', '{"sites": [{}]}'])
def test_a_damaged_cache_is_found_again_and_repaired(cached, damage):
    folder, runs = cached
    first = find_sites("test_resnet")
    (file,) = folder.rglob("*.json")
    file.write_text(damage)
    discover._find_sites.cache_clear()
    assert find_sites("test_resnet") == first
    assert len(runs) == 2
    assert json.loads(file.read_text())["backbone"] == "test_resnet"


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("ATTENTUNE_CACHE", str(blocked))
    discover._find_sites.cache_clear()
    assert find_sites("test_resnet").blocks == {1: 1, 2: 1, 3: 1, 4: 1}
    discover._find_sites.cache_clear()


def test_a_site_map_survives_json():
    sites = find_sites("regnety_002", image_size=64)
    assert site_map_from_json(json.loads(json.dumps(site_map_to_json(sites)))) == sites


# --- timm -----------------------------------------------------------------------------------------


def test_timm_is_there_with_its_names():
    assert import_timm().create_model("test_resnet", num_classes=2) is not None
    assert {"resnet18", "convnext_tiny"} <= set(backbone_names())
    check_backbone("resnet50.a1_in1k")


def test_another_failure_of_torchvision_is_not_covered_up(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator x::y does not exist')")
    script = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from attentune.spaces.backbones.timm_compat import import_timm
        try:
            import_timm()
        except RuntimeError as error:
            assert str(error) == "operator x::y does not exist", error
        else:
            sys.exit("it was covered up")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)
