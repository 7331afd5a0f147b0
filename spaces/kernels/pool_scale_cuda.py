"""Which maps on a CUDA device are pooled and scaled by the Triton kernels, and by which.

Where the kernels cannot be used (`unusable`), attentions are the plain formulas.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .pooling import Pooling
from .triton_module import TritonKernels

KERNELS = TritonKernels(f"{__package__}.triton_pool_scale")
STRIPS = TritonKernels(f"{__package__}.triton_strips")

LONGEST = 256
"""Rows and columns are pooled in one go up to here, where a tile still has enough channels to be
read in whole lines."""


def unusable(device: torch.device, *, strips: bool = False) -> str | None:
    """Why the kernels, or those for rows and columns, are not used on a CUDA device; None if they
    are."""
    return (STRIPS if strips else KERNELS).unusable(device)


def covers(x: Tensor, pools: Sequence[Pooling]) -> bool:
    """Whether there is a kernel: for a mean, a maximum, or both, of all places or channels; or for
    the means of all rows and of all columns."""
    kinds = sorted(pool.kind for pool in pools)
    if are_strips(pools):
        axes = {pool.axes for pool in pools}
        return kinds == ["mean", "mean"] and axes == {(2,), (3,)} and max(x.shape[2:]) <= LONGEST
    alike = pools[0].axes in ((1,), (2, 3)) and all(p.axes == pools[0].axes for p in pools)
    return alike and kinds in (["mean"], ["maximum"], ["maximum", "mean"])


def covers_gates(x: Tensor, gates: Sequence[Tensor]) -> bool:
    """Whether there is a kernel: for a gate of channels or of places; or for one of rows and one of
    columns."""
    number, channels, height, width = x.shape
    if len(gates) == 2:
        crossing = {(number, channels, height, 1), (number, channels, 1, width)}
        fits = min(height, width) > 1 and max(height, width) <= LONGEST
        return fits and {tuple(gate.shape) for gate in gates} == crossing
    alone = len(gates) == 1 and gates[0].shape != x.shape
    return alone and gates[0].shape[1:] in ((channels, 1, 1), (1, height, width))


def pool(x: Tensor, pools: Sequence[Pooling]) -> list[Tensor]:
    """The values of pools that are covered, of a lying map; their axes are kept with length 1."""
    values = [
        x.new_empty([1 if axis in each.axes else side for axis, side in enumerate(x.shape)])
        for each in pools
    ]
    if are_strips(pools):
        over_p, over_q = _in_order(pools, values)
        STRIPS.module.pool(x, over_q, over_p, _channels_at(pools))
    else:
        found = {each.kind: value for each, value in zip(pools, values, strict=True)}
        KERNELS.module.pool(x, pools[0].axes, found.get("mean"), found.get("maximum"))
    return values


def add(
    x: Tensor, grad: Tensor, total: Tensor, pools: Sequence[Pooling], small: Sequence[Tensor]
) -> None:
    """total = grad + the part of every pool; `small` are value and gradient of each."""
    if are_strips(pools):
        of_p, of_q = _in_order(pools, small[1::2])
        STRIPS.module.add(grad, total, of_q, of_p, _channels_at(pools))
        return
    values, grads = (
        {each.kind: tensor for each, tensor in zip(pools, tensors, strict=True)}
        for tensors in (small[::2], small[1::2])
    )
    of_mean, top, of_top = grads.get("mean"), values.get("maximum"), grads.get("maximum")
    KERNELS.module.add(x, grad, total, pools[0].axes, of_mean, top, of_top)


def scale(x: Tensor, gates: Sequence[Tensor], y: Tensor, other: Tensor | None = None) -> None:
    """y = the product of a lying map and its gates; ReLU(y + other) with another map."""
    if len(gates) == 2:
        by_p, by_q, channels_at = _crossing(x, gates)
        STRIPS.module.scale(x, by_p, by_q, y, channels_at)
    else:
        KERNELS.module.scale(x, gates[0], y, other)


def unscale(given: Sequence[Tensor], wanted: Sequence[Tensor | None]) -> None:
    """Gradients of a lying map and its gates; `given` are map, gradient and gates."""
    x, grad, *gates = given
    if len(gates) == 2:
        by_p, by_q, channels_at = _crossing(x, gates)
        of_map, *of_gates = wanted
        of_p, of_q = of_gates if by_p is gates[0] else reversed(of_gates)
        STRIPS.module.unscale(x, grad, by_p, by_q, of_map, of_p, of_q, channels_at)
    else:
        KERNELS.module.unscale(x, grad, gates[0], *wanted)


def gated_residual_backward(
    x: Tensor,
    grad: Tensor,
    y: Tensor,
    gate: Tensor,
    of_map: Tensor,
    of_gate: Tensor,
    of_other: Tensor,
) -> None:
    """Gradients of a lying map, its gate, and another map, where y = ReLU(x · gate + other)."""
    KERNELS.module.unscale(x, grad, gate, of_map, of_gate, y, of_other)


def are_strips(pools: Sequence[Pooling]) -> bool:
    """Whether two pools go along different axes, which takes kernels of their own."""
    return len(pools) == 2 and pools[0].axes != pools[1].axes


def _in_order(pools: Sequence[Pooling], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Of two strips first that along the axis that lies first."""
    return tensors if pools[0].axes < pools[1].axes else tensors[::-1]


def _channels_at(pools: Sequence[Pooling]) -> int:
    """The axis that neither of two strips goes along."""
    return 6 - pools[0].axes[0] - pools[1].axes[0]


def _crossing(x: Tensor, gates: Sequence[Tensor]) -> tuple[Tensor, Tensor, int]:
    """Of two gates that of the axis that lies first, the other, and the axis of channels."""
    missing = [next(a for a in (1, 2, 3) if g.shape[a] != x.shape[a]) for g in gates]
    by_p, by_q = gates if missing[0] > missing[1] else gates[::-1]
    return by_p, by_q, 6 - sum(missing)
