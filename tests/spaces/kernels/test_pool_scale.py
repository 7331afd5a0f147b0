"""The fused form of the attentions against the plain one: same values, same gradients, less."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.kernels.dispatch import disable_kernels
from attentune.spaces.kernels.limits import DEFAULTS, use_limits
from attentune.spaces.kernels.pool_scale import add_in_layout_of, pool_map, scale_map
from attentune.spaces.kernels.pooling import (
    maximum,
    mean,
    sum_of_squares,
    variance,
    weighted_sum,
)
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
OPTIONS = [(name, {}) for name in ATTENTIONS] + [
    ("ge", {"extent": "2"}),
    ("ge", {"gather": "conv", "mlp": True}),
    ("se", {"bias": True}),
    ("cbam", {"k": 3}),
]
every_case = pytest.mark.parametrize(("name", "options"), OPTIONS)


@pytest.fixture(autouse=True)
def fuse_small_maps(fuse_tiny_maps):
    del fuse_tiny_maps


def a_map(*shape: int, layout=torch.channels_last, dtype=torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return x.to(memory_format=layout).requires_grad_()


# --- the pieces -----------------------------------------------------------------------------------

BASIS = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
POOLS = {
    "mean of locations": [mean(2, 3)],
    "mean and maximum of locations": [mean(2, 3), maximum(2, 3)],
    "mean and maximum of channels": [mean(1), maximum(1)],
    "rows and columns": [mean(3), mean(2)],
    "maxima of every axis": [maximum(1), maximum(2), maximum(3)],
    "moments": [mean(2, 3), variance(2, 3)],
    "squares": [sum_of_squares(2, 3)],
    "weighted": [weighted_sum(BASIS, 2, 3)],
}
GATES = {
    "by channel": [(3, 4, 1, 1)],
    "by location": [(3, 1, 3, 5)],
    "by row and column": [(3, 4, 3, 1), (3, 4, 1, 5)],
    "everywhere": [(3, 4, 3, 5)],
}


@every_layout
@pytest.mark.parametrize("poolings", POOLS.values(), ids=POOLS)
def test_pooling_has_the_gradients_of_its_formula(poolings, layout):
    x = a_map(3, 4, 3, 5, layout=layout)
    with disable_kernels():
        expected = pool_map(x, *poolings)
    for result, exact in zip(pool_map(x, *poolings), expected, strict=True):
        torch.testing.assert_close(result, exact)
    assert torch.autograd.gradcheck(lambda x: pool_map(x, *poolings), x)
    assert torch.autograd.gradgradcheck(lambda x: pool_map(x, *poolings)[1:], x)


@every_layout
@pytest.mark.parametrize("shapes", GATES.values(), ids=GATES)
def test_scaling_has_the_gradients_of_a_product(shapes, layout):
    x = a_map(3, 4, 3, 5, layout=layout)
    gates = [
        a_map(*shape, layout=torch.contiguous_format, seed=i) for i, shape in enumerate(shapes, 1)
    ]
    assert torch.autograd.gradcheck(scale_map, (x, *gates))
    assert torch.autograd.gradgradcheck(scale_map, (x, *gates))


@every_layout
def test_gradients_are_right_however_the_pooled_map_is_used(layout):
    """Pooling adds in place to the gradient of scaling only if no other code holds it."""

    def network(x: Tensor) -> Tensor:
        y, means = pool_map(x, mean(2, 3))
        y, tops = pool_map(y, maximum(2, 3))
        gate = (means * tops)[:, :, None, None]
        twice = scale_map(y, gate) + scale_map(y, gate.sigmoid())
        return twice + y + x

    assert torch.autograd.gradcheck(network, a_map(3, 4, 3, 5, layout=layout))


@every_layout
def test_the_gradient_that_comes_in_is_left_alone(layout):
    x = a_map(3, 4, 3, 5, layout=layout)
    same, means = pool_map(x, mean(2, 3))
    grad_y = torch.ones_like(x)
    torch.autograd.backward((same, means), (grad_y, torch.ones_like(means)))
    assert torch.equal(grad_y, torch.ones_like(x))
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 + 1 / 15))


def test_a_second_backward_pass_gives_the_same():
    x = a_map(3, 4, 3, 5)
    y, means = pool_map(x, mean(2, 3))
    z = scale_map(y, means[:, :, None, None]).square().sum()
    first, second = (torch.autograd.grad(z, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_a_gate_alone_can_have_a_gradient():
    gate = a_map(3, 4, 1, 1)
    x = a_map(3, 4, 3, 5).detach()
    scale_map(pool_map(x, mean(2, 3))[0], gate).sum().backward()
    torch.testing.assert_close(gate.grad, x.sum((2, 3), keepdim=True))


def test_equal_maxima_share_their_gradient():
    x = torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    pool_map(x, maximum(2, 3))[1].sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / 16))


def test_a_sum_lies_in_memory_as_its_map():
    x = a_map(3, 4, 3, 5)
    parts = a_map(3, 4, 3, 1, seed=1), a_map(3, 1, 1, 5, seed=2)
    total = add_in_layout_of(x, *parts)
    torch.testing.assert_close(total, parts[0] + parts[1])
    assert total.is_contiguous(memory_format=torch.channels_last)


# --- the attentions -------------------------------------------------------------------------------


def results(module: nn.Module, x: Tensor, grad_y: Tensor) -> dict[str, Tensor]:
    module.zero_grad()
    x = x.detach().requires_grad_()
    y = module(x)
    y.backward(grad_y)
    return {"y": y.detach(), "x": x.grad, **{k: p.grad for k, p in module.named_parameters()}}


@every_case
@every_layout
@pytest.mark.parametrize("start", ["paper", "identity"])
@pytest.mark.parametrize("train", [True, False])
def test_attention_has_the_gradients_of_its_formula(
    name, options, layout, start, train, make, randomise
):
    module = randomise(make(name, 16, options, start)).double().train(train)
    x = a_map(5, 16, 6, 7, layout=layout)
    grad_y = a_map(5, 16, 6, 7, layout=layout, seed=1).detach()
    statistics = {k: v.clone() for k, v in module.named_buffers()}
    fused = results(module, x, grad_y)
    for key, value in module.named_buffers():
        value.copy_(statistics[key])
    with disable_kernels():
        expected = results(module, x, grad_y)
    torch.testing.assert_close(fused, expected, rtol=1e-8, atol=1e-9)
    assert fused["x"].is_contiguous(memory_format=layout)


@every_case
@every_layout
def test_a_map_below_all_limits_has_the_gradients_of_the_formula(
    name, options, layout, make, randomise
):
    """Maps of small images are computed by torch's operators, but not by those of the formula. The
    output has the memory layout of the map."""
    module = randomise(make(name, 16, options, "identity")).double().train()
    x = a_map(5, 16, 6, 4, layout=layout)
    grad_y = a_map(5, 16, 6, 4, layout=layout, seed=1).detach()
    with use_limits(**asdict(DEFAULTS)):
        fused = results(module, x, grad_y)
    with disable_kernels():
        expected = results(module, x, grad_y)
    torch.testing.assert_close(fused, expected, rtol=1e-8, atol=1e-9)
    assert fused["y"].is_contiguous(memory_format=layout)


@every_case
def test_bf16_autocast_is_as_near_as_the_formula(name, options, make, randomise):
    module = randomise(make(name, 16, options)).eval()
    x = a_map(5, 16, 8, 8, dtype=torch.bfloat16)
    grad_y = torch.ones_like(x)
    with torch.autocast("cpu", torch.bfloat16):
        fused = results(module, x, grad_y)
        with disable_kernels():
            expected = results(module, x, grad_y)
    assert fused["y"].dtype == expected["y"].dtype
    for key, value in expected.items():
        scale = float(value.float().abs().max()) + 1e-3
        assert float((fused[key] - value).float().abs().max()) < 0.1 * scale, key


@every_case
def test_identity_start_changes_no_bit(name, options, make):
    for dtype in (torch.float32, torch.bfloat16):
        module = make(name, 16, options, "identity").to(dtype)
        x = a_map(5, 16, 6, 7, dtype=dtype)
        assert torch.equal(module(x), x)
        with torch.no_grad():
            assert torch.equal(module(x), x)


@every_case
def test_multiply_adds_are_those_of_the_formula(name, options, make):
    module, x = make(name, 16, options).eval(), a_map(2, 16, 8, 8, dtype=torch.float32)

    def count() -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(x)
        return counter.get_total_flops()

    fused = count()
    with disable_kernels():
        assert fused == count()


@every_case
def test_a_step_can_be_followed_on_the_meta_device(name, options, make):
    module = make(name, 16, options).to("meta").train()
    x = torch.empty(5, 16, 6, 7, device="meta").to(memory_format=torch.channels_last)
    y = module(x.requires_grad_())
    y.sum().backward()
    assert y.shape == x.grad.shape == x.shape


# --- gradients of gradients -----------------------------------------------------------------------


@pytest.fixture
def module(make, randomise) -> nn.Module:
    return randomise(make("cbam", 16, {})).eval().double()


def test_gradients_of_gradients_are_those_of_the_formula(module):
    x = a_map(5, 16, 6, 7)

    def penalty() -> Tensor:
        (grad,) = torch.autograd.grad(module(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), x)[0]

    fused = penalty()
    with disable_kernels():
        torch.testing.assert_close(fused, penalty())
