"""Means of rows and columns on CUDA, and gates of rows and columns, in one pass each.

Importing this needs Triton, and `check` has to hold on a device before anything else is used there.
A map is seen as it lies in memory, with axes 1, 2 and 3: two of them, p and q, are its height and
width, and k are its channels. With channels last (`k_axis` 3) the order is p, q, k; with channels
first (`k_axis` 1) it is k, p, q. The small tensors keep all axes, one of them with length 1, and
lie in one piece in the same order: those "of each p" lack q, those "of each q" lack p.

`pool`      the mean along q and that along p, reading the map once: 1 pass instead of 2
`add`       the gradient of the map, given those of its means: 2 passes
`scale`     the map times a gate of each p and one of each q: 2 passes instead of 4
`unscale`   the gradients of a map and its two gates: 3 passes

`pool` and `unscale` have a program for some channels of one sample, which goes along p and has the
whole of q at once; therefore q must not be long (`gpu.LONGEST`). The others go through a sample in
the order of memory. Sums are in float32, or in float64 for maps in float64.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .triton_pool_scale import FLAT, exact_of


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
    exact: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block_k + tl.arange(0, block_k)
    q = tl.arange(0, block_q)
    kept = k < ks
    inside = (q < qs)[:, None] & kept[None, :]
    tile = x + sample * ps * qs * ks + q[:, None] * sq + k[None, :] * sk
    row = over_q + sample * ps * ks + k * p_k
    total = tl.zeros([block_q, block_k], exact)
    for p in range(ps):
        value = tl.load(tile + p * sp, mask=inside, other=0.0).to(exact)
        total += value
        tl.store(row + p * each_p, tl.sum(value, 0) / qs, mask=kept)
    column = over_p + sample * qs * ks + q[:, None] * each_q + k[None, :] * q_k
    tl.store(column, total / ps, mask=inside)


@triton.jit
def _unscale(
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
    exact: tl.constexpr,
    block_q: tl.constexpr,
    block_k: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block_k + tl.arange(0, block_k)
    q = tl.arange(0, block_q)
    kept = k < ks
    inside = (q < qs)[:, None] & kept[None, :]
    tile = sample * ps * qs * ks + q[:, None] * sq + k[None, :] * sk
    row = sample * ps * ks + k * p_k
    column = sample * qs * ks + q[:, None] * each_q + k[None, :] * q_k
    factor_q = tl.load(by_q + column, mask=inside, other=0.0).to(exact)
    total = tl.zeros([block_q, block_k], exact)
    for p in range(ps):
        place = tile + p * sp
        value = tl.load(grad + place, mask=inside, other=0.0).to(exact)
        factor_p = tl.load(by_p + row + p * each_p, mask=kept, other=0.0).to(exact)
        # The map is read before its gradient is written.
        if with_p or with_q:
            both = value * tl.load(x + place, mask=inside, other=0.0).to(exact)
            if with_p:
                tl.store(of_p + row + p * each_p, tl.sum(both * factor_q, 0), mask=kept)
            if with_q:
                total += both * factor_p[None, :]
        if with_map:
            tl.store(of_map + place, value * factor_p[None, :] * factor_q, mask=inside)
    if with_q:
        tl.store(of_q + column, total, mask=inside)


@triton.jit
def _small(sample, flat, ps, qs, ks, last: tl.constexpr):
    """Where the p and the q of an element of a sample are in the small tensors."""
    if last:
        each_p = flat // (qs * ks) * ks + flat % ks
        each_q = flat % (qs * ks)
    else:
        each_p = flat // qs
        each_q = flat // (ps * qs) * qs + flat % qs
    return sample * ps * ks + each_p, sample * qs * ks + each_q


@triton.jit
def _add(
    grad,
    into,
    of_q,
    of_p,
    ps,
    qs,
    ks,
    last: tl.constexpr,
    exact: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    inside = flat < ps * qs * ks
    each_p, each_q = _small(sample, flat, ps, qs, ks, last)
    place = sample * ps * qs * ks + flat
    value = tl.load(grad + place, mask=inside, other=0.0).to(exact)
    value += tl.load(of_q + each_p, mask=inside, other=0.0).to(exact) / qs
    value += tl.load(of_p + each_q, mask=inside, other=0.0).to(exact) / ps
    tl.store(into + place, value, mask=inside)


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
    exact: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    inside = flat < ps * qs * ks
    each_p, each_q = _small(sample, flat, ps, qs, ks, last)
    place = sample * ps * qs * ks + flat
    value = tl.load(x + place, mask=inside, other=0.0).to(exact)
    value *= tl.load(by_p + each_p, mask=inside, other=0.0).to(exact)
    value *= tl.load(by_q + each_q, mask=inside, other=0.0).to(exact)
    tl.store(y + place, value, mask=inside)


def pool(x: Tensor, over_q: Tensor, over_p: Tensor, k_axis: int) -> None:
    """Means of a lying map along q, of each p, and along p, of each q."""
    _tiles(_pool, x, k_axis, over_q, over_p)


def add(grad: Tensor, into: Tensor, of_q: Tensor, of_p: Tensor, k_axis: int) -> None:
    """into = grad + the parts of the means along q and along p; `into` may be `grad`."""
    _flatly(_add, grad, k_axis, into, of_q, of_p)


def scale(x: Tensor, by_p: Tensor, by_q: Tensor, y: Tensor, k_axis: int) -> None:
    """y = x * by_p * by_q, rounded once; the gates are of each p and of each q."""
    _flatly(_scale, x, k_axis, by_p, by_q, y)


def unscale(
    x: Tensor,
    grad: Tensor,
    by_p: Tensor,
    by_q: Tensor,
    of_map: Tensor | None,
    of_p: Tensor | None,
    of_q: Tensor | None,
    k_axis: int,
) -> None:
    """Gradients of a lying map and of its gates into those that are given."""
    given = (x if tensor is None else tensor for tensor in (of_map, of_p, of_q))
    flags = {"with_map": of_map is not None, "with_p": of_p is not None, "with_q": of_q is not None}
    _tiles(_unscale, x, k_axis, grad, by_p, by_q, *given, **flags)


def _lengths(shape: tuple[int, ...], k_axis: int) -> tuple[int, int, int]:
    """Those of p, q and k. A length of 1 is no hint at the order, so it has to be told."""
    if k_axis not in (1, 3):
        raise ValueError(f"channels are axis 1 or 3 of a lying map, not {k_axis}")
    _, a, b, c = shape
    return (a, b, c) if k_axis == 3 else (b, c, a)


def _tiles(kernel: Any, x: Tensor, k_axis: int, *given: Tensor, **flags: bool) -> None:
    ps, qs, ks = _lengths(x.shape, k_axis)
    block_q = triton.next_power_of_2(qs)
    if block_q > 1024:
        raise ValueError(f"a tile cannot have {qs} places")
    # Of lengths, not of the tensors: the stride of an axis of length 1 can be anything.
    if k_axis == 3:
        strides = (qs * ks, ks, 1, ks, ks, 1, 1)
        block_k = min(64, 4096 // block_q, triton.next_power_of_2(ks))
    else:
        strides = (qs, 1, ps * qs, 1, 1, ps, qs)
        block_k = min(2048 // block_q, triton.next_power_of_2(ks))
    grid = (len(x), triton.cdiv(ks, block_k))
    blocks = {"block_q": block_q, "block_k": block_k}
    # `unscale` has up to four tiles in registers: 16 elements of each a thread.
    warps = min(8, max(1, block_q * block_k // 512))
    with torch.cuda.device_of(x):
        kernel[grid](
            x, *given, ps, qs, ks, *strides, **flags, exact=exact_of(x), **blocks, num_warps=warps
        )


def _flatly(kernel: Any, x: Tensor, k_axis: int, *given: Tensor) -> None:
    ps, qs, ks = _lengths(x.shape, k_axis)
    grid = (len(x), triton.cdiv(ps * qs * ks, FLAT))
    with torch.cuda.device_of(x):
        kernel[grid](x, *given, ps, qs, ks, last=k_axis == 3, exact=exact_of(x), block=FLAT)


def check(device: torch.device) -> None:
    """AssertionError if the kernels compute on a device something else than torch does."""
    _check(torch.randn(3, 40, 4, 33, device=device), 1)
    _check(torch.randn(3, 4, 33, 40, device=device), 3)


def _check(x: Tensor, k_axis: int) -> None:
    p, q = (1, 2) if k_axis == 3 else (2, 3)
    grad, into, y, of_map = torch.randn_like(x), *(torch.empty_like(x) for _ in range(3))
    mean_q, mean_p = x.mean(q, keepdim=True), x.mean(p, keepdim=True)
    by_p, by_q = torch.randn_like(mean_q), torch.randn_like(mean_p)
    over_q, over_p, of_p, of_q = (torch.empty_like(each) for each in (mean_q, mean_p) * 2)
    pool(x, over_q, over_p, k_axis)
    add(grad, into, by_p, by_q, k_axis)
    scale(x, by_p, by_q, y, k_axis)
    unscale(x, grad, by_p, by_q, of_map, of_p, of_q, k_axis)
    pairs = (
        (over_q, mean_q),
        (over_p, mean_p),
        (into, grad + by_p / x.shape[q] + by_q / x.shape[p]),
        (y, x * by_p * by_q),
        (of_map, grad * by_p * by_q),
        (of_p, (grad * x * by_q).sum(q, keepdim=True)),
        (of_q, (grad * x * by_p).sum(p, keepdim=True)),
    )
    for one, two in pairs:
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
