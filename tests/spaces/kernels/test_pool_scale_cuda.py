"""The Triton kernels against torch, and the attentions that use them against the plain formulas."""

from __future__ import annotations

import copy
import os
import sys
import types

import pytest
import torch
from attentune.spaces.architecture import parse
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.kernels import gated_residual, pool_scale, pool_scale_cuda
from attentune.spaces.kernels.pooling import maximum, mean, variance
from attentune.spaces.kernels.triton_module import TritonKernels
from attentune.spaces.networks.build import build_network
from torch import Tensor, nn

on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


# --- without a GPU --------------------------------------------------------------------------------


def test_a_machine_without_triton_says_so_and_goes_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setitem(sys.modules, "triton", None)  # cannot be imported
    monkeypatch.delitem(sys.modules, pool_scale_cuda.KERNELS.name, raising=False)
    kernels = TritonKernels(pool_scale_cuda.KERNELS.name)
    assert kernels.unusable(torch.device("cuda", 0)).startswith("no Triton: ")


def test_kernels_that_compute_something_else_are_not_used(monkeypatch):
    def check(device: torch.device) -> None:
        raise AssertionError(f"not what torch computes on {device}")

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    kernels = TritonKernels("kernels")
    kernels.module = types.SimpleNamespace(check=check)
    device = torch.device("cuda", 0)
    assert kernels.unusable(device) == "AssertionError: not what torch computes on cuda:0"
    assert kernels.reasons == {device: kernels.unusable(device)}


def test_kernels_are_not_tried_out_while_a_graph_is_captured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    kernels = TritonKernels(pool_scale_cuda.KERNELS.name)
    assert "graph is being captured" in kernels.unusable(torch.device("cuda", 0))
    assert not kernels.reasons


@pytest.mark.parametrize(
    ("pools", "covered"),
    [
        ([mean(2, 3)], True),
        ([mean(2, 3), maximum(2, 3)], True),
        ([maximum(1), mean(1)], True),
        ([mean(3), mean(2)], True),
        ([mean(3), maximum(2)], False),
        ([mean(3), mean(1)], False),
        ([mean(2, 3), maximum(1)], False),
        ([mean(2, 3), variance(2, 3)], False),
    ],
    ids=str,
)
def test_kernels_cover_means_and_maxima_along_the_same_axes_and_strips(pools, covered):
    assert pool_scale_cuda.covers(torch.empty(2, 8, 3, 4), pools) is covered


def test_kernels_cover_gates_of_channels_or_of_places():
    x = torch.empty(2, 8, 3, 4)
    covered = {
        shape: pool_scale_cuda.covers_gates(x, [torch.empty(shape)])
        for shape in ((2, 8, 1, 1), (2, 1, 3, 4), (2, 8, 3, 1), (2, 8, 3, 4))
    }
    assert list(covered.values()) == [True, True, False, False]
    rows, columns = torch.empty(2, 8, 3, 1), torch.empty(2, 8, 1, 4)
    assert pool_scale_cuda.covers_gates(x, [rows, columns])
    assert pool_scale_cuda.covers_gates(x, [columns, rows])
    assert not pool_scale_cuda.covers_gates(x, [rows, rows])


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
    found, expected = use(gated_residual.DeferredProduct(x, gate), other), use(x * gate, other)
    torch.testing.assert_close(found, expected)
    if found.requires_grad:
        ours, theirs = (torch.autograd.grad(y.sum(), (x, gate)) for y in (found, expected))
        torch.testing.assert_close(ours, theirs)


# --- the kernels, on a GPU or in Triton's interpreter ---------------------------------------------

