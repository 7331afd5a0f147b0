"""Batch norm of a map with channels last on CUDA, in training: each step as one pass over the map.

Importing this needs Triton; `norms.py` does so only for a map on a CUDA device, where `check` has
to hold before anything else is used. A map is seen as (M, C): M = N · H · W places, with all
channels of a place beside each other.

`forward`   sums of x and x² around the values of the first place, and the result: 3 passes
`backward`  sums of g and g · (x - mean), and the gradient of the map: 5 passes

torch's own kernels make as many passes, at an eighth to a half of the speed of the memory. Sums are
in float32 (float64 for maps in float64): first in blocks of rows, then over the blocks, in an order
that depends on the shape alone, so that equal runs are equal to the last bit.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

PROGRAMS = 1024
"""Programs that a GPU should have at once: a few for each of its multiprocessors."""

TILE = 2048
"""Values that a program holds at once."""

WARPS = 4
"""Warps of a program that goes over a map."""


@triton.jit
def _sums(
    x,
    grad,
    mean,
    first,
    second,
    rows,
    channels,
    share,
    backward: tl.constexpr,
    exact: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    # Forward: Σ (x - x₀) and Σ (x - x₀)². Backward: Σ g and Σ g (x - mean).
    part = tl.program_id(0)
    c = tl.program_id(1) * block + tl.arange(0, block)
    kept = c < channels
    if backward:
        origin = tl.load(mean + c, mask=kept, other=0.0).to(exact)
    else:
        origin = tl.load(x + c, mask=kept, other=0.0).to(exact)
    one = tl.zeros([step, block], exact)
    two = tl.zeros([step, block], exact)
    begin = part.to(tl.int64) * share
    for offset in range(0, share, step):
        r = begin + offset + tl.arange(0, step)
        inside = (r < rows)[:, None] & kept[None, :]
        place = r[:, None] * channels + c[None, :]
        value = tl.load(x + place, mask=inside, other=0.0).to(exact) - origin[None, :]
        if backward:
            given = tl.load(grad + place, mask=inside, other=0.0).to(exact)
            one += given
            two += given * value
        else:
            value = tl.where(inside, value, 0.0)
            one += value
            two += value * value
    tl.store(first + part * channels + c, tl.sum(one, 0), mask=kept)
    tl.store(second + part * channels + c, tl.sum(two, 0), mask=kept)


@triton.jit
def _total(sums, c, kept, parts, channels, exact: tl.constexpr, block: tl.constexpr):
    total = tl.zeros([32, block], exact)
    for begin in range(0, parts, 32):
        p = begin + tl.arange(0, 32)
        inside = (p < parts)[:, None] & kept[None, :]
        total += tl.load(sums + p[:, None] * channels + c[None, :], mask=inside, other=0.0)
    return tl.sum(total, 0)


@triton.jit
def _statistics(
    x,
    first,
    second,
    weight,
    bias,
    running_mean,
    running_var,
    mean,
    inverse,
    slope,
    shift,
    parts,
    rows,
    channels,
    eps,
    momentum,
    exact: tl.constexpr,
    block: tl.constexpr,
):
    c = tl.program_id(0) * block + tl.arange(0, block)
    kept = c < channels
    one = _total(first, c, kept, parts, channels, exact, block) / rows
    two = _total(second, c, kept, parts, channels, exact, block) / rows
    middle = tl.load(x + c, mask=kept, other=0.0).to(exact) + one
    variance = tl.maximum(two - one * one, 0.0)
    scale = 1.0 / tl.sqrt(variance + eps)
    factor = tl.load(weight + c, mask=kept, other=0.0).to(exact) * scale
    tl.store(mean + c, middle, mask=kept)
    tl.store(inverse + c, scale, mask=kept)
    tl.store(slope + c, factor, mask=kept)
    tl.store(
        shift + c, tl.load(bias + c, mask=kept, other=0.0).to(exact) - middle * factor, mask=kept
    )
    before = tl.load(running_mean + c, mask=kept, other=0.0).to(exact)
    tl.store(running_mean + c, before + momentum * (middle - before), mask=kept)
    before = tl.load(running_var + c, mask=kept, other=0.0).to(exact)
    unbiased = variance * rows / (rows - 1)
    tl.store(running_var + c, before + momentum * (unbiased - before), mask=kept)


@triton.jit
def _coefficients(
    first,
    second,
    weight,
    mean,
    inverse,
    of_weight,
    of_bias,
    of_grad,
    of_x,
    constant,
    parts,
    rows,
    channels,
    exact: tl.constexpr,
    block: tl.constexpr,
):
    # dx = w · i · (g - Σg / M - (x - mean) · i² · Σ g (x - mean) / M), as a · g + b · x + c.
    c = tl.program_id(0) * block + tl.arange(0, block)
    kept = c < channels
    one = _total(first, c, kept, parts, channels, exact, block)
    two = _total(second, c, kept, parts, channels, exact, block)
    scale = tl.load(inverse + c, mask=kept, other=0.0).to(exact)
    middle = tl.load(mean + c, mask=kept, other=0.0).to(exact)
    factor = tl.load(weight + c, mask=kept, other=0.0).to(exact) * scale
    slope = -factor * scale * scale * two / rows
    tl.store(of_weight + c, two * scale, mask=kept)
    tl.store(of_bias + c, one, mask=kept)
    tl.store(of_grad + c, factor, mask=kept)
    tl.store(of_x + c, slope, mask=kept)
    tl.store(constant + c, -factor * one / rows - slope * middle, mask=kept)


@triton.jit
def _apply(
    x,
    grad,
    out,
    of_x,
    of_grad,
    constant,
    rows,
    channels,
    backward: tl.constexpr,
    exact: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    r = tl.program_id(0).to(tl.int64) * step + tl.arange(0, step)
    c = tl.program_id(1) * block + tl.arange(0, block)
    kept = c < channels
    inside = (r < rows)[:, None] & kept[None, :]
    place = r[:, None] * channels + c[None, :]
    slope = tl.load(of_x + c, mask=kept, other=0.0).to(exact)
    shift = tl.load(constant + c, mask=kept, other=0.0).to(exact)
    value = tl.load(x + place, mask=inside, other=0.0).to(exact)
    value = value * slope[None, :] + shift[None, :]
    if backward:
        factor = tl.load(of_grad + c, mask=kept, other=0.0).to(exact)
        value += tl.load(grad + place, mask=inside, other=0.0).to(exact) * factor[None, :]
    tl.store(out + place, value, mask=inside)


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised map (N, C, H, W), and mean and inverse deviation (C,) for `backward`.

    The running statistics are brought up to date in place.
    """
    plan = _Plan(x)
    y = torch.empty_like(x)
    sums, (mean, inverse, slope, shift) = plan.sums(), plan.vectors(4)
    with torch.cuda.device_of(x):
        plan.add_up(x, x, mean, sums, backward=False)
        _statistics[plan.narrow](
            x, *sums, weight, bias, running_mean, running_var, mean, inverse, slope, shift,
            plan.parts, plan.rows, plan.channels, eps, momentum, exact=plan.exact, block=NARROW,
        )  # fmt: skip
        plan.apply(x, x, y, slope, slope, shift, backward=False)
    return y, mean, inverse


