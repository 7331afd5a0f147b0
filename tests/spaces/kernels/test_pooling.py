"""The formulas of the poolings: two ways to the value, and the gradient of one of them."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.kernels.pooling import (
    Pooling,
    maximum,
    mean,
    mean_by_sum,
    pool_by_formula,
    pool_keeping_axes,
    pooling_gradient,
    sum_of_squares,
    variance,
    weighted_sum,
)

WEIGHTS = torch.randn(1, 4, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
POOLINGS = [
    *(mean(*axes) for axes in ((1,), (2,), (3,), (2, 3))),
    *(maximum(*axes) for axes in ((1,), (2,), (3,), (2, 3))),
    variance(2, 3),
    sum_of_squares(2, 3),
    weighted_sum(WEIGHTS, 2, 3),
]


def named(pooling: Pooling) -> str:
    return f"{pooling.kind}{pooling.axes}"


@pytest.mark.parametrize("pooling", POOLINGS, ids=named)
def test_both_ways_give_one_value_and_the_gradient_is_that_of_the_formula(pooling):
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    value = pool_by_formula(x, pooling)
    kept = pool_keeping_axes(x.detach(), pooling)
    torch.testing.assert_close(kept.squeeze(pooling.axes), value)
    torch.testing.assert_close(pool_by_formula(x, pooling, needs_gradient=False), value)
    grad = torch.randn_like(kept)
    (expected,) = torch.autograd.grad(value, x, grad.squeeze(pooling.axes))
    part = pooling_gradient(x.detach(), pooling, kept, grad, torch.empty_like(x))
    torch.testing.assert_close(part.expand_as(x), expected)


def test_a_mean_in_float16_does_not_overflow():
    x = torch.full((1, 1, 8, 8), 60000.0, dtype=torch.float16)
    assert float(mean_by_sum(x, (2, 3), keepdim=False)) == pytest.approx(60000, rel=1e-3)
