"""Pooling and scaling on CUDA: which maps the Triton kernels cover, and calls of these kernels.

Where the kernels cannot be used (`why_unusable`), attentions compute the plain formulas. All
functions that compute take maps in memory order (see `pool_scale_cpu.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .limits import current_limits
from .pooling import Pooling
from .triton_module import POOL_SCALE, STRIPS


def why_unusable(device: torch.device, *, strips: bool = False) -> str | None:
    """Why the kernels are not used on a CUDA device; None if they are.

    Args:
        device: the device.
        strips: ask about the kernels for rows and columns.
    """
    return (STRIPS if strips else POOL_SCALE).why_unusable(device)


def covers_poolings(x: Tensor, poolings: Sequence[Pooling]) -> bool:
    """Whether there is a kernel for these poolings of a map (N, C, H, W).

    There is one for a mean, a maximum, or both, over all locations or all channels; and one for the
    means of all rows and of all columns.
    """
    kinds = sorted(pooling.kind for pooling in poolings)
    if are_strip_poolings(poolings):
        all_axes = {pooling.axes for pooling in poolings}
        fits = max(x.shape[2:]) <= current_limits().max_strip_length
        return kinds == ["mean", "mean"] and all_axes == {(2,), (3,)} and fits
    axes = poolings[0].axes
    same_axes = axes in ((1,), (2, 3)) and all(pooling.axes == axes for pooling in poolings)
    return same_axes and kinds in (["mean"], ["maximum"], ["maximum", "mean"])


def covers_gates(x: Tensor, gates: Sequence[Tensor]) -> bool:
    """Whether there is a kernel for these gates of a map (N, C, H, W).

    There is one for a gate of channels or of locations, and one for a gate of rows with a gate of
    columns.
    """
    samples, channels, height, width = x.shape
    if len(gates) == 2:
        strips = {(samples, channels, height, 1), (samples, channels, 1, width)}
        longest = current_limits().max_strip_length
        fits = min(height, width) > 1 and max(height, width) <= longest
        return fits and {tuple(gate.shape) for gate in gates} == strips
    single = len(gates) == 1 and gates[0].shape != x.shape
    return single and gates[0].shape[1:] in ((channels, 1, 1), (1, height, width))


def pool(x: Tensor, poolings: Sequence[Pooling]) -> list[Tensor]:
    """The results of poolings that are covered; their axes are kept with length 1."""
    values = [
        x.new_empty([1 if axis in pooling.axes else side for axis, side in enumerate(x.shape)])
        for pooling in poolings
    ]
    if are_strip_poolings(poolings):
        over_p, over_q = _by_first_axis(poolings, values)
        STRIPS.module.pool(x, over_q, over_p, _channel_axis(poolings))
    else:
        by_kind = {p.kind: value for p, value in zip(poolings, values, strict=True)}
        POOL_SCALE.module.pool(x, poolings[0].axes, by_kind.get("mean"), by_kind.get("maximum"))
    return values


def add_pooling_gradients(
    x: Tensor,
    grad: Tensor,
    total: Tensor,
    poolings: Sequence[Pooling],
    pooled: Sequence[Tensor],
) -> None:
    """total = grad + the contribution of every pooling.

    Args:
        x: the map.
        grad: the gradient of the map from its other uses.
        total: the result; may be `grad`.
        poolings: poolings that are covered.
        pooled: value and gradient of the first pooling, then of the second, and so on.
    """
    if are_strip_poolings(poolings):
        grad_p, grad_q = _by_first_axis(poolings, pooled[1::2])
        STRIPS.module.add_gradients(grad, total, grad_q, grad_p, _channel_axis(poolings))
        return
    values, grads = (
        {pooling.kind: tensor for pooling, tensor in zip(poolings, tensors, strict=True)}
        for tensors in (pooled[::2], pooled[1::2])
    )
    POOL_SCALE.module.add_gradients(
        x,
        grad,
        total,
        poolings[0].axes,
        grads.get("mean"),
        values.get("maximum"),
        grads.get("maximum"),
    )


def scale(x: Tensor, gates: Sequence[Tensor], y: Tensor, shortcut: Tensor | None = None) -> None:
    """y = the product of a map and its gates.

    Args:
        x: the map.
        gates: gates that are covered.
        y: the result.
        shortcut: with a single gate, another map: then y = ReLU(x · gate + shortcut).
    """
    if len(gates) == 2:
        by_p, by_q, channel_axis = _strip_gates(x, gates)
        STRIPS.module.scale(x, by_p, by_q, y, channel_axis)
    else:
        POOL_SCALE.module.scale(x, gates[0], y, shortcut)


def scale_backward(inputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Write the gradients of a map and its gates.

    Args:
        inputs: the map, the gradient of its product with the gates, and the gates.
        gradients: buffers for the gradients of the map and of the gates; None where not needed.
    """
    x, grad, *gates = inputs
    if len(gates) == 2:
        by_p, by_q, channel_axis = _strip_gates(x, gates)
        grad_map, *grad_gates = gradients
        grad_p, grad_q = grad_gates if by_p is gates[0] else reversed(grad_gates)
        STRIPS.module.scale_backward(x, grad, by_p, by_q, grad_map, grad_p, grad_q, channel_axis)
    else:
        POOL_SCALE.module.scale_backward(x, grad, gates[0], *gradients)


def gated_residual_backward(
    x: Tensor,
    grad: Tensor,
    y: Tensor,
    gate: Tensor,
    grad_map: Tensor,
    grad_gate: Tensor,
    grad_shortcut: Tensor,
) -> None:
    """Write the gradients of map, gate and shortcut, where y = ReLU(x · gate + shortcut).

    Args:
        x: the map.
        grad: the gradient of `y`.
        y: the result of the forward pass.
        gate: the gate, of channels or of locations.
        grad_map: buffer for the gradient of the map.
        grad_gate: buffer for that of the gate.
        grad_shortcut: buffer for that of the shortcut.
    """
    POOL_SCALE.module.scale_backward(x, grad, gate, grad_map, grad_gate, y, grad_shortcut)


def are_strip_poolings(poolings: Sequence[Pooling]) -> bool:
    """Whether two poolings reduce different axes, for which there are separate kernels."""
    return len(poolings) == 2 and poolings[0].axes != poolings[1].axes


def _by_first_axis(poolings: Sequence[Pooling], tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """The tensors of two strip poolings, ordered by the axis that is pooled."""
    return tensors if poolings[0].axes < poolings[1].axes else tensors[::-1]


def _channel_axis(poolings: Sequence[Pooling]) -> int:
    """The axis that neither of two strip poolings reduces."""
    return 6 - poolings[0].axes[0] - poolings[1].axes[0]


def _strip_gates(x: Tensor, gates: Sequence[Tensor]) -> tuple[Tensor, Tensor, int]:
    """The gate of each p, the gate of each q (`triton_strips.py`), and the axis of channels."""
    missing = [next(a for a in (1, 2, 3) if g.shape[a] != x.shape[a]) for g in gates]
    by_p, by_q = gates if missing[0] > missing[1] else gates[::-1]
    return by_p, by_q, 6 - sum(missing)
