"""Which maps the Triton kernels cover, and attentions on CUDA against the plain formulas."""

from __future__ import annotations

import copy

import pytest
import torch
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.kernels import pool_scale_cuda
from attentune.spaces.kernels.dispatch import disable_kernels
from attentune.spaces.kernels.limits import use_limits
from attentune.spaces.kernels.pooling import maximum, mean, variance
from torch import Tensor, nn

on_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


# --- without a GPU --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("poolings", "covered"),
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
def test_kernels_cover_means_and_maxima_along_the_same_axes_and_strips(poolings, covered):
    assert pool_scale_cuda.covers_poolings(torch.empty(2, 8, 3, 4), poolings) is covered


def test_kernels_cover_gates_of_channels_or_of_locations():
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


# --- the attentions -------------------------------------------------------------------------------


def results(module: nn.Module, x: Tensor, grad: Tensor) -> list[Tensor]:
    module, x = copy.deepcopy(module), x.detach().requires_grad_()
    y = module(x)
    y.backward(grad)
    return [y.detach(), x.grad, *(p.grad for p in module.parameters())]


class TestOnCuda:
    pytestmark = on_gpu

    def test_kernels_work_here(self):
        pytest.importorskip("triton")
        assert pool_scale_cuda.why_unusable(torch.device("cuda", 0)) is None

    @pytest.mark.parametrize("name", ATTENTIONS)
    @pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
    @pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
    def test_attention_has_the_gradients_of_its_formula(
        self, name, layout, dtype, limit, make, randomise
    ):
        module = randomise(make(name, 32, {})).to("cuda", dtype).train()
        x, grad = (
            torch.randn(6, 32, 9, 10, device="cuda", dtype=dtype).to(memory_format=layout)
            for _ in range(2)
        )
        with use_limits(min_map_elements=1):
            fused = results(module, x, grad)
        with disable_kernels():
            expected = results(module, x, grad)
        # A bias before a batch norm has no gradient: what is left is rounding of the others.
        nothing = 1e-3 * max(float(exact.abs().max()) for exact in expected)
        for result, exact in zip(fused, expected, strict=True):
            scale = max(nothing, float(exact.abs().max()))
            assert float((result - exact).abs().max()) < limit * scale

    @pytest.mark.parametrize("start", ["paper", "identity"])
    @pytest.mark.parametrize("name", ATTENTIONS)
    def test_maps_keep_their_precision_under_autocast(self, name, start, make):
        module = make(name, 32, {}, start).to("cuda").train()
        x = torch.randn(8, 32, 24, 24, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        with torch.autocast("cuda", torch.bfloat16):
            assert module(x).dtype == torch.bfloat16

    def test_a_captured_step_uses_them_too(self, make, randomise):
        module = randomise(make("se", 32, {})).cuda()
        x = torch.randn(4, 32, 8, 8, device="cuda").to(memory_format=torch.channels_last)
        x.requires_grad_()
        stream = torch.cuda.Stream()
        with use_limits(min_map_elements=1):
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
