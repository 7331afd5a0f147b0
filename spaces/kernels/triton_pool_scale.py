"""Pooling and scaling on CUDA: what `slabs.py` does in the cache, here in one pass each.

Importing this needs Triton; `gpu.py` imports it only for a map on a CUDA device, where `check` has
to hold before anything else is used. A map is seen as (N, A, B), as it lies in memory: with
channels last A are places and B channels, with channels first the other way round. A mean, a
maximum or a gate keeps one of the two axes and reduces the other; `size` and `length` are how long
these are. A program has some of the kept axis, of one sample, and goes along the reduced one.

`pool`      mean and maximum, reading the map once: 1 pass instead of 2
`add`       the gradient of the map, given those of its mean and maximum: 3 passes, of about 9
`scale`     a map times its gate: 2 passes; or ReLU(map · gate + other): 3, of 7
`unscale`   the gradients of a map and its gate: 3 passes, of 7; with the other's: 5, of 10

Sums are in float32, or in float64 for maps in float64.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

FLAT = 1024
"""Elements of a program that goes along a map as it lies."""


@triton.jit
def _pool(
    x,
    mean,
    top,
    size,
    length,
    sk,
    sr,
    with_mean: tl.constexpr,
    with_top: tl.constexpr,
    exact: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block + tl.arange(0, block)
    kept = k < size
    rows = x + sample * size * length + k[:, None] * sk
    total = tl.zeros([block, step], exact)
    highest = tl.full([block, step], float("-inf"), exact)
    for begin in range(0, length, step):
        r = begin + tl.arange(0, step)
        inside = kept[:, None] & (r < length)[None, :]
        value = tl.load(rows + r[None, :] * sr, mask=inside, other=0.0).to(exact)
        total += value
        highest = tl.maximum(highest, tl.where(inside, value, float("-inf")))
    if with_mean:
        tl.store(mean + sample * size + k, tl.sum(total, 1) / length, mask=kept)
    if with_top:
        tl.store(top + sample * size + k, tl.max(highest, 1), mask=kept)


@triton.jit
def _add(
    x,
    grad,
    into,
    top,
    of_mean,
    of_top,
    size,
    length,
    sk,
    sr,
    with_mean: tl.constexpr,
    with_top: tl.constexpr,
    exact: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block + tl.arange(0, block)
    kept = k < size
    start = sample * size * length + k[:, None] * sk
    part = tl.zeros([block], exact)
    share = tl.zeros([block], exact)
    highest = tl.zeros([block], exact)
    if with_mean:
        part = tl.load(of_mean + sample * size + k, mask=kept, other=0.0).to(exact) / length
    if with_top:
        highest = tl.load(top + sample * size + k, mask=kept, other=0.0).to(exact)
        equal = tl.zeros([block, step], exact)
        for begin in range(0, length, step):
            r = begin + tl.arange(0, step)
            inside = kept[:, None] & (r < length)[None, :]
            value = tl.load(x + start + r[None, :] * sr, mask=inside, other=0.0).to(exact)
            equal += tl.where(inside & (value == highest[:, None]), 1.0, 0.0).to(exact)
        number = tl.maximum(tl.sum(equal, 1), 1.0)
        share = tl.load(of_top + sample * size + k, mask=kept, other=0.0).to(exact) / number
    for begin in range(0, length, step):
        r = begin + tl.arange(0, step)
        inside = kept[:, None] & (r < length)[None, :]
        place = start + r[None, :] * sr
        value = tl.load(grad + place, mask=inside, other=0.0).to(exact) + part[:, None]
        if with_top:
            here = tl.load(x + place, mask=inside, other=0.0).to(exact) == highest[:, None]
            value += tl.where(here, share[:, None], 0.0)
        tl.store(into + place, value, mask=inside)


@triton.jit
def _scale(
    x,
    gate,
    other,
    y,
    width,
    length,
    keeps_last: tl.constexpr,
    joined: tl.constexpr,
    exact: tl.constexpr,
    block: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    flat = tl.program_id(1) * block + tl.arange(0, block)
    inside = flat < length
    if keeps_last:
        factor = gate + sample * width + flat % width
    else:
        factor = gate + sample * (length // width) + flat // width
    place = sample * length + flat
    value = tl.load(x + place, mask=inside, other=0.0).to(exact)
    value *= tl.load(factor, mask=inside, other=0.0).to(exact)
    if joined:
        value += tl.load(other + place, mask=inside, other=0.0).to(exact)
        value = tl.where(value < 0, 0.0, value)  # what is not a number stays so
    tl.store(y + place, value, mask=inside)


@triton.jit
def _unscale(
    x,
    grad,
    gate,
    y,
    of_map,
    of_gate,
    of_other,
    size,
    length,
    sk,
    sr,
    with_map: tl.constexpr,
    with_gate: tl.constexpr,
    joined: tl.constexpr,
    exact: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    sample = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * block + tl.arange(0, block)
    kept = k < size
    start = sample * size * length + k[:, None] * sk
    factor = tl.load(gate + sample * size + k, mask=kept, other=0.0).to(exact)
    total = tl.zeros([block, step], exact)
    for begin in range(0, length, step):
        r = begin + tl.arange(0, step)
        inside = kept[:, None] & (r < length)[None, :]
        place = start + r[None, :] * sr
        value = tl.load(grad + place, mask=inside, other=0.0).to(exact)
        if joined:
            value = tl.where(tl.load(y + place, mask=inside, other=0.0) > 0, value, 0.0)
            tl.store(of_other + place, value, mask=inside)
        if with_gate:
            total += value * tl.load(x + place, mask=inside, other=0.0).to(exact)
        if with_map:
            tl.store(of_map + place, value * factor[:, None], mask=inside)
    if with_gate:
        tl.store(of_gate + sample * size + k, tl.sum(total, 1), mask=kept)


def pool(x: Tensor, axes: tuple[int, ...], mean: Tensor | None, top: Tensor | None) -> None:
    """Mean and maximum of a lying map along `axes` into those that are given."""
    given = (mean if mean is not None else x, top if top is not None else x)
    _launch(_pool, x, axes, *given, with_mean=mean is not None, with_top=top is not None)


def add(
    x: Tensor,
    grad: Tensor,
    into: Tensor,
    axes: tuple[int, ...],
    of_mean: Tensor | None,
    top: Tensor | None,
    of_top: Tensor | None,
) -> None:
    """into = grad + the parts of mean and maximum; `into` may be `grad`."""
    given = (x if tensor is None else tensor for tensor in (top, of_mean, of_top))
    flags = {"with_mean": of_mean is not None, "with_top": of_top is not None}
    _launch(_add, x, axes, grad, into, *given, **flags)


def scale(x: Tensor, gate: Tensor, y: Tensor, other: Tensor | None = None) -> None:
    """y = x · gate, or ReLU(x · gate + other), of lying maps, rounded once; the gate keeps either
    all channels or all places."""
    length, kept = x.numel() // len(x), gate.numel() // len(x)
    last = _lies_before(x, _reduced(x, gate))
    width = kept if last else length // kept
    grid = (len(x), triton.cdiv(length, FLAT))
    flags = {"keeps_last": last, "joined": other is not None}
    given = x if other is None else other
    with torch.cuda.device_of(x):
        _scale[grid](x, gate, given, y, width, length, **flags, exact=exact_of(x), block=FLAT)


def unscale(
    x: Tensor,
    grad: Tensor,
    gate: Tensor,
    of_map: Tensor | None,
    of_gate: Tensor | None,
    y: Tensor | None = None,
    of_other: Tensor | None = None,
) -> None:
    """Gradients of a lying map and of its gate, which keeps either all channels or all places.

    With `y`, what `scale` made of them and another map, `of_other` becomes that one's.
    """
    given = (x if tensor is None else tensor for tensor in (y, of_map, of_gate, of_other))
    flags = {"with_map": of_map is not None, "with_gate": of_gate is not None}
    flags |= {"joined": y is not None}
    _launch(_unscale, x, _reduced(x, gate), grad, gate, *given, **flags)


def _reduced(x: Tensor, gate: Tensor) -> tuple[int, ...]:
    return tuple(axis for axis in (1, 2, 3) if gate.shape[axis] != x.shape[axis])


def _lies_before(x: Tensor, axes: tuple[int, ...]) -> bool:
    """Whether the reduced axes lie before what is kept, so that kept neighbours are adjacent."""
    kept = [axis for axis in (1, 2, 3) if axis not in axes and x.shape[axis] > 1]
    return not kept or axes[0] < kept[-1]


def exact_of(x: Tensor) -> Any:
    """What values of a map are added up in."""
    return tl.float64 if x.dtype == torch.float64 else tl.float32


def _launch(kernel: Any, x: Tensor, axes: tuple[int, ...], *given: Tensor, **flags: bool) -> None:
    number = len(x)
    reduced_length = 1
    for axis in axes:
        reduced_length *= x.shape[axis]
    kept = x.numel() // (number * reduced_length)
    first = _lies_before(x, axes)
    sk, sr = (1, kept) if first else (reduced_length, 1)
    block, step = (
        (32, 32) if first else (4, min(512, max(32, triton.next_power_of_2(reduced_length))))
    )
    exact = exact_of(x)
    grid = (number, triton.cdiv(kept, block))
    with torch.cuda.device_of(x):
        kernel[grid](
            x, *given, kept, reduced_length, sk, sr, **flags, exact=exact, block=block, step=step
        )


def check(device: torch.device) -> None:
    """AssertionError if the kernels compute on a device something else than torch does."""
    for axes in ((1, 2), (3,)):
        _check(torch.randn(3, 4, 5, 40, device=device), axes)


def _check(x: Tensor, axes: tuple[int, ...]) -> None:
    grad, into, of_map = torch.randn_like(x), torch.empty_like(x), torch.empty_like(x)
    expected_mean, expected_top = x.mean(axes, keepdim=True), x.amax(axes, keepdim=True)
    mean, top, gate, of_gate = (torch.empty_like(expected_mean) for _ in range(4))
    pool(x, axes, mean, top)
    gate.copy_(expected_top)
    add(x, grad, into, axes, gate, expected_top, gate)
    unscale(x, grad, gate, of_map, of_gate)
    size = x.numel() // mean.numel()
    joined, masked, of_other = (torch.empty_like(x) for _ in range(3))
    scale(x, gate, joined, grad)
    unscale(x, grad, gate, masked, None, joined, of_other)
    through = (x * gate + grad > 0) * grad
    pairs = (
        (mean, expected_mean),
        (top, expected_top),
        (into, grad + gate / size + (x == expected_top) * gate),
        (of_map, grad * gate),
        (of_gate, (grad * x).sum(axes, keepdim=True)),
        (joined, (x * gate + grad).relu()),
        (of_other, through),
        (masked, through * gate),
    )
    for one, two in pairs:
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
