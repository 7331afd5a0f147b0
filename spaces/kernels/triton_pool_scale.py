"""Pooling and scaling on CUDA in one pass each: what `pool_scale_cpu.py` does chunk by chunk.

Importing this module needs Triton. `pool_scale_cuda.py` imports it only for a map on a CUDA device,
where `check` has to pass before the kernels are used. A map is treated as (N, A, B), in memory
order: with channels last A are locations and B channels, with channels first the reverse. A mean, a
maximum or a gate keeps one of the two axes and reduces the other, of lengths `kept_length` and
`reduced_length`. A program processes part of the kept axis of one sample, along the whole reduced
axis.

`pool`            mean and maximum, reading the map once: 1 pass instead of 2
`add_gradients`   gradient of the map, from those of mean and maximum: 3 passes instead of about 9
`scale`           map times gate: 2 passes; or ReLU(map · gate + shortcut): 3 instead of 7
`scale_backward`  gradients of map and gate: 3 passes instead of 7; and shortcut: 5 instead of 10

Sums are in float32, or in float64 for maps in float64.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

ELEMENTS_PER_PROGRAM = 1024
"""Elements per program of a kernel that reads a map in the order of memory."""


@triton.jit
def _pool(
    x,
    mean,
    maximum,
    kept_length,
    reduced_length,
    kept_stride,
    reduced_stride,
    with_mean: tl.constexpr,
    with_maximum: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block + tl.arange(0, block)
    kept_mask = k < kept_length
    rows = x + sample * kept_length * reduced_length + k[:, None] * kept_stride
    total = tl.zeros([block, step], dtype)
    running_maximum = tl.full([block, step], float("-inf"), dtype)
    for begin in range(0, reduced_length, step):
        r = begin + tl.arange(0, step)
        mask = kept_mask[:, None] & (r < reduced_length)[None, :]
        value = tl.load(rows + r[None, :] * reduced_stride, mask=mask, other=0.0).to(dtype)
        total += value
        running_maximum = tl.maximum(running_maximum, tl.where(mask, value, float("-inf")))
    if with_mean:
        tl.store(mean + sample * kept_length + k, tl.sum(total, 1) / reduced_length, mask=kept_mask)
    if with_maximum:
        tl.store(maximum + sample * kept_length + k, tl.max(running_maximum, 1), mask=kept_mask)


@triton.jit
def _add_gradients(
    x,
    grad,
    total,
    maximum,
    grad_mean,
    grad_maximum,
    kept_length,
    reduced_length,
    kept_stride,
    reduced_stride,
    with_mean: tl.constexpr,
    with_maximum: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block + tl.arange(0, block)
    kept_mask = k < kept_length
    start = sample * kept_length * reduced_length + k[:, None] * kept_stride
    mean_part = tl.zeros([block], dtype)
    maximum_part = tl.zeros([block], dtype)
    maximum_value = tl.zeros([block], dtype)
    if with_mean:
        mean_part = (
            tl.load(grad_mean + sample * kept_length + k, mask=kept_mask, other=0.0).to(dtype)
            / reduced_length
        )
    if with_maximum:
        maximum_value = tl.load(maximum + sample * kept_length + k, mask=kept_mask, other=0.0).to(
            dtype
        )
        equal_count = tl.zeros([block, step], dtype)
        for begin in range(0, reduced_length, step):
            r = begin + tl.arange(0, step)
            mask = kept_mask[:, None] & (r < reduced_length)[None, :]
            value = tl.load(x + start + r[None, :] * reduced_stride, mask=mask, other=0.0).to(dtype)
            equal_count += tl.where(mask & (value == maximum_value[:, None]), 1.0, 0.0).to(dtype)
        number = tl.maximum(tl.sum(equal_count, 1), 1.0)
        maximum_part = (
            tl.load(grad_maximum + sample * kept_length + k, mask=kept_mask, other=0.0).to(dtype)
            / number
        )
    for begin in range(0, reduced_length, step):
        r = begin + tl.arange(0, step)
        mask = kept_mask[:, None] & (r < reduced_length)[None, :]
        offsets = start + r[None, :] * reduced_stride
        value = tl.load(grad + offsets, mask=mask, other=0.0).to(dtype) + mean_part[:, None]
        if with_maximum:
            is_maximum = (
                tl.load(x + offsets, mask=mask, other=0.0).to(dtype) == maximum_value[:, None]
            )
            value += tl.where(is_maximum, maximum_part[:, None], 0.0)
        tl.store(total + offsets, value, mask=mask)


@triton.jit
def _scale(
    x,
    gate,
    shortcut,
    y,
    width,
    sample_size,
    keeps_last: tl.constexpr,
    with_shortcut: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    mask = flat < sample_size
    if keeps_last:
        factor = gate + sample * width + flat % width
    else:
        factor = gate + sample * (sample_size // width) + flat // width
    offsets = sample * sample_size + flat
    value = tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
    value *= tl.load(factor, mask=mask, other=0.0).to(dtype)
    if with_shortcut:
        value += tl.load(shortcut + offsets, mask=mask, other=0.0).to(dtype)
        value = tl.where(value < 0, 0.0, value)  # NaN stays NaN.
    tl.store(y + offsets, value, mask=mask)


@triton.jit
def _scale_backward(
    x,
    grad,
    gate,
    y,
    grad_map,
    grad_gate,
    grad_shortcut,
    kept_length,
    reduced_length,
    kept_stride,
    reduced_stride,
    with_map: tl.constexpr,
    with_gate: tl.constexpr,
    with_shortcut: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block + tl.arange(0, block)
    kept_mask = k < kept_length
    start = sample * kept_length * reduced_length + k[:, None] * kept_stride
    factor = tl.load(gate + sample * kept_length + k, mask=kept_mask, other=0.0).to(dtype)
    total = tl.zeros([block, step], dtype)
    for begin in range(0, reduced_length, step):
        r = begin + tl.arange(0, step)
        mask = kept_mask[:, None] & (r < reduced_length)[None, :]
        offsets = start + r[None, :] * reduced_stride
        value = tl.load(grad + offsets, mask=mask, other=0.0).to(dtype)
        if with_shortcut:
            value = tl.where(tl.load(y + offsets, mask=mask, other=0.0) > 0, value, 0.0)
            tl.store(grad_shortcut + offsets, value, mask=mask)
        if with_gate:
            total += value * tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
        if with_map:
            tl.store(grad_map + offsets, value * factor[:, None], mask=mask)
    if with_gate:
        tl.store(grad_gate + sample * kept_length + k, tl.sum(total, 1), mask=kept_mask)


def pool(x: Tensor, axes: tuple[int, ...], mean: Tensor | None, maximum: Tensor | None) -> None:
    """Mean and maximum of a map along `axes`.

    Args:
        x: the map, in memory order.
        axes: the axes to reduce, from 1, 2 and 3.
        mean: buffer for the mean, with length 1 along the axes; None if not needed.
        maximum: buffer for the maximum; None if not needed.
    """
    buffers = (mean if mean is not None else x, maximum if maximum is not None else x)
    _launch(_pool, x, axes, *buffers, with_mean=mean is not None, with_maximum=maximum is not None)


def add_gradients(
    x: Tensor,
    grad: Tensor,
    total: Tensor,
    axes: tuple[int, ...],
    grad_mean: Tensor | None,
    maximum: Tensor | None,
    grad_maximum: Tensor | None,
) -> None:
    """total = grad + the contributions of mean and maximum.

    Args:
        x: the map, in memory order.
        grad: the gradient of the map from its other uses.
        total: the result; may be `grad`.
        axes: the axes that were reduced.
        grad_mean: the gradient of the mean; None if there is no mean.
        maximum: the maximum; needed if `grad_maximum` is not None.
        grad_maximum: the gradient of the maximum, which equal maxima share evenly.
    """
    tensors = (x if tensor is None else tensor for tensor in (maximum, grad_mean, grad_maximum))
    flags = {"with_mean": grad_mean is not None, "with_maximum": grad_maximum is not None}
    _launch(_add_gradients, x, axes, grad, total, *tensors, **flags)


def scale(x: Tensor, gate: Tensor, y: Tensor, shortcut: Tensor | None = None) -> None:
    """y = x · gate, or ReLU(x · gate + shortcut), rounded once.

    Args:
        x: the map, in memory order.
        gate: a gate that keeps either all channels or all locations.
        y: the result.
        shortcut: another map, or None.
    """
    sample_size, gate_size = x.numel() // len(x), gate.numel() // len(x)
    keeps_last = _reduces_first(x, _reduced_axes(x, gate))
    width = gate_size if keeps_last else sample_size // gate_size
    grid = (len(x), triton.cdiv(sample_size, ELEMENTS_PER_PROGRAM))
    flags = {"keeps_last": keeps_last, "with_shortcut": shortcut is not None}
    second = x if shortcut is None else shortcut
    with torch.cuda.device_of(x):
        _scale[grid](
            x,
            gate,
            second,
            y,
            width,
            sample_size,
            **flags,
            dtype=accumulation_dtype(x),
            block=ELEMENTS_PER_PROGRAM,
        )


def scale_backward(
    x: Tensor,
    grad: Tensor,
    gate: Tensor,
    grad_map: Tensor | None,
    grad_gate: Tensor | None,
    y: Tensor | None = None,
    grad_shortcut: Tensor | None = None,
) -> None:
    """Gradients of a map and of its gate, and of the shortcut.

    Args:
        x: the map, in memory order.
        grad: the gradient of the result of `scale`.
        gate: a gate that keeps either all channels or all locations.
        grad_map: buffer for the gradient of the map; None if not needed.
        grad_gate: buffer for that of the gate; None if not needed.
        y: the result of `scale` with a shortcut, or None.
        grad_shortcut: buffer for the gradient of the shortcut, if there is one.
    """
    tensors = (
        x if tensor is None else tensor for tensor in (y, grad_map, grad_gate, grad_shortcut)
    )
    flags = {"with_map": grad_map is not None, "with_gate": grad_gate is not None}
    flags |= {"with_shortcut": y is not None}
    _launch(_scale_backward, x, _reduced_axes(x, gate), grad, gate, *tensors, **flags)


def _reduced_axes(x: Tensor, gate: Tensor) -> tuple[int, ...]:
    return tuple(axis for axis in (1, 2, 3) if gate.shape[axis] != x.shape[axis])


def _reduces_first(x: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether the reduced axes precede the kept ones, along which values are then adjacent."""
    kept_axes = [axis for axis in (1, 2, 3) if axis not in axes and x.shape[axis] > 1]
    return not kept_axes or axes[0] < kept_axes[-1]


