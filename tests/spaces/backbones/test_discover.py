"""Backbones of every kind: where their sites are, and that attention works there and only there.

The full sweep over all of timm's names is `benchmarks/sites_sweep.py`.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
import torch
from attentune.errors import BackboneError
from attentune.spaces.architecture import ALL, Architecture, Insertion, parse
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.backbones import discover
from attentune.spaces.backbones.discover import choose_stem, find_sites, sites
from attentune.spaces.backbones.sites import SiteMap
from attentune.spaces.networks.build import build_network, create_model
from attentune.spaces.networks.placement import placements
from torch import Tensor, nn

ALL_POSITIONS = "residual mid pre identity post stage"


def make(text: str, size: int, **options) -> nn.Module:
    return build_network(parse(text), num_classes=3, image_size=size, seed=0, **options).eval()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def everywhere(sites: SiteMap, name: str = "eca", **options) -> Architecture:
    insertions = [Insertion.of(name, position, **options) for position in sites.positions]
    return Architecture(sites.backbone, tuple(insertions))


def watched(model: nn.Module) -> list[tuple[int, ...]]:
    """The shapes (C, H, W) of what the model's ECA modules are given."""
    shapes: list[tuple[int, ...]] = []
    for module in model.modules():
        if isinstance(module, get_attention("eca").load()):
            module.register_forward_pre_hook(
                lambda _, args: shapes.append(tuple(args[0].shape[1:]))
            )
    return shapes


# --- a sample of families -------------------------------------------------------------------------

SAMPLE = [
    # backbone, size of images, blocks of every stage, positions
    # maps with shortcuts
    ("res2net50_26w_4s", 64, "3+4+6+3", ALL_POSITIONS),
    ("resnest14d", 64, "1+1+1+1", ALL_POSITIONS),
    ("skresnet18", 64, "2+2+2+2", ALL_POSITIONS),
    ("legacy_seresnet18", 64, "2+2+2+2", ALL_POSITIONS),
    ("test_nfnet", 64, "1+1+1+1", ALL_POSITIONS),
    ("cspresnet50", 64, "3+3+5+2", ALL_POSITIONS),
    ("dla34", 64, "2+4+4+2", ALL_POSITIONS),
    ("hrnet_w18_small", 64, "1+4+6+8+1+1+1+1", ALL_POSITIONS),
    ("xception41", 64, "1+1+9+2", ALL_POSITIONS),
    ("inception_next_atto", 64, "2+2+6+2", ALL_POSITIONS),
    ("convmixer_768_32", 64, "32", ALL_POSITIONS),
    ("fasternet_t0", 64, "1+2+8+2", ALL_POSITIONS),
    ("starnet_s050", 64, "2+2+4+2", ALL_POSITIONS),
    # narrow ends
    ("ghostnet_050", 64, "1+1+1+1+1+1+5+1+4+1", ALL_POSITIONS),
    ("mobilenetv4_conv_small_035", 64, "2+2+6+6+1", ALL_POSITIONS),
    ("rexnet_100", 64, "1+2+2+6+6", ALL_POSITIONS),
    ("mixnet_s", 64, "1+2+4+3+3+3", ALL_POSITIONS),
    ("lcnet_035", 64, "1+2+2+2+4+2", "residual mid pre post stage"),
    # concatenation, chains, kernels that melt into one
    ("dpn68", 64, "3+4+12+3", "mid pre post stage"),
    ("selecsls42", 64, "2+2+2", "residual mid pre post stage"),
    ("hgnetv2_b0", 64, "1+1+2+1", "residual mid post stage"),
    ("ese_vovnet19b_dw", 64, "1+1+1+1", "residual post stage"),
    ("inception_v3", 96, "3+5+3", "residual post stage"),
    ("repvgg_a0", 64, "2+4+14+1", "post stage"),
    ("fastvit_t8", 64, "2+2+4+2", "residual mid pre post stage"),
    # convolution and attention
    ("test_maxvit", 64, "3+3+3+3", ALL_POSITIONS),
    ("efficientvit_b0", 64, "2+2+5+5", ALL_POSITIONS),
    ("edgenext_xx_small", 64, "2+2+6+2", ALL_POSITIONS),
    ("mobilevit_xxs", 64, "1+3+2+2+2", ALL_POSITIONS),
    ("levit_conv_128s", 64, "2+3+4", "residual pre post stage"),
    # channels last
    ("swin_tiny_patch4_window7_224", 64, "2+2+6+2", "residual pre identity post stage"),
    ("swinv2_cr_tiny_ns_224", 64, "2+2+6+2", "residual post stage"),
    ("mambaout_femto", 64, "3+3+9+3", "residual pre identity post stage"),
    ("gcvit_xxtiny", 64, "5+4+7+3", ALL_POSITIONS),
    ("sam2_hiera_tiny", 64, "1+2+7+2", "residual pre post stage"),
    ("hiera_tiny_224", 64, "1+2+7+2", "residual pre post stage"),  # as tokens: test_hiera.py
    ("volo_d1_224", 64, "4+4+8+2", "residual pre post stage"),
    ("tiny_vit_5m_224", 64, "2+2+6+2", ALL_POSITIONS),
    # tokens inside, maps between
    ("davit_tiny", 64, "2+2+6+2", "post stage"),
    ("caformer_s18", 64, "3+3+1+1", "residual pre identity post stage"),
    ("pvt_v2_b0", 64, "1+1+1+1", "post stage"),
    ("nest_tiny", 64, "1+1+1", "post stage"),
]


