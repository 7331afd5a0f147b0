"""Batch norm over the images of all ranks of a training.

Each rank has a share of the batch, and the statistics are those of the whole batch. So a training
on several devices computes what one device computes, to rounding. `torch.nn.SyncBatchNorm` does the
same, but only on GPUs, and it replaces modules of the network.

Mean and variance of the batch follow from those of the shares (Chan, Golub and LeVeque, "Updating
formulae and a pairwise algorithm for computing sample variances", 1979), with n images × pixels in
a share: mean = Σ n·mean / Σ n, variance = Σ n·(variance + (mean_share - mean)²) / Σ n.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed
from torch.autograd.function import Function, once_differentiable


def synchronised_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, in training with the statistics of all ranks.

    Args:
        input: the map of this rank (N, C, …).
        running_mean: (C,), updated in place in training.
        running_var: (C,), updated in place in training.
        weight: scale (C,).
        bias: shift (C,).
        training: whether to use the statistics of the batch instead of the running ones.
        momentum: weight of the batch in the running statistics.
        eps: added to the variance.
    """
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    output: Tensor
    output, mean, variance, count = _SynchronisedBatchNorm.apply(  # type: ignore[no-untyped-call]
        input, weight, bias, eps
    )
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            unbiased = variance * (count / (count - 1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    return output


class _SynchronisedBatchNorm(Function):
    """(x, weight, bias, eps) to the normalised map, and mean, variance and count of the batch."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The map (N, C, …), mean and variance (C,), and the count, a scalar."""
        x = _in_single_precision(input)
        mean, variance, count = _statistics_of_all_ranks(x)
        inverse_deviation = (variance + eps).rsqrt()
        scale = inverse_deviation if weight is None else inverse_deviation * weight
        output = (x - _as_channels(mean, x)).mul_(_as_channels(scale, x))
        if bias is not None:
            output += _as_channels(bias, x)
        ctx.save_for_backward(input, mean, inverse_deviation, scale, count)
        ctx.has_weight, ctx.has_bias = weight is not None, bias is not None
        ctx.mark_non_differentiable(mean, variance, count)
        return output.to(input.dtype), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of map, weight and bias; that of the map depends on all ranks."""
        input, mean, inverse_deviation, scale, count = ctx.saved_tensors
        x, grad = _in_single_precision(input), _in_single_precision(grad)
        normalised = (x - _as_channels(mean, x)).mul_(_as_channels(inverse_deviation, x))
        axes = [0, *range(2, x.ndim)]
        grad_bias, grad_weight = grad.sum(axes), (grad * normalised).sum(axes)
        sums = torch.cat((grad_bias, grad_weight))
        distributed.all_reduce(sums)
        mean_grad, projection = (_as_channels(half / count, x) for half in sums.chunk(2))
        grad_map = (grad - mean_grad - normalised.mul_(projection)).mul_(_as_channels(scale, x))
        return (
            grad_map.to(input.dtype),
            grad_weight if ctx.has_weight else None,
            grad_bias if ctx.has_bias else None,
            None,
        )


def _statistics_of_all_ranks(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C,) of a map (N, C, …) over all ranks, and how many values each
    is computed from, a scalar tensor."""
    variance, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
    share = torch.cat((mean, variance, mean.new_full((1,), x.numel() // x.shape[1])))
    shares = [torch.empty_like(share) for _ in range(distributed.get_world_size())]
    distributed.all_gather(shares, share)
    table, channels = torch.stack(shares), len(mean)
    means, variances, counts = table[:, :channels], table[:, channels:-1], table[:, -1:]
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    return mean, (counts * (variances + (means - mean) ** 2)).sum(0) / count, count


def _in_single_precision(map: Tensor) -> Tensor:
    return map if map.dtype == torch.float64 else map.float()


def _as_channels(vector: Tensor, map: Tensor) -> Tensor:
    """(C,) as (C, 1, …), which is broadcast over a map (N, C, …)."""
    return vector.view(-1, *(1 for _ in map.shape[2:]))
