"""The Triton kernels for poolings and gates against torch, on a GPU or in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

SHAPES = [(2, 3, 5, 7), (3, 6, 6, 40), (2, 1, 1, 33), (1, 33, 5, 70)]
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def assert_near(
    result: Tensor, expected: Tensor, dtype: torch.dtype, tolerance_factor: float = 1
) -> None:
    limit = tolerance_factor * TOLERANCES[dtype]
    torch.testing.assert_close(result.double(), expected, rtol=limit, atol=limit)


@pytest.mark.gpu
@pytest.mark.parametrize("axes", [(1,), (1, 2), (2, 3), (3,)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_kernels_compute_what_torch_does(triton_device, axes, shape, dtype):
    from attentune.spaces.kernels import triton_pool_scale as kernels

    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(shape, generator=generator).to(triton_device, dtype) for _ in range(2))
    x.view(-1)[::5] = 1.0  # equal maxima
    exact = x.double()
    means, tops = exact.mean(axes, keepdim=True), exact.amax(axes, keepdim=True)
    mean, top = torch.empty_like(means, dtype=dtype), torch.empty_like(tops, dtype=dtype)
    kernels.pool(x, axes, mean, top)
    assert_near(mean, means, dtype)
    assert torch.equal(top.double(), tops)

    grad_mean, grad_top = (torch.randn(mean.shape, generator=generator).to(x) for _ in range(2))
    size, mask = x.numel() // mean.numel(), (exact == tops).double()
    by_mean = grad.double() + grad_mean.double() / size
    by_top = mask * grad_top.double() / mask.sum(axes, keepdim=True)
    total = grad.clone()
    kernels.add_gradients(x, total, total, axes, grad_mean, top, grad_top)
    assert_near(total, by_mean + by_top, dtype)
    kernels.add_gradients(x, grad, total, axes, grad_mean, None, None)
    assert_near(total, by_mean, dtype)

    if mean.shape != x.shape:
        y, by_gate = torch.empty_like(x), exact * grad_mean.double()
        kernels.scale(x, grad_mean, y)
        assert_near(y, by_gate, dtype)
        kernels.scale(x, grad_mean, y, grad)
        assert_near(y, (by_gate + grad.double()).relu(), dtype, 2)
        passed, grad_shortcut = grad.double() * (y > 0), torch.empty_like(x)
        grad_map, grad_gate = torch.empty_like(x), torch.empty_like(mean)
        kernels.scale_backward(x, grad, grad_mean, grad_map, grad_gate)
        assert_near(grad_map, grad.double() * grad_mean.double(), dtype)
        assert_near(grad_gate, (grad.double() * exact).sum(axes, keepdim=True), dtype, 8)
        kernels.scale_backward(x, grad, grad_mean, grad_map, grad_gate, y, grad_shortcut)
        assert torch.equal(grad_shortcut.double(), passed)
        assert_near(grad_map, passed * grad_mean.double(), dtype)
        assert_near(grad_gate, (passed * exact).sum(axes, keepdim=True), dtype, 8)