SLOW = frozenset(
    (
        *("res2net50_26w_4s", "skresnet18", "cspresnet50", "xception41", "convmixer_768_32"),
        *("rexnet_100", "mixnet_s", "dpn68", "selecsls42", "inception_v3", "edgenext_xx_small"),
        *("mobilevit_xxs", "levit_conv_128s", "swinv2_cr_tiny_ns_224", "gcvit_xxtiny"),
        *("sam2_hiera_tiny", "volo_d1_224", "tiny_vit_5m_224", "davit_tiny", "caformer_s18"),
        *("nest_tiny", "gc_efficientnetv2_rw_t", "efficientnet_b0", "tresnet_m"),
        *("eca_resnext26ts", "gcresnext26ts", "repvit_m0_9", "eca_vovnet39b"),
    )
)
"""Backbones of a kind for which a faster one stands in the tests that always run."""


def marked(rows):
    """Parameters that begin with a backbone, those of `SLOW` marked."""
    marks = {True: (pytest.mark.slow,), False: ()}
    return [pytest.param(*row, marks=marks[row[0] in SLOW]) for row in rows]


@pytest.mark.parametrize(("backbone", "size", "blocks", "positions"), marked(SAMPLE))
def test_a_family_has_its_sites_and_attention_works_there(backbone, size, blocks, positions):
    sites = find_sites(backbone, image_size=size)
    assert "+".join(map(str, sites.blocks.values())) == blocks
    assert sites.positions == tuple(positions.split())
    architecture = everywhere(sites, start="identity")
    places = [placement.site for placement in placements(architecture, sites)]
    plain = make(backbone, size)
    model = build_network(architecture, num_classes=3, image_size=size, seed=0).eval()
    shapes = watched(model)
    x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(x), plain(x))
    # Every one is run once, on a map as large as its site says, channels first.
    assert Counter(shapes) == Counter((s.channels, s.height, s.width) for s in places)
    kernels = sum(
        get_attention("eca").parameters(s.channels, {"k": "auto"}, (1, 1)) for s in places
    )
    assert count(model) - count(plain) == kernels


# --- channels last --------------------------------------------------------------------------------


def identity(x: Tensor) -> Tensor:
    return x


def swin_block(b, x, residual, pre, shortcut, post):
    n, height, width, c = x.shape
    x = shortcut(x) + residual(b._attn(b.norm1(pre(x))))
    x = x.reshape(n, -1, c)
    x = x + b.mlp(b.norm2(x))
    return post(x.reshape(n, height, width, c))


