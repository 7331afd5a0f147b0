"""The small stem keeps small images large, and leaves the stages as they are."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import BackboneError
from attentune.runners.costs import CostModel, count_costs
from attentune.runners.recipe import Recipe
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.networks.build import build_network
from torch import nn

SIZE = 32


def make(text: str, seed: int | None = 3, **options) -> nn.Module:
    options = {"num_classes": 5, "image_size": SIZE, **options}
    return build_network(parse(text), seed=seed, **options).eval()


@pytest.mark.parametrize(
    ("backbone", "layer", "kernel", "stride"),
    [
        ("resnet18", "conv1", 3, 1),
        ("resnet50d", "conv1.0", 3, 1),
        ("mobilenetv2_050", "conv_stem", 3, 1),
        ("convnext_atto", "stem.0", 2, 2),
        ("densenet121", "features.conv0", 3, 1),
        ("regnetx_002", "stem.conv", 3, 1),
        ("tf_efficientnet_b0", "conv_stem", 3, 1),
    ],
)
def test_a_small_stem_keeps_tiny_images_large(backbone, layer, kernel, stride):
    model = make(backbone, stem="small")
    conv = model.get_submodule(layer)
    assert (conv.kernel_size, conv.stride) == ((kernel, kernel), (stride, stride))
    sites = find_sites(backbone, image_size=SIZE, stem="small")
    maps = {}
    last = sites.sites_at(parse("x+eca@all.post").insertions[0].places[0], "post")[-1]
    model.get_submodule(last.module).register_forward_hook(lambda _m, _a, y: maps.update(y=y))
    assert model(torch.randn(1, 3, SIZE, SIZE)).shape == (1, 5)
    assert maps["y"].shape[1:] == (last.channels, last.height, last.width)


@pytest.mark.parametrize("backbone", ["resnet18", "convnext_atto", "tf_efficientnet_lite0"])
def test_stride1_keeps_the_kernels_and_what_is_predicted_of_the_network(backbone):
    """The kernels of pretrained weights are those that costs are counted with."""
    native, model = make(backbone), make(backbone, stem="stride1")
    shapes = [weight.shape for weight in native.state_dict().values()]
    assert [weight.shape for weight in model.state_dict().values()] == shapes
    recipe = Recipe.of(data="digits", image_size=SIZE, stem="stride1")
    costs = CostModel(backbone, recipe, 5).price(parse(backbone))
    assert costs == count_costs(model, SIZE)
    assert costs.macs > count_costs(native, SIZE).macs


def test_a_cropped_kernel_keeps_the_spread_of_its_initialisation():
    weight = make("resnet18", stem="small").conv1.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)


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
    model = make(f"{backbone}+eca@all.post", stem="small", num_classes=3)
    assert model(torch.randn(1, 3, 32, 32)).shape == (1, 3)


def test_a_backbone_whose_weights_depend_on_the_map_has_no_small_stem():
    with pytest.raises(BackboneError, match=r"swin_tiny.* has no small stem: its weights"):
        find_sites("swin_tiny_patch4_window7_224", stem="small")
