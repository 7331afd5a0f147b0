"""Attention stays in a network that other libraries convert: it runs, with equal results."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.build import build_network
from torch import Tensor, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse

timm = import_timm()
SIZE = 64
POSITIONS = "+se(r=4)@all.residual+eca@all.pre+ca(r=4)@all.identity"
NETWORKS = {
    # All kinds of anchors (output, input, shortcut, convolution input) on layers and on blocks.
    "resnet": f"resnet10t{POSITIONS}+sk(r=4)@all.mid+srm@all.post",
    "inverted residuals": f"mobilenetv3_small_050{POSITIONS}+eca@all.post",
    "maps with channels last": f"test_mambaout{POSITIONS}+strip@all.post",
    "branches to merge": "repvgg_a0+strip@all.post",
}
SLOW_NETWORKS = {
    "convnext": "convnext_atto+se(r=4)@all.residual+eca@all.mid+eca@all.post",
    "densenet": "densenet121+se(r=4)@all.post",
    "fastvit": "fastvit_t8+se(r=4)@all.post",
    "ghostnet": "ghostnetv3_050+se(r=4)@all.post",
    "regnet": "regnetx_002+se(r=4)@all.residual+eca@all.identity",
    "repvit": "repvit_m0_9+se(r=4)@all.residual+eca@all.post",
}


def image() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def make(text: str) -> nn.Module:
    """A network with statistics, and attentions that have left their start."""
    model = build_network(parse(text), num_classes=5, image_size=SIZE, seed=3).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for attention in attentions(model):
            for parameter in attention.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) / 5)
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.uniform_(-0.1, 0.1, generator=generator)
                module.running_var.uniform_(0.8, 1.2, generator=generator)
    return model


def attentions(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if "attention_label" in module.__dict__]


def run(model: nn.Module) -> tuple[Tensor, int]:
    """The output, and how many attentions have run."""
    calls: list[nn.Module] = []
    hooks = [
        attention.register_forward_hook(lambda module, *_: calls.append(module))
        for attention in attentions(model)
    ]
    with torch.no_grad():
        output = model(image())
    for hook in hooks:
        hook.remove()
    return output, len(calls)


def frozen(model: nn.Module) -> nn.Module:
    timm.utils.freeze(model)
    return model


def thawed(model: nn.Module) -> nn.Module:
    timm.utils.unfreeze(frozen(model))
    return model.eval()


def split(model: nn.Module) -> nn.Module:
    return timm.layers.convert_splitbn_model(model, 2).eval()


def quantised(model: nn.Module) -> nn.Module:
    prepared = prepare_fx(model, get_default_qconfig_mapping("x86"), (image(),))
    prepared(image())
    return convert_fx(prepared)


CONVERSIONS: dict[str, Callable[[Any], nn.Module]] = {
    "sync batch norm": timm.layers.convert_sync_batchnorm,
    "frozen batch norm": frozen,
    "frozen and thawed": thawed,
    "split batch norm": split,
    "merged branches": timm.models.reparameterize_model,
    "traced": torch.fx.symbolic_trace,
    "fused": fuse,
    "quantised": quantised,
}
MAX_QUANTISATION_ERROR = 0.15
"""Of the largest output. The bare networks have up to 0.12."""


def convert(model: nn.Module, conversion: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Quantisation is deprecated in torch, but used.
        return CONVERSIONS[conversion](model)


def check(text: str, conversion: str) -> None:
    model = make(text)
    expected, number = run(model)
    assert number == len(attentions(model)) > 0
    output, calls = run(convert(copy.deepcopy(model), conversion))
    assert calls == number
    if conversion == "quantised":
        assert (output - expected).abs().max() < MAX_QUANTISATION_ERROR * expected.abs().max()
    else:
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


QUICK = [
    *(("resnet", conversion) for conversion in CONVERSIONS),
    ("inverted residuals", "frozen batch norm"),
    ("maps with channels last", "split batch norm"),
    ("maps with channels last", "traced"),
    ("branches to merge", "merged branches"),
]


@pytest.mark.parametrize(
    ("network", "conversion"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow)
        for pair in product(NETWORKS, CONVERSIONS)
    ],
)
def test_attention_stays_in_a_converted_network(network, conversion):
    check(NETWORKS[network], conversion)


# timm's split batch norm takes no vectors, which the head of repvit normalises.
SLOW_PAIRS = set(product(SLOW_NETWORKS, CONVERSIONS)) - {("repvit", "split batch norm")}


@pytest.mark.slow
@pytest.mark.parametrize(("network", "conversion"), sorted(SLOW_PAIRS))
def test_attention_stays_in_converted_networks_of_other_families(network, conversion):
    check(SLOW_NETWORKS[network], conversion)


def test_torchs_own_synchronised_batch_norm_keeps_attention():
    model = make(NETWORKS["resnet"])
    expected, number = run(model)
    output, calls = run(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)))
    assert calls == number
    torch.testing.assert_close(output, expected)


def test_batch_norms_replaced_by_group_norms_keep_attention():
    def replace(module: nn.Module) -> None:
        for name, child in module.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, nn.GroupNorm(1, child.num_features))
            replace(child)

    model = make(NETWORKS["resnet"])
    _, number = run(model)
    replace(model)
    assert run(model)[1] == number
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


def test_several_compiled_networks_each_have_their_attention():
    torch._dynamo.reset()
    texts = (
        "resnet10t",
        f"resnet10t{POSITIONS}",
        "resnet10t+ca(r=4)@all.identity+eca@all.residual",
    )
    for text in (*texts, texts[1]):
        model = make(text)
        expected, _ = run(model)
        with torch.no_grad():
            output = torch.compile(model, backend="aot_eager", fullgraph=True)(image())
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_blocks_remain_instances_and_layers_do_not_appear_as_norms():
    model = make("resnet10t+se(r=4)@all.post+eca@all.residual")
    block = model.layer1[0]
    assert isinstance(block, timm.models.resnet.BasicBlock)
    assert not isinstance(block.bn2, nn.BatchNorm2d)  # A conversion would replace both.
    assert block.bn2.weight is block.bn2.wrapped.weight


def test_a_change_by_name_reaches_the_module_inside():
    model = make("resnet10t+se(r=4)@all.post")
    layer = nn.Conv2d(64, 64, 3, padding=1)
    model.layer1[0].conv1 = layer
    assert model.layer1[0].wrapped.conv1 is layer
    calls: list[nn.Module] = []
    layer.register_forward_hook(lambda module, *_: calls.append(module))
    run(model)
    assert calls == [layer]


def test_messages_of_load_state_dict_name_keys_as_state_dicts_do():
    model = make("resnet10t+se(r=4)@all.residual")
    state = model.state_dict()
    del state["layer1.0.bn2.weight"]
    result = model.load_state_dict(state, strict=False)
    assert result.missing_keys == ["layer1.0.bn2.weight"]
    assert result.unexpected_keys == []


def test_versions_of_layers_are_those_of_the_plain_backbone():
    state = make("resnet10t+se(r=4)@all.residual").state_dict()
    assert state._metadata["layer1.0.bn2"] == {"version": 2}  # of batch norms
    assert not any("wrapped" in name for name in state._metadata)
