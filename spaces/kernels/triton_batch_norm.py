"""Batch norm of a map with channels last on CUDA, in training: each step is one pass over the map.

Importing this module needs Triton. `batch_norm.py` imports it only for a map on a CUDA device,
where `check` has to pass before the kernels are used. A map is treated as a matrix (M, C) of
M = N · H · W locations, with all channels of a location adjacent.

`forward`   sums of x and x² around the values of the first location, and the result: 3 passes
`backward`  sums of g and g · (x - mean), and the gradient of the map: 5 passes

torch's own kernels make as many passes, at an eighth to a half of the memory bandwidth. Sums are
in float32 (float64 for maps in float64): first over parts of the locations, then over the parts, in
an order that depends on the shape alone, so that equal runs are equal to the last bit.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TARGET_PROGRAMS = 1024
"""Programs to launch at once: a few for each multiprocessor of a GPU."""

VALUES_PER_PROGRAM = 2048
"""Values that a program holds at once."""

WARPS_PER_PROGRAM = 4
"""Warps of a program that reads a map."""

CHANNELS_PER_PROGRAM = 16
"""Channels of a program that only adds the sums of the parts."""


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
    dtype: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    # Forward: Σ (x - x₀) and Σ (x - x₀)². Backward: Σ g and Σ g (x - mean).
    part = tl.program_id(0)
    c = tl.program_id(1) * block + tl.arange(0, block)
    kept_mask = c < channels
    if backward:
        origin = tl.load(mean + c, mask=kept_mask, other=0.0).to(dtype)
    else:
        origin = tl.load(x + c, mask=kept_mask, other=0.0).to(dtype)
    first_sum = tl.zeros([step, block], dtype)
    second_sum = tl.zeros([step, block], dtype)
    begin = part.to(tl.int64) * share
    for offset in range(0, share, step):
        r = begin + offset + tl.arange(0, step)
        mask = (r < rows)[:, None] & kept_mask[None, :]
        offsets = r[:, None] * channels + c[None, :]
        value = tl.load(x + offsets, mask=mask, other=0.0).to(dtype) - origin[None, :]
        if backward:
            gradient = tl.load(grad + offsets, mask=mask, other=0.0).to(dtype)
            first_sum += gradient
            second_sum += gradient * value
        else:
            value = tl.where(mask, value, 0.0)
            first_sum += value
            second_sum += value * value
    tl.store(first + part * channels + c, tl.sum(first_sum, 0), mask=kept_mask)
    tl.store(second + part * channels + c, tl.sum(second_sum, 0), mask=kept_mask)


@triton.jit
def _total(sums, c, kept_mask, parts, channels, dtype: tl.constexpr, block: tl.constexpr):
    total = tl.zeros([32, block], dtype)
    for begin in range(0, parts, 32):
        p = begin + tl.arange(0, 32)
        mask = (p < parts)[:, None] & kept_mask[None, :]
        total += tl.load(sums + p[:, None] * channels + c[None, :], mask=mask, other=0.0)
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
    inverse_deviation,
    slope,
    shift,
    parts,
    rows,
    channels,
    eps,
    momentum,
    dtype: tl.constexpr,
    block: tl.constexpr,
):
    c = tl.program_id(0) * block + tl.arange(0, block)
    kept_mask = c < channels
    first_sum = _total(first, c, kept_mask, parts, channels, dtype, block) / rows
    second_sum = _total(second, c, kept_mask, parts, channels, dtype, block) / rows
    center = tl.load(x + c, mask=kept_mask, other=0.0).to(dtype) + first_sum
    variance = tl.maximum(second_sum - first_sum * first_sum, 0.0)
    scale = 1.0 / tl.sqrt(variance + eps)
    factor = tl.load(weight + c, mask=kept_mask, other=0.0).to(dtype) * scale
    tl.store(mean + c, center, mask=kept_mask)
    tl.store(inverse_deviation + c, scale, mask=kept_mask)
    tl.store(slope + c, factor, mask=kept_mask)
    tl.store(
        shift + c,
        tl.load(bias + c, mask=kept_mask, other=0.0).to(dtype) - center * factor,
        mask=kept_mask,
    )
    before = tl.load(running_mean + c, mask=kept_mask, other=0.0).to(dtype)
    tl.store(running_mean + c, before + momentum * (center - before), mask=kept_mask)
    before = tl.load(running_var + c, mask=kept_mask, other=0.0).to(dtype)
    unbiased = variance * rows / (rows - 1)
    tl.store(running_var + c, before + momentum * (unbiased - before), mask=kept_mask)


@triton.jit
def _coefficients(
    first,
    second,
    weight,
    mean,
    inverse_deviation,
    grad_weight,
    grad_bias,
    grad_coefficient,
    x_coefficient,
    constant,
    parts,
    rows,
    channels,
    dtype: tl.constexpr,
    block: tl.constexpr,
):
    # dx = w · i · (g - Σg / M - (x - mean) · i² · Σ g (x - mean) / M), as a · g + b · x + c.
    c = tl.program_id(0) * block + tl.arange(0, block)
    kept_mask = c < channels
    first_sum = _total(first, c, kept_mask, parts, channels, dtype, block)
    second_sum = _total(second, c, kept_mask, parts, channels, dtype, block)
    scale = tl.load(inverse_deviation + c, mask=kept_mask, other=0.0).to(dtype)
    center = tl.load(mean + c, mask=kept_mask, other=0.0).to(dtype)
    factor = tl.load(weight + c, mask=kept_mask, other=0.0).to(dtype) * scale
    slope = -factor * scale * scale * second_sum / rows
    tl.store(grad_weight + c, second_sum * scale, mask=kept_mask)
    tl.store(grad_bias + c, first_sum, mask=kept_mask)
    tl.store(grad_coefficient + c, factor, mask=kept_mask)
    tl.store(x_coefficient + c, slope, mask=kept_mask)
    tl.store(constant + c, -factor * first_sum / rows - slope * center, mask=kept_mask)


@triton.jit
def _apply(
    x,
    grad,
    out,
    x_coefficient,
    grad_coefficient,
    constant,
    rows,
    channels,
    backward: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
    step: tl.constexpr,
):
    r = tl.program_id(0).to(tl.int64) * step + tl.arange(0, step)
    c = tl.program_id(1) * block + tl.arange(0, block)
    kept_mask = c < channels
    mask = (r < rows)[:, None] & kept_mask[None, :]
    offsets = r[:, None] * channels + c[None, :]
    slope = tl.load(x_coefficient + c, mask=kept_mask, other=0.0).to(dtype)
    shift = tl.load(constant + c, mask=kept_mask, other=0.0).to(dtype)
    value = tl.load(x + offsets, mask=mask, other=0.0).to(dtype)
    value = value * slope[None, :] + shift[None, :]
    if backward:
        factor = tl.load(grad_coefficient + c, mask=kept_mask, other=0.0).to(dtype)
        value += tl.load(grad + offsets, mask=mask, other=0.0).to(dtype) * factor[None, :]
    tl.store(out + offsets, value, mask=mask)


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalised map, and mean and inverse standard deviation (C,) for `backward`.

    Args:
        x: the map (N, C, H, W), with channels last.
        weight: scale (C,).
        bias: shift (C,).
        running_mean: (C,), updated in place.
        running_var: (C,), updated in place with the unbiased variance.
        momentum: weight of this batch in the running statistics.
        eps: added to the variance.
    """
    partition = _Partition(x)
    y = torch.empty_like(x)
    sums, (mean, inverse_deviation, slope, shift) = partition.sums(), partition.vectors(4)
    with torch.cuda.device_of(x):
        partition.sum_parts(x, x, mean, sums, backward=False)
        _statistics[partition.channel_grid](
            x,
            *sums,
            weight,
            bias,
            running_mean,
            running_var,
            mean,
            inverse_deviation,
            slope,
            shift,
            partition.parts,
            partition.rows,
            partition.channels,
            eps,
            momentum,
            dtype=partition.triton_dtype,
            block=CHANNELS_PER_PROGRAM,
        )
        partition.apply(x, x, y, slope, slope, shift, backward=False)
    return y, mean, inverse_deviation