def backward(
    x: Tensor, grad: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of map, weight and bias; `grad` lies as `x` does."""
    plan = _Plan(x)
    of_map, of_weight, of_bias = (
        torch.empty_like(x),
        torch.empty_like(weight),
        torch.empty_like(weight),
    )
    sums, (of_grad, of_x, constant) = plan.sums(), plan.vectors(3)
    with torch.cuda.device_of(x):
        plan.add_up(x, grad, mean, sums, backward=True)
        _coefficients[plan.narrow](
            *sums, weight, mean, inverse, of_weight, of_bias, of_grad, of_x, constant,
            plan.parts, plan.rows, plan.channels, exact=plan.exact, block=NARROW,
        )  # fmt: skip
        plan.apply(x, grad, of_map, of_x, of_grad, constant, backward=True)
    return of_map, of_weight, of_bias


NARROW = 16
"""Channels of a program that only adds up the blocks' sums."""


class _Plan:
    """How a map is cut: into blocks of channels, and `parts` shares of its places."""

    def __init__(self, x: Tensor) -> None:
        self.channels = x.shape[1]
        self.rows = x.numel() // self.channels
        self.block = min(64, triton.next_power_of_2(self.channels))
        self.step = TILE // self.block
        self.blocks = triton.cdiv(self.channels, self.block)
        most = triton.cdiv(self.rows, self.step)
        per_part = triton.cdiv(most, max(1, min(most, PROGRAMS // self.blocks)))
        self.share = per_part * self.step
        self.parts = triton.cdiv(self.rows, self.share)
        self.narrow = (triton.cdiv(self.channels, NARROW),)
        double = x.dtype == torch.float64
        self.exact = tl.float64 if double else tl.float32
        self.kept = torch.float64 if double else torch.float32
        self.device = x.device

    def sums(self) -> tuple[Tensor, Tensor]:
        """Room for two sums of each share."""
        room = torch.empty(2, self.parts, self.channels, dtype=self.kept, device=self.device)
        return room[0], room[1]

    def vectors(self, number: int) -> tuple[Tensor, ...]:
        """Room for so many values of each channel."""
        room = torch.empty(number, self.channels, dtype=self.kept, device=self.device)
        return room.unbind()

    def add_up(
        self, x: Tensor, grad: Tensor, mean: Tensor, sums: tuple[Tensor, Tensor], *, backward: bool
    ) -> None:
        """The shares' sums."""
        _sums[(self.parts, self.blocks)](
            x, grad, mean, *sums, self.rows, self.channels, self.share,
            backward=backward, exact=self.exact, block=self.block, step=self.step, num_warps=WARPS,
        )  # fmt: skip

    def apply(self, x: Tensor, grad: Tensor, out: Tensor, *given: Tensor, backward: bool) -> None:
        """out = of_grad · grad + of_x · x + constant, channel by channel; `grad` only backwards."""
        _apply[(triton.cdiv(self.rows, self.step), self.blocks)](
            x, grad, out, *given, self.rows, self.channels,
            backward=backward, exact=self.exact, block=self.block, step=self.step, num_warps=WARPS,
        )  # fmt: skip


def check(device: torch.device) -> None:
    """AssertionError if the kernels compute on a device something else than torch does."""
    x = torch.randn(3, 20, 9, 7, device=device).to(memory_format=torch.channels_last)
    x = (x + 5).requires_grad_()
    norm = torch.nn.BatchNorm2d(20, device=device)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    weight, bias = norm.weight.detach(), norm.bias.detach()
    running = norm.running_mean.clone(), norm.running_var.clone()  # type: ignore[union-attr]
    expected = norm(x)
    grad = torch.randn_like(expected)
    expected.backward(grad)
    y, mean, inverse = forward(x.detach(), weight, bias, *running, 0.1, norm.eps)
    found = (y, *backward(x.detach(), grad, weight, mean, inverse), *running)
    known = (
        expected,
        x.grad,
        norm.weight.grad,
        norm.bias.grad,
        norm.running_mean,
        norm.running_var,
    )
    for one, two in zip(found, known, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