def mambaout_block(b, x, residual, pre, shortcut, post):
    whole = b.fc1(b.norm(pre(x)))
    gate, kept, mixed = torch.split(whole, b.split_indices, dim=-1)
    mixed = b.conv(mixed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    y = b.fc2(b.act(gate) * torch.cat((kept, mixed), dim=-1))
    return post(residual(b.ls(y)) + shortcut(x))


@pytest.mark.parametrize("position", ["residual", "pre", "identity", "post"])
@pytest.mark.parametrize(
    ("backbone", "path", "forward"),
    [
        ("swin_tiny_patch4_window7_224", "layers.1.blocks.1", swin_block),
        ("test_mambaout", "stages.2.blocks.1", mambaout_block),
    ],
)
def test_attention_on_a_channels_last_map_is_shown_its_channels(backbone, path, forward, position):
    place = "s2b2" if "swin" in backbone else "s3b2"
    model = make(f"{backbone}+ca(r=4)@{place}.{position}", 64)
    plain = make(backbone, 64).get_submodule(path)
    block = model.get_submodule(path)
    kind = get_attention("ca").load()
    (inserted,) = (m for m in model.modules() if isinstance(m, kind))

    def attended(x: Tensor) -> Tensor:
        return inserted(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    slots = dict.fromkeys(("residual", "pre", "shortcut", "post"), identity)
    slots[{"identity": "shortcut"}.get(position, position)] = attended
    channels = next(m for m in block.modules() if isinstance(m, nn.LayerNorm)).normalized_shape[0]
    x = torch.randn(2, 8, 8, channels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output, expected = block(x), forward(plain, x, **slots)
        assert not torch.equal(output, plain(x))
    torch.testing.assert_close(output, expected)


def test_a_backbone_of_one_size_is_built_for_the_size_that_is_asked_for():
    text = "swin_tiny_patch4_window7_224+ca(r=4)@all.residual"
    model = create_model(text, image_size=96, num_classes=3).eval()
    assert model(torch.randn(1, 3, 96, 96)).shape == (1, 3)
    assert create_model(text).patch_embed.img_size == (224, 224)


# --- the backbone's own attention -----------------------------------------------------------------

OWN = [
    # backbone, modules, the same network in timm without attention
    ("seresnet18", 8, "resnet18"),
    ("legacy_seresnet18", 8, None),
    ("seresnext26ts", 8, "resnext26ts"),
    ("ecaresnet26t", 8, "resnet26t"),
    ("eca_resnext26ts", 8, "resnext26ts"),
    ("gcresnext26ts", 8, "resnext26ts"),
    ("test_nfnet", 4, None),
    ("efficientnet_b0", 16, None),
    ("gc_efficientnetv2_rw_t", 29, None),
    ("mobilenetv3_small_050", 9, None),
    ("regnety_002", 13, None),
    ("ghostnet_050", 7, None),
    ("rexnet_100", 13, None),
    ("hardcorenas_a", 8, None),
    ("tinynet_e", 10, None),
    ("ese_vovnet19b_dw", 4, None),
    ("eca_vovnet39b", 6 - 2, None),
    ("cspnext_tiny", 4, None),
    ("sedarknet21", 7, None),
    ("tresnet_m", 18, None),
    ("repvit_m0_9", 10, None),
    ("test_coatnet", 2, None),
]


@pytest.mark.parametrize(("backbone", "number", "twin"), marked(OWN))
def test_the_backbones_own_attention_is_removed_cleanly(backbone, number, twin):
    own = find_sites(backbone).own_attention
    assert len(own) == number
    full, bare = make(backbone, 64), make(f"{backbone}(attention=none)", 64)
    assert all(count(full.get_submodule(one.module)) == one.parameters for one in own)
    assert count(full) - count(bare) == sum(one.parameters for one in own) > 0
    with torch.no_grad():
        output = bare(torch.randn(1, 3, 64, 64))
        if twin is not None:
            reference = make(twin, 64)
            reference.load_state_dict(bare.state_dict())
            x = torch.randn(1, 3, 64, 64)
            assert torch.equal(reference(x), bare(x))
    assert output.shape == (1, 3)


@pytest.mark.parametrize("backbone", ["resnet18", "skresnet18", "resnest14d", "convnext_atto"])
def test_attention_that_is_woven_into_a_convolution_is_not_taken_for_a_module(backbone):
    assert find_sites(backbone).own_attention == ()


# --- features_only --------------------------------------------------------------------------------


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
    assert first is None or own[0].module == first


def test_sizes_follow_the_image_and_the_stem():
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


def test_a_tag_of_pretrained_weights_is_part_of_the_name():
    tagged = find_sites("resnet18.a1_in1k")
    assert tagged.backbone == "resnet18.a1_in1k"
    assert tagged.sites == find_sites("resnet18").sites


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (
            "vit_tiny_patch16_224",
            "vit_tiny_patch16_224 has no site .* works on tokens.*choose a backbone",
        ),
        ("mixer_s32_224", "works on tokens"),
        ("resnet81", "timm has no model 'resnet81'; did you mean 'resnet"),
        ("zzz", "timm has no model 'zzz'$"),
        ("resnet18.a9_in1k", "no pretrained weights 'a9_in1k' for resnet18; did you mean 'a"),
    ],
)
def test_a_backbone_without_sites_is_refused_with_the_reason(backbone, message):
    with pytest.raises(BackboneError, match=message):
        find_sites(backbone)


def test_an_image_that_is_too_small_is_refused():
    with pytest.raises(BackboneError, match="cannot be run on images of 1×1 pixels"):
        find_sites("vgg11_bn", image_size=1)


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


def test_images_of_another_size_have_the_same_sites_with_other_maps(cached):
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
    assert json.loads(file.read_text())["content"]["backbone"] == "test_resnet"


def test_a_changed_digit_in_the_cache_is_not_believed(cached):
    folder, runs = cached
    first = find_sites("test_resnet")
    (file,) = folder.rglob("*.json")
    whole = file.read_text()
    position = whole.index('"channels": ') + len('"channels": ')
    file.write_text(whole[:position] + "9" + whole[position + 1 :])
    discover._find_sites.cache_clear()
    assert find_sites("test_resnet") == first
    assert len(runs) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("ATTENTUNE_CACHE", str(blocked))
    discover._find_sites.cache_clear()
    assert find_sites("test_resnet").blocks == {1: 1, 2: 1, 3: 1, 4: 1}
    discover._find_sites.cache_clear()


@pytest.mark.parametrize(
    ("backbone", "size", "stem"),
    [
        ("resnet18", 32, "small"),
        ("resnet18", 48, "small"),
        ("resnet18", 64, "native"),
        ("resnet18", 224, "native"),
        ("vgg11_bn", 64, "native"),
    ],
)
def test_the_stem_is_chosen_by_the_size_of_the_last_map(backbone, size, stem):
    assert choose_stem(backbone, size) == stem


def test_the_stem_of_a_network_of_ones_own_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(
        "import timm\ndef make():\n    return timm.create_model('test_resnet', in_chans=3)\n"
    )
    assert choose_stem("test_resnet", 32) == "small"
    assert choose_stem("net.py:make", 32) == "native"


def test_sites_are_those_of_the_site_map_in_the_order_of_the_network():
    listed = sites("resnet18", image_size=64, stem="small")
    assert listed == find_sites("resnet18", image_size=64, stem="small").sites
    assert listed[0].to_json() == {
        "stage": 1,
        "block": 1,
        "position": "residual",
        "channels": 64,
        "height": 64,
        "width": 64,
        "module": "layer1.0.bn2",
    }
    with pytest.raises(BackboneError, match="works on tokens"):
        sites("vit_tiny_patch16_224")
