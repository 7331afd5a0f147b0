"""The formulas of the poolings that attentions use, and of their gradients.

A pooling is written as `mean(2, 3)`. `pool_by_formula` computes it for maps with torch's usual
order of axes, and autograd differentiates it. `pool_keeping_axes` computes the same for axes in any
order, without a gradient, and `pooling_gradient` is that gradient. Both are used on chunks that fit
into the cache (`pool_scale_cpu.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Axes = tuple[int, ...]


class Pooling(NamedTuple):
    """A reduction of a map (N, C, H, W) along `axes`, which the result lacks.

    Attributes:
        kind: `mean`, `maximum`, `variance`, `squares` or `weighted`.
        axes: from 1 (channels), 2 (rows) and 3 (columns).
        weights: the constant weights (1, C, H, W) of a weighted sum.
    """

    kind: str
    axes: Axes
    weights: Tensor | None = None


def mean(*axes: int) -> Pooling:
    """The mean."""
    return Pooling("mean", axes)


def maximum(*axes: int) -> Pooling:
    """The maximum. Its gradient goes to one of several equal maxima; in the fused form, all of them
    share it evenly."""
    return Pooling("maximum", axes)


def variance(*axes: int) -> Pooling:
    """The biased variance: the mean squared difference from the mean."""
    return Pooling("variance", axes)


def sum_of_squares(*axes: int) -> Pooling:
    """The sum of squares, in float32 at least."""
    return Pooling("squares", axes)


def weighted_sum(weights: Tensor, *axes: int) -> Pooling:
    """The sum of the map times constant `weights` (1, C, H, W)."""
    return Pooling("weighted", axes, weights)


def pool_by_formula(x: Tensor, pooling: Pooling, *, needs_gradient: bool = True) -> Tensor:
    """The pooled map, without the pooling's axes.

    Args:
        x: the map (N, C, H, W), in any memory format.
        pooling: what to compute.
        needs_gradient: whether a gradient may be required; if not, a maximum may be computed in a
            way that is fast only forwards.
    """
    kind, axes, weights = pooling
    if kind == "mean":
        return x.mean(axes)
    if kind == "maximum":
        if not needs_gradient:
            return x.amax(axes)  # This is fastest forwards, but several times slower backwards.
        if axes == (1,):
            return x.max(1).values
        kept_lengths = [1 if axis in axes else x.shape[axis] for axis in (2, 3)]
        pooled = F.adaptive_max_pool2d(x, kept_lengths)
        for axis in sorted(axes, reverse=True):  # torch's older ONNX exporter takes one at a time.
            pooled = pooled.squeeze(axis)
        return pooled
    if kind == "variance":
        # On a channels_last map this takes an eighth of the time of `var` forwards.
        return x.sub(x.mean(axes, keepdim=True)).square().mean(axes)
    if weights is not None:
        return (x * weights).sum(axes)
    return x.to(_accumulation_dtype(x)).square().sum(axes)


def pool_keeping_axes(x: Tensor, pooling: Pooling) -> Tensor:
    """The pooled map, with length 1 along the pooling's axes; `x` has its axes in any order."""
    kind, axes, weights = pooling
    if kind == "mean":
        return mean_by_sum(x, axes)
    if kind == "maximum":
        return _maximum(x, axes)
    if kind == "variance":
        return mean_by_sum(x.sub(mean_by_sum(x, axes)).square_(), axes)
    if weights is not None:
        return x.mul(weights).sum(axes, keepdim=True)
    return x.to(_accumulation_dtype(x)).square().sum(axes, keepdim=True)


def pooling_gradient(
    x: Tensor, pooling: Pooling, value: Tensor, grad: Tensor, scratch: Tensor
) -> Tensor:
    """The contribution of a pooling to the gradient of its map; broadcasts to `x`.

    Args:
        x: the map, with its axes in the order that `pooling.axes` refers to.
        pooling: what was computed.
        value: its result, with length 1 along the pooling's axes.
        grad: the gradient of that result, in the same shape.
        scratch: a buffer of the map's size.
    """
    kind, axes, weights = pooling
    size = x.numel() // value.numel()
    if kind == "mean":
        return grad / size
    if kind == "maximum":
        mask = torch.eq(x, value, out=scratch)
        return mask.mul_(grad / mask.sum(axes, keepdim=True))
    if kind == "variance":
        centred = torch.sub(x, mean_by_sum(x, axes), out=scratch)
        return centred.mul_(grad * (2 / size))
    if weights is not None:
        return torch.mul(grad, weights, out=scratch)
    return torch.mul(x, (2 * grad).to(x.dtype), out=scratch)


def mean_by_sum(x: Tensor, axes: Axes, *, keepdim: bool = True) -> Tensor:
    """The mean along `axes`, as a sum that is divided.

    `Tensor.mean` makes a float32 copy of a bf16 map, whereas `sum` only accumulates in float32. The
    gradient of `mean` is a full map with channels first, whereas that of a sum is an expanded view.

    Args:
        x: the map, with its axes in any order.
        axes: the axes to reduce.
        keepdim: whether they are kept with length 1.
    """
    if x.dtype == torch.float16:  # A sum in float16 may overflow.
        return x.mean(axes, keepdim=keepdim)
    total = x.sum(axes, keepdim=keepdim)
    return total.div_(x.numel() // total.numel())


def _maximum(x: Tensor, axes: Axes) -> Tensor:
    # With channels last, `amax` is up to 30 times slower in bf16 and for odd numbers of channels.
    half_precision = x.element_size() < 4
    if axes == (3,) and half_precision:
        return x.float().amax(axes, keepdim=True).to(x.dtype)
    if axes == (1, 2) and half_precision:
        return F.adaptive_max_pool2d(x.permute(0, 3, 1, 2), 1).permute(0, 2, 3, 1)
    if axes == (1, 2) and x.shape[3] % 32:
        return x.amax(1, keepdim=True).amax(2, keepdim=True)
    return x.amax(axes, keepdim=True)


def _accumulation_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)  # Squares can overflow float16.
