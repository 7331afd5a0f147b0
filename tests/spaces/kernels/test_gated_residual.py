"""Deferred products are the tensors they stand for, and residual blocks compute their formula."""

from __future__ import annotations

import copy

import pytest
import torch
from attentune.spaces.architecture import parse
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.kernels.dispatch import disable_kernels
from attentune.spaces.kernels.gated_residual import (
    DeferredProduct,
    GatedResidualFunction,
    defer_products,
    materialise,
    scale_or_defer,
)
from attentune.spaces.kernels.limits import use_limits
from attentune.spaces.networks.build import build_network
from torch import Tensor, nn

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
USES = {
    "function": lambda x, _: torch.sigmoid(x),
    "in a list": lambda x, other: torch.cat([other, x], dim=1),
    "method": lambda x, _: x.mean((2, 3)),
    "attribute": lambda x, _: torch.zeros(x.shape),
    "operator": lambda x, other: 2 * x - other,
    "module": lambda x, _: nn.Identity()(nn.Softplus()(x)),
    "sum": lambda x, other: torch.tanh(x + other),
    "sum of three": lambda x, other: other + (x + other),
    "another shape": lambda x, other: x + other.mean((2, 3), keepdim=True),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_deferred_tensor_is_the_tensor_that_it_stands_for(use):
    x, other = torch.randn(2, 8, 3, 4, requires_grad=True), torch.randn(2, 8, 3, 4)
    gate = torch.rand(2, 8, 1, 1, requires_grad=True)
    result, expected = use(DeferredProduct(x, gate), other), use(x * gate, other)
    torch.testing.assert_close(result, expected)
    if result.requires_grad:
        gradients, expected_gradients = (
            torch.autograd.grad(y.sum(), (x, gate)) for y in (result, expected)
        )
        torch.testing.assert_close(gradients, expected_gradients)


def test_a_product_is_deferred_only_on_a_gpu_and_only_where_it_is_added_to():
    x, gate = torch.randn(2, 8, 3, 4, requires_grad=True), torch.rand(2, 8, 1, 1)
    with defer_products():
        product = scale_or_defer(x, gate)
    assert type(product) is Tensor
    assert materialise(product) is product
    assert torch.equal(materialise(DeferredProduct(x, gate)), x * gate)


def run(module: nn.Module, x: Tensor, grad: Tensor) -> list[Tensor]:
    module, x = copy.deepcopy(module), x.detach().requires_grad_()
    y = module(x)
    y.backward(grad)
    return [y.detach(), x.grad, *(p.grad for p in module.parameters())]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_residual_blocks_have_the_gradients_of_their_formula(name, layout, randomise, monkeypatch):
    apply_kernel = GatedResidualFunction.apply
    kernel_calls: list[int] = []
    monkeypatch.setattr(
        GatedResidualFunction,
        "apply",
        lambda *inputs: (kernel_calls.append(1), apply_kernel(*inputs))[1],
    )
    position = "mid" if ATTENTIONS[name].positions else "residual"
    text = f"test_resnet+{name}@all.{position}"
    network = build_network(parse(text), num_classes=5, image_size=32, seed=0)
    network = randomise(network).to("cuda", torch.float64, memory_format=layout).train()
    x = torch.randn(4, 3, 32, 32, device="cuda", dtype=torch.float64).to(memory_format=layout)
    grad = torch.randn(4, 5, device="cuda", dtype=torch.float64)
    with use_limits(min_map_elements=1):
        results = run(network, x, grad)
    with disable_kernels():
        expected = run(network, x, grad)
    assert kernel_calls or name not in ("se", "eca", "ese", "cbam", "spatial")
    nothing = 1e-3 * max(float(exact.abs().max()) for exact in expected)
    for result, exact in zip(results, expected, strict=True):
        scale = max(nothing, float(exact.abs().max()))
        assert float((result - exact).abs().max()) < 1e-9 * scale
