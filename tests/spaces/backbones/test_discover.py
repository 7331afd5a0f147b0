"""Backbones of every kind: where their sites are, and that attention works there and only there.

The full sweep over all of timm's names is `benchmarks/sites_sweep.py`.
"""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from attentune.errors import ArchitectureError, BackboneError
from attentune.spaces.architecture import Architecture, Insertion, parse
from attentune.spaces.attentions.registry import attention
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.sites import SiteMap
from attentune.spaces.networks.build import build_network, create_model
from attentune.spaces.networks.placement import placements
from torch import Tensor, nn

ALL = "residual mid pre identity post stage"


def make(text: str, size: int, **options) -> nn.Module:
    return build_network(parse(text), num_classes=3, image_size=size, seed=0, **options).eval()


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def everywhere(sites: SiteMap, name: str = "eca", **options) -> Architecture:
    insertions = [Insertion.of(name, position, **options) for position in sites.positions]
    return Architecture(sites.backbone, tuple(insertions))


def watched(model: nn.Module) -> list[tuple[int, ...]]:
    """The shapes (C, H, W) of what the model's ECA modules are given."""
    seen: list[tuple[int, ...]] = []
    for module in model.modules():
        if isinstance(module, attention("eca").load()):
            module.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[1:])))
    return seen


# --- a sample of families -------------------------------------------------------------------------

SAMPLE = [
    # backbone, size of pictures, blocks of every stage, positions
    # maps with shortcuts
    ("res2net50_26w_4s", 64, "3+4+6+3", ALL),
    ("resnest14d", 64, "1+1+1+1", ALL),
    ("skresnet18", 64, "2+2+2+2", ALL),
    ("legacy_seresnet18", 64, "2+2+2+2", ALL),
    ("test_nfnet", 64, "1+1+1+1", ALL),
    ("cspresnet50", 64, "3+3+5+2", ALL),
    ("dla34", 64, "2+4+4+2", ALL),
    ("hrnet_w18_small", 64, "1+4+6+8+1+1+1+1", ALL),
    ("xception41", 64, "1+1+9+2", ALL),
    ("inception_next_atto", 64, "2+2+6+2", ALL),
    ("convmixer_768_32", 64, "32", ALL),
    ("fasternet_t0", 64, "1+2+8+2", ALL),
    ("starnet_s050", 64, "2+2+4+2", ALL),
    # narrow ends
    ("ghostnet_050", 64, "1+1+1+1+1+1+5+1+4+1", ALL),
    ("mobilenetv4_conv_small_035", 64, "2+2+6+6+1", ALL),
    ("rexnet_100", 64, "1+2+2+6+6", ALL),
    ("mixnet_s", 64, "1+2+4+3+3+3", ALL),
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
    ("test_maxvit", 64, "3+3+3+3", ALL),
    ("efficientvit_b0", 64, "2+2+5+5", ALL),
    ("edgenext_xx_small", 64, "2+2+6+2", ALL),
    ("mobilevit_xxs", 64, "1+3+2+2+2", ALL),
    ("levit_conv_128s", 64, "2+3+4", "residual pre post stage"),
    # channels last
    ("swin_tiny_patch4_window7_224", 64, "2+2+6+2", "residual pre identity post stage"),
    ("swinv2_cr_tiny_ns_224", 64, "2+2+6+2", "residual post stage"),
    ("mambaout_femto", 64, "3+3+9+3", "residual pre identity post stage"),
    ("gcvit_xxtiny", 64, "5+4+7+3", ALL),
    ("sam2_hiera_tiny", 64, "1+2+7+2", "residual pre post stage"),
    ("hiera_tiny_224", 64, "1+2+7+2", "residual pre post stage"),  # as tokens: test_rerolled.py
    ("volo_d1_224", 64, "4+4+8+2", "residual pre post stage"),
    ("tiny_vit_5m_224", 64, "2+2+6+2", ALL),
    # tokens inside, maps between
    ("davit_tiny", 64, "2+2+6+2", "post stage"),
    ("caformer_s18", 64, "3+3+1+1", "residual pre identity post stage"),
    ("pvt_v2_b0", 64, "1+1+1+1", "post stage"),
    ("nest_tiny", 64, "1+1+1", "post stage"),
]


