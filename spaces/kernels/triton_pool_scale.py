"""Pooling and scaling on CUDA in one pass each: what `pool_scale_cpu.py` does chunk by chunk.

Importing this module needs Triton. `pool_scale_cuda.py` imports it only for a map on a CUDA device,
where `check` has to pass before anything else is used. A map is seen as (N, A, B), in memory order:
with channels last A are locations and B channels, with channels first the other way round. A mean,
a maximum or a gate keeps one of the two axes and reduces the other; `kept_length` and
`reduced_length` are how long they are. A program has part of the kept axis, of one sample, and goes
along the reduced one.

`pool`            mean and maximum, reading the map once: 1 pass instead of 2
`add_gradients`   the gradient of the map, given those of its mean and maximum: 3 passes, of about 9
`scale`           a map times its gate: 2 passes; or ReLU(map · gate + shortcut): 3, of 7
`scale_backward`  the gradients of a map and its gate: 3 passes, of 7; with the shortcut's: 5, of 10

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
"""Elements of a program that goes along a map in the order of memory."""


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
    of_mean,
    of_maximum,
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
            tl.load(of_mean + sample * kept_length + k, mask=kept_mask, other=0.0).to(dtype)
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
            tl.load(of_maximum + sample * kept_length + k, mask=kept_mask, other=0.0).to(dtype)
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
        value = tl.where(value < 0, 0.0, value)  # what is not a number stays so
    tl.store(y + offsets, value, mask=mask)


@triton.jit
def _scale_backward(
    x,
    grad,
    gate,
    y,
    of_map,
    of_gate,
    of_shortcut,
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
            tl.store(of_shortcut + offsets, value, mask=mask)
        if with_gate:
            total += value * tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
        if with_map:
            tl.store(of_map + offsets, value * factor[:, None], mask=mask)
    if with_gate:
        tl.store(of_gate + sample * kept_length + k, tl.sum(total, 1), mask=kept_mask)


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
    of_mean: Tensor | None,
    maximum: Tensor | None,
    of_maximum: Tensor | None,
) -> None:
    """total = grad + the parts of mean and maximum.

    Args:
        x: the map, in memory order.
        grad: the gradient of the map from elsewhere.
        total: the result; may be `grad`.
        axes: the axes that were reduced.
        of_mean: the gradient of the mean; None if there is no mean.
        maximum: the maximum; needed if `of_maximum` is not None.
        of_maximum: the gradient of the maximum, which equal maxima share evenly.
    """
    tensors = (x if tensor is None else tensor for tensor in (maximum, of_mean, of_maximum))
    flags = {"with_mean": of_mean is not None, "with_maximum": of_maximum is not None}
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
    of_map: Tensor | None,
    of_gate: Tensor | None,
    y: Tensor | None = None,
    of_shortcut: Tensor | None = None,
) -> None:
    """Gradients of a map and of its gate, and of the shortcut.

    Args:
        x: the map, in memory order.
        grad: the gradient of the result of `scale`.
        gate: a gate that keeps either all channels or all locations.
        of_map: buffer for the gradient of the map; None if not needed.
        of_gate: buffer for that of the gate; None if not needed.
        y: the result of `scale` with a shortcut, or None.
        of_shortcut: buffer for the gradient of the shortcut, if there is one.
    """
    tensors = (x if tensor is None else tensor for tensor in (y, of_map, of_gate, of_shortcut))
    flags = {"with_map": of_map is not None, "with_gate": of_gate is not None}
    flags |= {"with_shortcut": y is not None}
    _launch(_scale_backward, x, _reduced_axes(x, gate), grad, gate, *tensors, **flags)


def _reduced_axes(x: Tensor, gate: Tensor) -> tuple[int, ...]:
    return tuple(axis for axis in (1, 2, 3) if gate.shape[axis] != x.shape[axis])


def _reduces_first(x: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether the reduced axes lie before what is kept, so that kept neighbours are adjacent."""
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
    """AssertionError if the kernels compute on a device something else than torch does."""
    for axes in ((1, 2), (3,)):
        _check(torch.randn(3, 4, 5, 40, device=device), axes)


def _check(x: Tensor, axes: tuple[int, ...]) -> None:
    grad, total, of_map = torch.randn_like(x), torch.empty_like(x), torch.empty_like(x)
    expected_mean, expected_maximum = x.mean(axes, keepdim=True), x.amax(axes, keepdim=True)
    mean, maximum, gate, of_gate = (torch.empty_like(expected_mean) for _ in range(4))
    pool(x, axes, mean, maximum)
    gate.copy_(expected_maximum)
    add_gradients(x, grad, total, axes, gate, expected_maximum, gate)
    scale_backward(x, grad, gate, of_map, of_gate)
    kept_length = x.numel() // mean.numel()
    y, of_gated_map, of_shortcut = (torch.empty_like(x) for _ in range(3))
    scale(x, gate, y, grad)
    scale_backward(x, grad, gate, of_gated_map, None, y, of_shortcut)
    passed = (x * gate + grad > 0) * grad
    pairs = (
        (mean, expected_mean),
        (maximum, expected_maximum),
        (total, grad + gate / kept_length + (x == expected_maximum) * gate),
        (of_map, grad * gate),
        (of_gate, (grad * x).sum(axes, keepdim=True)),
        (y, (x * gate + grad).relu()),
        (of_shortcut, passed),
        (of_gated_map, passed * gate),
    )
    for result, expected in pairs:
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