SHAPES = [(2, 3, 5, 7), (3, 6, 6, 40), (2, 1, 1, 33), (1, 33, 5, 70)]
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture
def device() -> torch.device:
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if not INTERPRETED:
        pytest.skip("there is no CUDA device; with TRITON_INTERPRET=1 the kernels run without")
    return torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("axes", [(1,), (1, 2), (2, 3), (3,)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_kernels_compute_what_torch_does(device, axes, shape, dtype):
    from attentune.spaces.kernels import triton_pool_scale as kernels

    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2))
    x.view(-1)[::5] = 1.0  # equal maxima
    exact = x.double()
    means, tops = exact.mean(axes, keepdim=True), exact.amax(axes, keepdim=True)
    mean, top = torch.empty_like(means, dtype=dtype), torch.empty_like(tops, dtype=dtype)
    kernels.pool(x, axes, mean, top)
    close(mean, means, dtype)
    assert torch.equal(top.double(), tops)

    of_mean, of_top = (torch.randn(mean.shape, generator=generator).to(x) for _ in range(2))
    size, mask = x.numel() // mean.numel(), (exact == tops).double()
    by_mean = grad.double() + of_mean.double() / size
    by_top = mask * of_top.double() / mask.sum(axes, keepdim=True)
    total = grad.clone()
    kernels.add(x, total, total, axes, of_mean, top, of_top)
    close(total, by_mean + by_top, dtype)
    kernels.add(x, grad, total, axes, of_mean, None, None)
    close(total, by_mean, dtype)

    if mean.shape != x.shape:
        y, by_gate = torch.empty_like(x), exact * of_mean.double()
        kernels.scale(x, of_mean, y)
        close(y, by_gate, dtype)
        kernels.scale(x, of_mean, y, grad)
        close(y, (by_gate + grad.double()).relu(), dtype, 2)
        passed, of_other = grad.double() * (y > 0), torch.empty_like(x)
        of_map, of_gate = torch.empty_like(x), torch.empty_like(mean)
        kernels.unscale(x, grad, of_mean, of_map, of_gate)
        close(of_map, grad.double() * of_mean.double(), dtype)
        close(of_gate, (grad.double() * exact).sum(axes, keepdim=True), dtype, 8)
        kernels.unscale(x, grad, of_mean, of_map, of_gate, y, of_other)
        assert torch.equal(of_other.double(), passed)
        close(of_map, passed * of_mean.double(), dtype)
        close(of_gate, (passed * exact).sum(axes, keepdim=True), dtype, 8)


@pytest.mark.gpu
@pytest.mark.parametrize("channels_at", [1, 3])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 33, 5, 70), (2, 64, 8, 8)], ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_strip_kernels_compute_what_torch_does(device, channels_at, shape, dtype):
    from attentune.spaces.kernels import triton_strips as kernels

    p, q = (1, 2) if channels_at == 3 else (2, 3)
    generator = torch.Generator().manual_seed(0)
    shape = shape if channels_at == 1 else (shape[0], *shape[2:], shape[1])
    x, grad, y = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(3))
    exact, given = x.double(), grad.double()
    over_q, over_p = exact.mean(q, keepdim=True), exact.mean(p, keepdim=True)
    by_p, by_q = (torch.randn(each.shape, generator=generator).to(x) for each in (over_q, over_p))
    found = torch.empty_like(by_p), torch.empty_like(by_q)
    kernels.pool(x, *found, channels_at)
    close(found[0], over_q, dtype)
    close(found[1], over_p, dtype)
    kernels.add(grad, y, by_p, by_q, channels_at)
    close(y, given + by_p.double() / shape[q] + by_q.double() / shape[p], dtype)
    kernels.scale(x, by_p, by_q, y, channels_at)
    close(y, exact * by_p.double() * by_q.double(), dtype)
    kernels.unscale(x, grad, by_p, by_q, y, *found, channels_at)
    close(y, given * by_p.double() * by_q.double(), dtype)
    close(found[0], (given * exact * by_q.double()).sum(q, keepdim=True), dtype, 8)
    close(found[1], (given * exact * by_p.double()).sum(p, keepdim=True), dtype, 8)


def close(one: Tensor, two: Tensor, dtype: torch.dtype, times: float = 1) -> None:
    limit = times * TOLERANCES[dtype]
    torch.testing.assert_close(one.double(), two, rtol=limit, atol=limit)