def accumulation_dtype(x: Tensor) -> Any:
    """The type in which values of a map are summed."""
    return tl.float64 if x.dtype == torch.float64 else tl.float32


def _launch(kernel: Any, x: Tensor, axes: tuple[int, ...], *tensors: Tensor, **flags: bool) -> None:
    samples = len(x)
    reduced_length = 1
    for axis in axes:
        reduced_length *= x.shape[axis]
    kept_length = x.numel() // (samples * reduced_length)
    first = _reduces_first(x, axes)
    kept_stride, reduced_stride = (1, kept_length) if first else (reduced_length, 1)
    if first:
        block, step = 32, 32
    else:
        block, step = 4, min(512, max(32, triton.next_power_of_2(reduced_length)))
    grid = (samples, triton.cdiv(kept_length, block))
    sizes = {"dtype": accumulation_dtype(x), "block": block, "step": step}
    with torch.cuda.device_of(x):
        kernel[grid](
            x, *tensors, kept_length, reduced_length, kept_stride, reduced_stride, **flags, **sizes
        )


def check(device: torch.device) -> None:
    """Raise AssertionError unless the kernels agree with torch on the device."""
    for axes in ((1, 2), (3,)):
        _check(torch.randn(3, 4, 5, 40, device=device), axes)


def _check(x: Tensor, axes: tuple[int, ...]) -> None:
    grad, total, grad_map = torch.randn_like(x), torch.empty_like(x), torch.empty_like(x)
    expected_mean, expected_maximum = x.mean(axes, keepdim=True), x.amax(axes, keepdim=True)
    mean, maximum, gate, grad_gate = (torch.empty_like(expected_mean) for _ in range(4))
    pool(x, axes, mean, maximum)
    gate.copy_(expected_maximum)
    add_gradients(x, grad, total, axes, gate, expected_maximum, gate)
    scale_backward(x, grad, gate, grad_map, grad_gate)
    kept_length = x.numel() // mean.numel()
    y, grad_gated_map, grad_shortcut = (torch.empty_like(x) for _ in range(3))
    scale(x, gate, y, grad)
    scale_backward(x, grad, gate, grad_gated_map, None, y, grad_shortcut)
    passed = (x * gate + grad > 0) * grad
    pairs = (
        (mean, expected_mean),
        (maximum, expected_maximum),
        (total, grad + gate / kept_length + (x == expected_maximum) * gate),
        (grad_map, grad * gate),
        (grad_gate, (grad * x).sum(axes, keepdim=True)),
        (y, (x * gate + grad).relu()),
        (grad_shortcut, passed),
        (grad_gated_map, passed * gate),
    )
    for result, expected in pairs:
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
