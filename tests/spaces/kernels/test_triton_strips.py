"""The Triton kernels for rows and columns against torch, on a GPU or in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def assert_near(
    result: Tensor, expected: Tensor, dtype: torch.dtype, tolerance_factor: float = 1
) -> None:
    limit = tolerance_factor * TOLERANCES[dtype]
    torch.testing.assert_close(result.double(), expected, rtol=limit, atol=limit)


@pytest.mark.gpu
@pytest.mark.parametrize("channel_axis", [1, 3])
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 33, 5, 70), (2, 64, 8, 8)], ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_kernels_compute_what_torch_does(triton_device, channel_axis, shape, dtype):
    from attentune.spaces.kernels import triton_strips as kernels

    p, q = (1, 2) if channel_axis == 3 else (2, 3)
    generator = torch.Generator().manual_seed(0)
    shape = shape if channel_axis == 1 else (shape[0], *shape[2:], shape[1])
    x, grad, y = (
        torch.randn(shape, generator=generator).to(triton_device, dtype) for _ in range(3)
    )
    exact, exact_grad = x.double(), grad.double()
    over_q, over_p = exact.mean(q, keepdim=True), exact.mean(p, keepdim=True)
    by_p, by_q = (torch.randn(each.shape, generator=generator).to(x) for each in (over_q, over_p))
    results = torch.empty_like(by_p), torch.empty_like(by_q)
    kernels.pool(x, *results, channel_axis)
    assert_near(results[0], over_q, dtype)
    assert_near(results[1], over_p, dtype)
    kernels.add_gradients(grad, y, by_p, by_q, channel_axis)
    assert_near(y, exact_grad + by_p.double() / shape[q] + by_q.double() / shape[p], dtype)
    kernels.scale(x, by_p, by_q, y, channel_axis)
    assert_near(y, exact * by_p.double() * by_q.double(), dtype)
    kernels.scale_backward(x, grad, by_p, by_q, y, *results, channel_axis)
    assert_near(y, exact_grad * by_p.double() * by_q.double(), dtype)
    assert_near(results[0], (exact_grad * exact * by_q.double()).sum(q, keepdim=True), dtype, 8)
    assert_near(results[1], (exact_grad * exact * by_p.double()).sum(p, keepdim=True), dtype, 8)