def backward(
    x: Tensor, grad: Tensor, weight: Tensor, mean: Tensor, inverse_deviation: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of map, weight and bias.

    Args:
        x: the map (N, C, H, W), with channels last.
        grad: the gradient of the normalised map, with the strides of `x`.
        weight: scale (C,).
        mean: as `forward` returned it.
        inverse_deviation: as `forward` returned it.
    """
    partition = _Partition(x)
    grad_map, grad_weight, grad_bias = (
        torch.empty_like(x),
        torch.empty_like(weight),
        torch.empty_like(weight),
    )
    sums, (grad_coefficient, x_coefficient, constant) = partition.sums(), partition.vectors(3)
    with torch.cuda.device_of(x):
        partition.sum_parts(x, grad, mean, sums, backward=True)
        _coefficients[partition.channel_grid](
            *sums,
            weight,
            mean,
            inverse_deviation,
            grad_weight,
            grad_bias,
            grad_coefficient,
            x_coefficient,
            constant,
            partition.parts,
            partition.rows,
            partition.channels,
            dtype=partition.triton_dtype,
            block=CHANNELS_PER_PROGRAM,
        )
        partition.apply(x, grad, grad_map, x_coefficient, grad_coefficient, constant, backward=True)
    return grad_map, grad_weight, grad_bias


class _Partition:
    """How a map is divided among programs: blocks of channels, and `parts` ranges of locations."""

    def __init__(self, x: Tensor) -> None:
        self.channels = x.shape[1]
        self.rows = x.numel() // self.channels
        self.block = min(64, triton.next_power_of_2(self.channels))
        self.step = VALUES_PER_PROGRAM // self.block
        self.blocks = triton.cdiv(self.channels, self.block)
        max_parts = triton.cdiv(self.rows, self.step)
        per_part = triton.cdiv(max_parts, max(1, min(max_parts, TARGET_PROGRAMS // self.blocks)))
        self.share = per_part * self.step
        self.parts = triton.cdiv(self.rows, self.share)
        self.channel_grid = (triton.cdiv(self.channels, CHANNELS_PER_PROGRAM),)
        double = x.dtype == torch.float64
        self.triton_dtype = tl.float64 if double else tl.float32
        self.dtype = torch.float64 if double else torch.float32
        self.device = x.device

    def sums(self) -> tuple[Tensor, Tensor]:
        """Buffers for the two sums of each part (parts, channels)."""
        buffer = torch.empty(2, self.parts, self.channels, dtype=self.dtype, device=self.device)
        return buffer[0], buffer[1]

    def vectors(self, number: int) -> tuple[Tensor, ...]:
        """`number` buffers (channels,)."""
        buffer = torch.empty(number, self.channels, dtype=self.dtype, device=self.device)
        return buffer.unbind()

    def sum_parts(
        self, x: Tensor, grad: Tensor, mean: Tensor, sums: tuple[Tensor, Tensor], *, backward: bool
    ) -> None:
        """Compute the two sums of each part into `sums`."""
        _sums[(self.parts, self.blocks)](
            x,
            grad,
            mean,
            *sums,
            self.rows,
            self.channels,
            self.share,
            backward=backward,
            dtype=self.triton_dtype,
            block=self.block,
            step=self.step,
            num_warps=WARPS_PER_PROGRAM,
        )

    def apply(
        self, x: Tensor, grad: Tensor, out: Tensor, *coefficients: Tensor, backward: bool
    ) -> None:
        """Write x_coefficient · x + constant, plus grad_coefficient · grad backwards, to `out`.

        Args:
            x: the map.
            grad: the gradient of the normalised map; not read forwards.
            out: the result.
            *coefficients: x_coefficient, grad_coefficient and constant, (channels,) each.
            backward: whether the term with `grad` is added.
        """
        _apply[(triton.cdiv(self.rows, self.step), self.blocks)](
            x,
            grad,
            out,
            *coefficients,
            self.rows,
            self.channels,
            backward=backward,
            dtype=self.triton_dtype,
            block=self.block,
            step=self.step,
            num_warps=WARPS_PER_PROGRAM,
        )


def check(device: torch.device) -> None:
    """Raise AssertionError unless the kernels agree with torch on the device."""
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
    y, mean, inverse_deviation = forward(x.detach(), weight, bias, *running, 0.1, norm.eps)
    results = (y, *backward(x.detach(), grad, weight, mean, inverse_deviation), *running)
    all_expected = (
        expected,
        x.grad,
        norm.weight.grad,
        norm.bias.grad,
        norm.running_mean,
        norm.running_var,
    )
    for result, expected in zip(results, all_expected, strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)
