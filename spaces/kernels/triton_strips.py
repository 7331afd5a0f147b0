"""Means of rows and columns on CUDA, and gates of rows and columns, in one pass each.

Importing this module needs Triton, and `check` has to pass on a device before the kernels are used
there. A map is in memory order, with axes 1, 2 and 3: two of them, p and q, are its height and
width, and k are its channels. With channels last (`channel_axis` 3) the order is p, q, k; with
channels first (`channel_axis` 1) it is k, p, q. Pooled tensors and gates keep all axes, one of them
with length 1, and are contiguous in the same order. A tensor "of each p" has length 1 along q, and
a tensor "of each q" has length 1 along p; `per_p_stride` and `per_q_stride` are their strides.

`pool`            the mean along q and that along p, reading the map once: 1 pass instead of 2
`add_gradients`   the gradient of the map, given those of its means: 2 passes
`scale`           the map times a gate of each p and one of each q: 2 passes instead of 4
`scale_backward`  the gradients of a map and its two gates: 3 passes

In `pool` and `scale_backward`, a program processes some channels of one sample. It loops over p and
loads the whole of q at once, so q must not be long (`Limits.max_strip_length`). The other kernels
read a sample in the order of memory. Sums are in float32, or in float64 for maps in float64.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .triton_pool_scale import ELEMENTS_PER_PROGRAM, accumulation_dtype


@triton.jit
def _pool(
    x,
    over_q,
    over_p,
    p_length,
    q_length,
    k_length,
    p_stride,
    q_stride,
    k_stride,
    per_p_stride,
    per_q_stride,
    per_p_channel_stride,
    per_q_channel_stride,
    dtype: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block_k + tl.arange(0, block_k)
    q = tl.arange(0, block_q)
    kept_mask = k < k_length
    mask = (q < q_length)[:, None] & kept_mask[None, :]
    tile = (
        x + sample * p_length * q_length * k_length + q[:, None] * q_stride + k[None, :] * k_stride
    )
    row = over_q + sample * p_length * k_length + k * per_p_channel_stride
    total = tl.zeros([block_q, block_k], dtype)
    for p in range(p_length):
        value = tl.load(tile + p * p_stride, mask=mask, other=0.0).to(dtype)
        total += value
        tl.store(row + p * per_p_stride, tl.sum(value, 0) / q_length, mask=kept_mask)
    column = (
        over_p
        + sample * q_length * k_length
        + q[:, None] * per_q_stride
        + k[None, :] * per_q_channel_stride
    )
    tl.store(column, total / p_length, mask=mask)


@triton.jit
def _scale_backward(
    x,
    grad,
    by_p,
    by_q,
    grad_map,
    grad_p,
    grad_q,
    p_length,
    q_length,
    k_length,
    p_stride,
    q_stride,
    k_stride,
    per_p_stride,
    per_q_stride,
    per_p_channel_stride,
    per_q_channel_stride,
    with_map: tl.constexpr,
    with_p: tl.constexpr,
    with_q: tl.constexpr,
    dtype: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block_k + tl.arange(0, block_k)
    q = tl.arange(0, block_q)
    kept_mask = k < k_length
    mask = (q < q_length)[:, None] & kept_mask[None, :]
    tile = sample * p_length * q_length * k_length + q[:, None] * q_stride + k[None, :] * k_stride
    row = sample * p_length * k_length + k * per_p_channel_stride
    column = (
        sample * q_length * k_length + q[:, None] * per_q_stride + k[None, :] * per_q_channel_stride
    )
    factor_q = tl.load(by_q + column, mask=mask, other=0.0).to(dtype)
    total = tl.zeros([block_q, block_k], dtype)
    for p in range(p_length):
        offsets = tile + p * p_stride
        value = tl.load(grad + offsets, mask=mask, other=0.0).to(dtype)
        factor_p = tl.load(by_p + row + p * per_p_stride, mask=kept_mask, other=0.0).to(dtype)
        # The map is read before its gradient is written.
        if with_p or with_q:
            product = value * tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
            if with_p:
                tl.store(
                    grad_p + row + p * per_p_stride, tl.sum(product * factor_q, 0), mask=kept_mask
                )
            if with_q:
                total += product * factor_p[None, :]
        if with_map:
            tl.store(grad_map + offsets, value * factor_p[None, :] * factor_q, mask=mask)
    if with_q:
        tl.store(grad_q + column, total, mask=mask)


@triton.jit
def _strip_offsets(sample, flat, p_length, q_length, k_length, channels_last: tl.constexpr):
    """Offsets of an element of a sample in a tensor of each p and in a tensor of each q."""
    if channels_last:
        p_offset = flat // (q_length * k_length) * k_length + flat % k_length
        q_offset = flat % (q_length * k_length)
    else:
        p_offset = flat // q_length
        q_offset = flat // (p_length * q_length) * q_length + flat % q_length
    return sample * p_length * k_length + p_offset, sample * q_length * k_length + q_offset


@triton.jit
def _add_gradients(
    grad,
    total,
    grad_q,
    grad_p,
    p_length,
    q_length,
    k_length,
    channels_last: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    mask = flat < p_length * q_length * k_length
    p_offset, q_offset = _strip_offsets(sample, flat, p_length, q_length, k_length, channels_last)
    offsets = sample * p_length * q_length * k_length + flat
    value = tl.load(grad + offsets, mask=mask, other=0.0).to(dtype)
    value += tl.load(grad_q + p_offset, mask=mask, other=0.0).to(dtype) / q_length
    value += tl.load(grad_p + q_offset, mask=mask, other=0.0).to(dtype) / p_length
    tl.store(total + offsets, value, mask=mask)


@triton.jit
def _scale(
    x,
    by_p,
    by_q,
    y,
    p_length,
    q_length,
    k_length,
    channels_last: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    mask = flat < p_length * q_length * k_length
    p_offset, q_offset = _strip_offsets(sample, flat, p_length, q_length, k_length, channels_last)
    offsets = sample * p_length * q_length * k_length + flat
    value = tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
    value *= tl.load(by_p + p_offset, mask=mask, other=0.0).to(dtype)
    value *= tl.load(by_q + q_offset, mask=mask, other=0.0).to(dtype)
    tl.store(y + offsets, value, mask=mask)


def pool(x: Tensor, over_q: Tensor, over_p: Tensor, channel_axis: int) -> None:
    """The means of a map along q and along p.

    Args:
        x: the map, in memory order.
        over_q: buffer for the mean along q, of each p.
        over_p: buffer for the mean along p, of each q.
        channel_axis: 3 with channels channels_last, 1 with channels first.
    """
    _launch_tiled(_pool, x, channel_axis, over_q, over_p)


def add_gradients(
    grad: Tensor, total: Tensor, grad_q: Tensor, grad_p: Tensor, channel_axis: int
) -> None:
    """total = grad + the contributions of the means.

    Args:
        grad: the gradient of the map from its other uses, in memory order.
        total: the result; may be `grad`.
        grad_q: the gradient of the mean along q, of each p.
        grad_p: the gradient of the mean along p, of each q.
        channel_axis: 3 with channels channels_last, 1 with channels first.
    """
    _launch_flat(_add_gradients, grad, channel_axis, total, grad_q, grad_p)


def scale(x: Tensor, by_p: Tensor, by_q: Tensor, y: Tensor, channel_axis: int) -> None:
    """y = x · by_p · by_q, rounded once.

    Args:
        x: the map, in memory order.
        by_p: the gate of each p.
        by_q: the gate of each q.
        y: the result.
        channel_axis: 3 with channels channels_last, 1 with channels first.
    """
    _launch_flat(_scale, x, channel_axis, by_p, by_q, y)


def scale_backward(
    x: Tensor,
    grad: Tensor,
    by_p: Tensor,
    by_q: Tensor,
    grad_map: Tensor | None,
    grad_p: Tensor | None,
    grad_q: Tensor | None,
    channel_axis: int,
) -> None:
    """The gradients of a map and of its gates.

    Args:
        x: the map, in memory order.
        grad: the gradient of the product.
        by_p: the gate of each p.
        by_q: the gate of each q.
        grad_map: buffer for the gradient of the map; None if not needed.
        grad_p: buffer for that of the gate of each p; None if not needed.
        grad_q: buffer for that of the gate of each q; None if not needed.
        channel_axis: 3 with channels channels_last, 1 with channels first.
    """
    buffers = (x if buffer is None else buffer for buffer in (grad_map, grad_p, grad_q))
    flags = {
        "with_map": grad_map is not None,
        "with_p": grad_p is not None,
        "with_q": grad_q is not None,
    }
    _launch_tiled(_scale_backward, x, channel_axis, grad, by_p, by_q, *buffers, **flags)


def _lengths(shape: tuple[int, ...], channel_axis: int) -> tuple[int, int, int]:
    """The lengths of p, q and k, which depend on the order of the axes."""
    if channel_axis not in (1, 3):
        raise ValueError(f"channels are axis 1 or 3 of a map in memory order, not {channel_axis}")
    _, a, b, c = shape
    return (a, b, c) if channel_axis == 3 else (b, c, a)


def _launch_tiled(
    kernel: Any, x: Tensor, channel_axis: int, *tensors: Tensor, **flags: bool
) -> None:
    p_length, q_length, k_length = _lengths(x.shape, channel_axis)
    block_q = triton.next_power_of_2(q_length)
    if block_q > 1024:
        raise ValueError(f"a tile cannot have {q_length} locations")
    # Strides are computed from the lengths, because an axis of length 1 can have any stride.
    if channel_axis == 3:
        strides = (q_length * k_length, k_length, 1, k_length, k_length, 1, 1)
        block_k = min(64, 4096 // block_q, triton.next_power_of_2(k_length))
    else:
        strides = (q_length, 1, p_length * q_length, 1, 1, p_length, q_length)
        block_k = min(2048 // block_q, triton.next_power_of_2(k_length))
    grid = (len(x), triton.cdiv(k_length, block_k))
    blocks = {"block_q": block_q, "block_k": block_k}
    # `scale_backward` has up to four tiles in registers: 16 elements of each a thread.
    warps = min(8, max(1, block_q * block_k // 512))
    with torch.cuda.device_of(x):
        kernel[grid](
            x,
            *tensors,
            p_length,
            q_length,
            k_length,
            *strides,
            **flags,
            dtype=accumulation_dtype(x),
            **blocks,
            num_warps=warps,
        )


def _launch_flat(kernel: Any, x: Tensor, channel_axis: int, *tensors: Tensor) -> None:
    p_length, q_length, k_length = _lengths(x.shape, channel_axis)
    grid = (len(x), triton.cdiv(p_length * q_length * k_length, ELEMENTS_PER_PROGRAM))
    with torch.cuda.device_of(x):
        kernel[grid](
            x,
            *tensors,
            p_length,
            q_length,
            k_length,
            channels_last=channel_axis == 3,
            dtype=accumulation_dtype(x),
            block=ELEMENTS_PER_PROGRAM,
        )


def check(device: torch.device) -> None:
    """Raise AssertionError unless the kernels agree with torch on the device."""
    _check(torch.randn(3, 40, 4, 33, device=device), 1)
    _check(torch.randn(3, 4, 33, 40, device=device), 3)


def _check(x: Tensor, channel_axis: int) -> None:
    p, q = (1, 2) if channel_axis == 3 else (2, 3)
    grad, total, y, grad_map = torch.randn_like(x), *(torch.empty_like(x) for _ in range(3))
    mean_q, mean_p = x.mean(q, keepdim=True), x.mean(p, keepdim=True)
    by_p, by_q = torch.randn_like(mean_q), torch.randn_like(mean_p)
    over_q, over_p, grad_p, grad_q = (torch.empty_like(each) for each in (mean_q, mean_p) * 2)
    pool(x, over_q, over_p, channel_axis)
    add_gradients(grad, total, by_p, by_q, channel_axis)
    scale(x, by_p, by_q, y, channel_axis)
    scale_backward(x, grad, by_p, by_q, grad_map, grad_p, grad_q, channel_axis)
    pairs = (
        (over_q, mean_q),
        (over_p, mean_p),
        (total, grad + by_p / x.shape[q] + by_q / x.shape[p]),
        (y, x * by_p * by_q),
        (grad_map, grad * by_p * by_q),
        (grad_p, (grad * x * by_q).sum(q, keepdim=True)),
        (grad_q, (grad * x * by_p).sum(p, keepdim=True)),
    )
    for result, expected in pairs:
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
