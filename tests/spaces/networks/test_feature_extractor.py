"""Attention in a feature extractor is where it is in the plain network."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import ArchitectureError
from attentune.spaces.architecture import Architecture, Insertion, parse
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.sites import SiteMap
from attentune.spaces.networks.build import build_network, create_model
from torch import Tensor, nn


def make(text: str, size: int, **options) -> nn.Module:
    return build_network(parse(text), num_classes=3, image_size=size, seed=0, **options).eval()


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
    outputs: dict[str, Tensor] = {}
    names = [info["module"] for info in features.feature_info.get_dicts()]
    for name in names:
        module = whole.get_submodule(name)
        module.register_forward_hook(lambda _m, _a, y, name=name: outputs.update({name: y}))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        whole(x)
        maps = features(x)
    assert len(maps) == len(names)
    for name, feature in zip(names, maps, strict=True):
        assert torch.equal(feature, outputs[name]), name


def test_attention_behind_the_last_feature_goes_with_the_head():
    text = "resnet18+eca@s2.residual+eca@s4.residual"
    features = create_model(text, features_only=True, out_indices=(1, 2), image_size=64)
    assert sum(isinstance(m, get_attention("eca").load()) for m in features.modules()) == 2
    assert [f.shape[1] for f in features.eval()(torch.randn(1, 3, 64, 64))] == [64, 128]


@pytest.mark.parametrize(
    "text",
    [
        "ghostnet_050+eca@s9.pre",  # hooked to what follows the last feature
        "mobilenetv3_small_050+eca@s1.pre",  # whose norm has the activation inside, but not there
    ],
)
def test_attention_that_would_miss_the_features_is_refused(text):
    with pytest.raises(ArchitectureError, match=r"cannot be inserted into a feature extractor"):
        create_model(text, features_only=True, image_size=64)
