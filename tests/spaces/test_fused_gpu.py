"""The Triton kernels against torch, and the attentions that use them against the plain formulas."""

from __future__ import annotations

import copy
import os

import pytest
import torch
from attentune.spaces.attentions import fused, gpu
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.pools import maximum, mean, variance
from torch import Tensor, nn

on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


# --- without a GPU --------------------------------------------------------------------------------


def test_a_machine_without_triton_says_so_and_goes_on(monkeypatch):
    monkeypatch.setattr(gpu, "_REASONS", {})
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)

    def missing() -> None:
        raise ImportError("No module named 'triton'")

    monkeypatch.setattr(gpu, "_kernels", missing)
    assert gpu.unusable(torch.device("cuda", 0)) == "no Triton: No module named 'triton'"


def test_kernels_are_not_tried_out_while_a_graph_is_captured(monkeypatch):
    monkeypatch.setattr(gpu, "_REASONS", {})
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert "graph is being captured" in gpu.unusable(torch.device("cuda", 0))
    assert not gpu._REASONS


@pytest.mark.parametrize(
    ("pools", "covered"),
    [
        ([mean(2, 3)], True),
        ([mean(2, 3), maximum(2, 3)], True),
        ([maximum(1), mean(1)], True),
        ([mean(3), mean(2)], False),
        ([mean(2, 3), maximum(1)], False),
        ([mean(2, 3), variance(2, 3)], False),
    ],
    ids=str,
)
def test_kernels_cover_means_and_maxima_along_the_same_axes(pools, covered):
    assert gpu.covers(pools) is covered


def test_kernels_cover_gates_of_channels_or_of_places():
    x = torch.empty(2, 8, 3, 4)
    covered = {
        shape: gpu.covers_gate(x, torch.empty(shape))
        for shape in ((2, 8, 1, 1), (2, 1, 3, 4), (2, 8, 3, 1), (2, 8, 3, 4))
    }
    assert list(covered.values()) == [True, True, False, False]


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
    from attentune.spaces.attentions import triton_kernels as kernels

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
        of_map, of_gate = torch.empty_like(x), torch.empty_like(mean)
        kernels.unscale(x, grad, of_mean, of_map, of_gate)
        close(of_map, grad.double() * of_mean.double(), dtype)
        close(of_gate, (grad.double() * exact).sum(axes, keepdim=True), dtype, 8)


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
        assert gpu.unusable(torch.device("cuda", 0)) == ""

    @pytest.mark.parametrize("name", ATTENTIONS)
    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    @pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
    def test_attention_has_the_gradients_of_its_formula(
        self, name, layout, dtype, limit, make, randomise, monkeypatch
    ):
        monkeypatch.setattr(fused, "SMALL", 1)
        module = randomise(make(name, 32, {})).to("cuda", dtype).train()
        x, given = (
            torch.randn(6, 32, 9, 10, device="cuda", dtype=dtype).to(memory_format=layout)
            for _ in range(2)
        )
        ours = results(module, x, given)
        with fused.plain():
            expected = results(module, x, given)
        # A bias before a batch norm has no gradient: what is left is rounding of the others.
        nothing = 1e-3 * max(float(two.abs().max()) for two in expected)
        for one, two in zip(ours, expected, strict=True):
            scale = max(nothing, float(two.abs().max()))
            assert float((one - two).abs().max()) < limit * scale

    def test_a_captured_step_uses_them_too(self, make, randomise, monkeypatch):
        monkeypatch.setattr(fused, "SMALL", 1)
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
