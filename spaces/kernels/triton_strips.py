"""Means of rows and columns on CUDA, and gates of rows and columns, in one pass each.

Importing this module needs Triton, and `check` has to pass on a device before anything else is used
there. A map is in memory order, with axes 1, 2 and 3: two of them, p and q, are its height and
width, and k are its channels. With channels last (`channel_axis` 3) the order is p, q, k; with
channels first (`channel_axis` 1) it is k, p, q. The small tensors keep all axes, one of them with
length 1, and are contiguous in the same order: those "of each p" lack q, those "of each q" lack p.

`pool`            the mean along q and that along p, reading the map once: 1 pass instead of 2
`add_gradients`   the gradient of the map, given those of its means: 2 passes
`scale`           the map times a gate of each p and one of each q: 2 passes instead of 4
`scale_backward`  the gradients of a map and its two gates: 3 passes

`pool` and `scale_backward` have a program for some channels of one sample, which goes along p and
has the whole of q at once; therefore q must not be long (`Limits.max_strip_length`). The others go
through a sample in the order of memory. Sums are in float32, or in float64 for maps in float64.
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
    ps,
    qs,
    ks,
    sp,
    sq,
    sk,
    each_p,
    each_q,
    p_k,
    q_k,
    dtype: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block_k + tl.arange(0, block_k)
    q = tl.arange(0, block_q)
    kept_mask = k < ks
    mask = (q < qs)[:, None] & kept_mask[None, :]
    tile = x + sample * ps * qs * ks + q[:, None] * sq + k[None, :] * sk
    row = over_q + sample * ps * ks + k * p_k
    total = tl.zeros([block_q, block_k], dtype)
    for p in range(ps):
        value = tl.load(tile + p * sp, mask=mask, other=0.0).to(dtype)
        total += value
        tl.store(row + p * each_p, tl.sum(value, 0) / qs, mask=kept_mask)
    column = over_p + sample * qs * ks + q[:, None] * each_q + k[None, :] * q_k
    tl.store(column, total / ps, mask=mask)


@triton.jit
def _scale_backward(
    x,
    grad,
    by_p,
    by_q,
    of_map,
    of_p,
    of_q,
    ps,
    qs,
    ks,
    sp,
    sq,
    sk,
    each_p,
    each_q,
    p_k,
    q_k,
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
    kept_mask = k < ks
    mask = (q < qs)[:, None] & kept_mask[None, :]
    tile = sample * ps * qs * ks + q[:, None] * sq + k[None, :] * sk
    row = sample * ps * ks + k * p_k
    column = sample * qs * ks + q[:, None] * each_q + k[None, :] * q_k
    factor_q = tl.load(by_q + column, mask=mask, other=0.0).to(dtype)
    total = tl.zeros([block_q, block_k], dtype)
    for p in range(ps):
        offsets = tile + p * sp
        value = tl.load(grad + offsets, mask=mask, other=0.0).to(dtype)
        factor_p = tl.load(by_p + row + p * each_p, mask=kept_mask, other=0.0).to(dtype)
        # The map is read before its gradient is written.
        if with_p or with_q:
            both = value * tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
            if with_p:
                tl.store(of_p + row + p * each_p, tl.sum(both * factor_q, 0), mask=kept_mask)
            if with_q:
                total += both * factor_p[None, :]
        if with_map:
            tl.store(of_map + offsets, value * factor_p[None, :] * factor_q, mask=mask)
    if with_q:
        tl.store(of_q + column, total, mask=mask)


@triton.jit
def _strip_offsets(sample, flat, ps, qs, ks, last: tl.constexpr):
    """Where the p and the q of an element of a sample are in the small tensors."""
    if last:
        each_p = flat // (qs * ks) * ks + flat % ks
        each_q = flat % (qs * ks)
    else:
        each_p = flat // qs
        each_q = flat // (ps * qs) * qs + flat % qs
    return sample * ps * ks + each_p, sample * qs * ks + each_q


@triton.jit
def _add_gradients(
    grad,
    total,
    of_q,
    of_p,
    ps,
    qs,
    ks,
    last: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    mask = flat < ps * qs * ks
    each_p, each_q = _strip_offsets(sample, flat, ps, qs, ks, last)
    offsets = sample * ps * qs * ks + flat
    value = tl.load(grad + offsets, mask=mask, other=0.0).to(dtype)
    value += tl.load(of_q + each_p, mask=mask, other=0.0).to(dtype) / qs
    value += tl.load(of_p + each_q, mask=mask, other=0.0).to(dtype) / ps
    tl.store(total + offsets, value, mask=mask)


@triton.jit
def _scale(
    x,
    by_p,
    by_q,
    y,
    ps,
    qs,
    ks,
    last: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    mask = flat < ps * qs * ks
    each_p, each_q = _strip_offsets(sample, flat, ps, qs, ks, last)
    offsets = sample * ps * qs * ks + flat
    value = tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
    value *= tl.load(by_p + each_p, mask=mask, other=0.0).to(dtype)
    value *= tl.load(by_q + each_q, mask=mask, other=0.0).to(dtype)
    tl.store(y + offsets, value, mask=mask)


def pool(x: Tensor, over_q: Tensor, over_p: Tensor, channel_axis: int) -> None:
    """The means of a map along q and along p.

    Args:
        x: the map, in memory order.
        over_q: buffer for the mean along q, of each p.
        over_p: buffer for the mean along p, of each q.
        channel_axis: 3 with channels last, 1 with channels first.
    """
    _launch_tiled(_pool, x, channel_axis, over_q, over_p)


def add_gradients(
    grad: Tensor, total: Tensor, of_q: Tensor, of_p: Tensor, channel_axis: int
) -> None:
    """total = grad + the parts of the means.

    Args:
        grad: the gradient of the map from elsewhere, in memory order.
        total: the result; may be `grad`.
        of_q: the gradient of the mean along q, of each p.
        of_p: the gradient of the mean along p, of each q.
        channel_axis: 3 with channels last, 1 with channels first.
    """
    _launch_flat(_add_gradients, grad, channel_axis, total, of_q, of_p)


def scale(x: Tensor, by_p: Tensor, by_q: Tensor, y: Tensor, channel_axis: int) -> None:
    """y = x · by_p · by_q, rounded once.

    Args:
        x: the map, in memory order.
        by_p: the gate of each p.
        by_q: the gate of each q.
        y: the result.
        channel_axis: 3 with channels last, 1 with channels first.
    """
    _launch_flat(_scale, x, channel_axis, by_p, by_q, y)


def scale_backward(
    x: Tensor,
    grad: Tensor,
    by_p: Tensor,
    by_q: Tensor,
    of_map: Tensor | None,
    of_p: Tensor | None,
    of_q: Tensor | None,
    channel_axis: int,
) -> None:
    """The gradients of a map and of its gates.

    Args:
        x: the map, in memory order.
        grad: the gradient of the product.
        by_p: the gate of each p.
        by_q: the gate of each q.
        of_map: buffer for the gradient of the map; None if not needed.
        of_p: buffer for that of the gate of each p; None if not needed.
        of_q: buffer for that of the gate of each q; None if not needed.
        channel_axis: 3 with channels last, 1 with channels first.
    """
    buffers = (x if buffer is None else buffer for buffer in (of_map, of_p, of_q))
    flags = {"with_map": of_map is not None, "with_p": of_p is not None, "with_q": of_q is not None}
    _launch_tiled(_scale_backward, x, channel_axis, grad, by_p, by_q, *buffers, **flags)


def _lengths(shape: tuple[int, ...], channel_axis: int) -> tuple[int, int, int]:
    """The lengths of p, q and k. The shape alone does not show the order."""
    if channel_axis not in (1, 3):
        raise ValueError(f"channels are axis 1 or 3 of a map in memory order, not {channel_axis}")
    _, a, b, c = shape
    return (a, b, c) if channel_axis == 3 else (b, c, a)


def _launch_tiled(
    kernel: Any, x: Tensor, channel_axis: int, *tensors: Tensor, **flags: bool
) -> None:
    ps, qs, ks = _lengths(x.shape, channel_axis)
    block_q = triton.next_power_of_2(qs)
    if block_q > 1024:
        raise ValueError(f"a tile cannot have {qs} locations")
    # Of lengths, not of the tensors: the stride of an axis of length 1 can be anything.
    if channel_axis == 3:
        strides = (qs * ks, ks, 1, ks, ks, 1, 1)
        block_k = min(64, 4096 // block_q, triton.next_power_of_2(ks))
    else:
        strides = (qs, 1, ps * qs, 1, 1, ps, qs)
        block_k = min(2048 // block_q, triton.next_power_of_2(ks))
    grid = (len(x), triton.cdiv(ks, block_k))
    blocks = {"block_q": block_q, "block_k": block_k}
    # `scale_backward` has up to four tiles in registers: 16 elements of each a thread.
    warps = min(8, max(1, block_q * block_k // 512))
    with torch.cuda.device_of(x):
        kernel[grid](
            x,
            *tensors,
            ps,
            qs,
            ks,
            *strides,
            **flags,
            dtype=accumulation_dtype(x),
            **blocks,
            num_warps=warps,
        )


def _launch_flat(kernel: Any, x: Tensor, channel_axis: int, *tensors: Tensor) -> None:
    ps, qs, ks = _lengths(x.shape, channel_axis)
    grid = (len(x), triton.cdiv(ps * qs * ks, ELEMENTS_PER_PROGRAM))
    with torch.cuda.device_of(x):
        kernel[grid](
            x,
            *tensors,
            ps,
            qs,
            ks,
            last=channel_axis == 3,
            dtype=accumulation_dtype(x),
            block=ELEMENTS_PER_PROGRAM,
        )


def check(device: torch.device) -> None:
    """AssertionError if the kernels compute on a device something else than torch does."""
    _check(torch.randn(3, 40, 4, 33, device=device), 1)
    _check(torch.randn(3, 4, 33, 40, device=device), 3)


def _check(x: Tensor, channel_axis: int) -> None:
    p, q = (1, 2) if channel_axis == 3 else (2, 3)
    grad, total, y, of_map = torch.randn_like(x), *(torch.empty_like(x) for _ in range(3))
    mean_q, mean_p = x.mean(q, keepdim=True), x.mean(p, keepdim=True)
    by_p, by_q = torch.randn_like(mean_q), torch.randn_like(mean_p)
    over_q, over_p, of_p, of_q = (torch.empty_like(each) for each in (mean_q, mean_p) * 2)
    pool(x, over_q, over_p, channel_axis)
    add_gradients(grad, total, by_p, by_q, channel_axis)
    scale(x, by_p, by_q, y, channel_axis)
    scale_backward(x, grad, by_p, by_q, of_map, of_p, of_q, channel_axis)
    pairs = (
        (over_q, mean_q),
        (over_p, mean_p),
        (total, grad + by_p / x.shape[q] + by_q / x.shape[p]),
        (y, x * by_p * by_q),
        (of_map, grad * by_p * by_q),
        (of_p, (grad * x * by_q).sum(q, keepdim=True)),
        (of_q, (grad * x * by_p).sum(p, keepdim=True)),
    )
    for result, expected in pairs:
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