# --- the attentions -------------------------------------------------------------------------------


def results(module: nn.Module, x: Tensor, given: Tensor) -> list[Tensor]:
    module, x = copy.deepcopy(module), x.detach().requires_grad_()
    y = module(x)
    y.backward(given)
    return [y.detach(), x.grad, *(p.grad for p in module.parameters())]


class TestOnCuda:
    pytestmark = on_gpu

    def test_kernels_work_here(self):
        pytest.importorskip("triton")
        assert pool_scale_cuda.unusable(torch.device("cuda", 0)) is None

    @pytest.mark.parametrize("name", ATTENTIONS)
    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    @pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
    def test_attention_has_the_gradients_of_its_formula(
        self, name, layout, dtype, limit, make, randomise, monkeypatch
    ):
        monkeypatch.setattr(pool_scale, "SMALL", 1)
        module = randomise(make(name, 32, {})).to("cuda", dtype).train()
        x, given = (
            torch.randn(6, 32, 9, 10, device="cuda", dtype=dtype).to(memory_format=layout)
            for _ in range(2)
        )
        ours = results(module, x, given)
        with pool_scale.plain():
            expected = results(module, x, given)
        # A bias before a batch norm has no gradient: what is left is rounding of the others.
        nothing = 1e-3 * max(float(two.abs().max()) for two in expected)
        for one, two in zip(ours, expected, strict=True):
            scale = max(nothing, float(two.abs().max()))
            assert float((one - two).abs().max()) < limit * scale

    @pytest.mark.parametrize("name", ATTENTIONS)
    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    def test_residual_blocks_have_the_gradients_of_their_formula(
        self, name, layout, randomise, monkeypatch
    ):
        monkeypatch.setattr(pool_scale, "SMALL", 1)
        joined_before = gated_residual.GatedResidualFunction.apply
        joins: list[int] = []
        monkeypatch.setattr(
            gated_residual.GatedResidualFunction,
            "apply",
            lambda *given: (joins.append(1), joined_before(*given))[1],
        )
        place = "mid" if ATTENTIONS[name].positions else "residual"
        text = f"test_resnet+{name}@all.{place}"
        network = build_network(parse(text), num_classes=5, image_size=32, seed=0)
        network = randomise(network).to("cuda", torch.float64, memory_format=layout).train()
        x = torch.randn(4, 3, 32, 32, device="cuda", dtype=torch.float64).to(memory_format=layout)
        given = torch.randn(4, 5, device="cuda", dtype=torch.float64)
        ours = results(network, x, given)
        with pool_scale.plain():
            expected = results(network, x, given)
        assert joins or name not in ("se", "eca", "ese", "cbam", "spatial")
        nothing = 1e-3 * max(float(two.abs().max()) for two in expected)
        for one, two in zip(ours, expected, strict=True):
            scale = max(nothing, float(two.abs().max()))
            assert float((one - two).abs().max()) < 1e-9 * scale

    @pytest.mark.parametrize("start", ["paper", "identity"])
    @pytest.mark.parametrize("name", ATTENTIONS)
    def test_maps_keep_their_precision_under_autocast(self, name, start, make):
        module = make(name, 32, {}, start).to("cuda").train()
        x = torch.randn(8, 32, 24, 24, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        with torch.autocast("cuda", torch.bfloat16):
            assert module(x).dtype == torch.bfloat16

    def test_a_captured_step_uses_them_too(self, make, randomise, monkeypatch):
        monkeypatch.setattr(pool_scale, "SMALL", 1)
        module = randomise(make("se", 32, {})).cuda()
        x = torch.randn(4, 32, 8, 8, device="cuda").to(memory_format=torch.channels_last)
        x.requires_grad_()
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                torch.autograd.grad(module(x).square().sum(), x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            (captured,) = torch.autograd.grad(module(x).square().sum(), x)
        graph.replay()
        (expected,) = torch.autograd.grad(module(x).square().sum(), x)
        torch.testing.assert_close(captured, expected)