@pytest.mark.parametrize(("backbone", "size", "blocks", "positions"), SAMPLE)
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
    kernels = sum(attention("eca").parameters(s.channels, {"k": "auto"}, (1, 1)) for s in places)
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
    kind = attention("ca").load()
    (inserted,) = (m for m in model.modules() if isinstance(m, kind))

    def attended(x: Tensor) -> Tensor:
        return inserted(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    slots = dict.fromkeys(("residual", "pre", "shortcut", "post"), identity)
    slots[{"identity": "shortcut"}.get(position, position)] = attended
    channels = next(m for m in block.modules() if isinstance(m, nn.LayerNorm)).normalized_shape[0]
    x = torch.randn(2, 8, 8, channels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got, expected = block(x), forward(plain, x, **slots)
        assert not torch.equal(got, plain(x))
    torch.testing.assert_close(got, expected)


def test_a_backbone_of_one_size_is_built_for_the_size_that_is_asked_for():
    text = "swin_tiny_patch4_window7_224+ca(r=4)@all.residual"
    model = create_model(text, image_size=96, num_classes=3).eval()
    assert model(torch.randn(1, 3, 96, 96)).shape == (1, 3)
    assert create_model(text).patch_embed.img_size == (224, 224)


# --- what mid means -------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("backbone", "number", "twin"), OWN)
def test_the_backbones_own_attention_is_removed_cleanly(backbone, number, twin):
    own = find_sites(backbone).own_attention
    assert len(own) == number
    full, bare = make(backbone, 64), make(f"{backbone}(attention=none)", 64)
    removed = sum(count(full.get_submodule(path)) for path in own)
    assert count(full) - count(bare) == removed > 0
    with torch.no_grad():
        got = bare(torch.randn(1, 3, 64, 64))
        if twin is not None:
            other = make(twin, 64)
            other.load_state_dict(bare.state_dict())
            x = torch.randn(1, 3, 64, 64)
            assert torch.equal(other(x), bare(x))
    assert got.shape == (1, 3)


@pytest.mark.parametrize("backbone", ["resnet18", "skresnet18", "resnest14d", "convnext_atto"])
def test_attention_that_is_woven_into_a_convolution_is_not_taken_for_a_module(backbone):
    assert find_sites(backbone).own_attention == ()


# --- the small stem -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "layers", "native", "small"),
    [
        ("dla34", ("level1.0",), 1, 2),
        ("hgnetv2_b0", ("stem.stem1.conv", "stem.stem3.conv"), 1, 4),
        ("dpn68", ("features.conv1_1.conv", "features.conv1_pool"), 1, 4),
        ("mambaout_femto", ("stem.conv1", "stem.conv2"), 1, 4),
        ("hrnet_w18_small", ("conv1", "conv2"), 1, 4),
    ],
)
def test_the_small_stem_leaves_alone_what_belongs_to_the_stages(backbone, layers, native, small):
    sites = find_sites(backbone, image_size=32)
    assert sites.stem_strides == layers
    assert sites.sites[-1].height == native
    opened = find_sites(backbone, image_size=32, stem="small")
    assert opened.sites[-1].height == small
    model = make(f"{backbone}+eca@all.post", 32, stem="small")
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 3)


def test_a_backbone_whose_weights_depend_on_the_map_has_no_small_stem():
    with pytest.raises(BackboneError, match=r"swin_tiny.* has no small stem: its weights"):
        find_sites("swin_tiny_patch4_window7_224", stem="small")


# --- features_only --------------------------------------------------------------------------------

FEATURES = [
    *("resnet18", "seresnet18", "efficientnet_b0", "mobilenetv3_small_050", "regnety_002"),
    *("densenet121", "convnext_atto", "vgg11_bn", "dla34", "test_nfnet"),
    *("swin_tiny_patch4_window7_224", "test_mambaout"),
]


@pytest.mark.parametrize("backbone", FEATURES)
def test_a_feature_extractor_carries_the_attention(backbone):
    sites = find_sites(backbone, image_size=64)
    positions = [p for p in sites.positions if (backbone, p) != ("mobilenetv3_small_050", "pre")]
    architecture = Architecture(backbone, tuple(Insertion.of("eca", p) for p in positions))
    whole = build_network(architecture, num_classes=3, image_size=64, seed=0).eval()
    features = create_model(architecture, features_only=True, image_size=64, seed=0).eval()
    state = whole.state_dict()
    flat = {key.replace(".", "_", 1): value for key, value in state.items()}
    missing = features.load_state_dict({**flat, **state}, strict=False).missing_keys
    assert missing == []
    seen: dict[str, Tensor] = {}
    names = [info["module"] for info in features.feature_info.get_dicts()]
    for name in names:
        module = whole.get_submodule(name)
        module.register_forward_hook(lambda _m, _a, y, name=name: seen.update({name: y}))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        whole(x)
        maps = features(x)
    assert len(maps) == len(names)
    for name, feature in zip(names, maps, strict=True):
        assert torch.equal(feature, seen[name]), name


def test_attention_behind_the_last_feature_goes_with_the_head():
    text = "resnet18+eca@s2.residual+eca@s4.residual"
    features = create_model(text, features_only=True, out_indices=(1, 2), image_size=64)
    assert sum(isinstance(m, attention("eca").load()) for m in features.modules()) == 2
    assert [f.shape[1] for f in features.eval()(torch.randn(1, 3, 64, 64))] == [64, 128]


@pytest.mark.parametrize(
    "text",
    [
        "ghostnet_050+eca@s9.pre",  # hooked to what follows the last feature
        "mobilenetv3_small_050+eca@s1.pre",  # whose norm has the activation inside, but not there
    ],
)
def test_attention_that_would_miss_the_features_is_refused(text):
    with pytest.raises(ArchitectureError, match=r"cannot be put into a feature extractor"):
        create_model(text, features_only=True, image_size=64)
