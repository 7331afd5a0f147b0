"""Pool a map and scale it by a gate with the least memory traffic, forwards and backwards.

Nearly every attention pools its map, computes a small gate from the pooled values, and scales the
map:

    x, means = pool_map(x, mean(2, 3))
    y = scale_map(x, gate(means)[:, :, None, None])

With one operator after the other, the backward pass of these two lines reads or writes the map a
dozen times. The mean's gradient is written out at the size of the map, in another memory format,
and added; the product whose sum is the gate's gradient is written out and read again. Here
`scale_map` sums that product chunk by chunk, and `pool_map` adds its part in place to the gradient
that `scale_map` made. For this, `pool_map` also returns the map, and the caller must continue with
the returned one.

Both compute the plain formula where a tool sees the operators (tracing, compiling, exporting,
transforms of `torch.func`), for gradients of gradients, where fusing would not be faster, and
inside `disable_kernels()`. The two forms differ at most by rounding, and not at all where gates are
1.

On a CPU the fused form ends with the gate. Including the residual addition and the ReLU that follow
saved 0 to 0.4 % of a residual block's step in bf16 and cost up to 4.7 % in float32. On CUDA
`gated_residual.py` includes them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import pool_scale_cpu, pool_scale_cuda
from .dispatch import can_fuse, operators_hidden
from .gated_residual import materialise, scale_or_defer
from .limits import current_limits
from .pool_scale_cpu import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    PoolFunction,
    ScaleFunction,
    has_one_layout,
    inverse_order,
    memory_order,
    multiply,
    multiply_in_memory_order,
)
from .pooling import Pooling, pool_by_formula

UNREACHABLE_ELEMENTS = 2**62
"""More elements than any map has: the limit for poolings that are never faster in chunks."""


def pool_map(x: Tensor, *poolings: Pooling) -> tuple[Tensor, ...]:
    """The map (N, C, H, W) to continue with, and the result of every pooling.

    `mean(2, 3)` gives (N, C), `mean(3)` gives (N, C, H), `mean(1)` gives (N, H, W), and so on.
    """
    x = materialise(x)
    if not torch.is_grad_enabled():
        return (x, *_pool_without_gradient(x, poolings))
    if not _fuses_poolings(x, poolings):
        in_layout = _is_map(x) and can_fuse(x)
        compute = pool_scale_cpu.pool_by_operators if in_layout else pool_by_formula
        return (x, *(compute(x, pooling) for pooling in poolings))
    if x.requires_grad:
        results: tuple[Tensor, ...] = PoolFunction.apply(x, poolings)  # type: ignore[no-untyped-call]
        return results
    return (x, *pool_scale_cpu.pool(x, poolings))


def scale_map(x: Tensor, *gates: Tensor) -> Tensor:
    """The map (N, C, H, W) times every gate; a gate has length 1 along axes where it is constant.

    Inside `defer_products`, where the block adds its shortcut to the result, this may return a
    `DeferredProduct` instead of a tensor.
    """
    x = materialise(x)
    # Under CUDA's autocast, sums and powers are float32. A gate computed from them must not turn
    # the map into float32.
    gates = tuple(gate.to(x.dtype) for gate in gates)
    if (len(gates) == 1 and not torch.is_grad_enabled()) or not _fuses_gates(x, gates):
        in_layout = _is_map(x) and not all(map(has_one_layout, gates)) and can_fuse(x, *gates)
        return (multiply_in_memory_order if in_layout else multiply)(x, *gates)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *gates)):
        result: Tensor = (
            scale_or_defer(x, *gates) if len(gates) == 1 else ScaleFunction.apply(x, *gates)  # type: ignore[no-untyped-call]
        )
        return result
    return pool_scale_cpu.scale(x, gates)


def add_in_layout_of(x: Tensor, *summands: Tensor) -> Tensor:
    """The sum of tensors that broadcast to the map `x`, in the memory format of the map."""
    order = memory_order(x) if can_fuse_map(x) else CHANNELS_FIRST
    total, *rest = (summand.permute(order).contiguous() for summand in summands)
    for summand in rest:
        total = total + summand
    return total.permute(inverse_order(order))


def can_fuse_map(x: Tensor, *gates: Tensor) -> bool:
    """Whether this map (N, C, H, W) is pooled and scaled in the fused form on a CPU."""
    # Most maps in the inference of one image are small, and a microsecond matters there.
    if torch.compiler.is_compiling() or type(x) is not Tensor:
        return False
    if x.numel() < current_limits().min_map_elements:
        return False
    return _are_alike(x, *gates) and _is_layout_efficient(x) and can_fuse(x, *gates)


def is_fused_channels_last(x: Tensor) -> bool:
    """Whether `can_fuse_map` holds and the map has channels last."""
    return can_fuse_map(x) and memory_order(x) == CHANNELS_LAST


def _is_map(x: Tensor) -> bool:
    return type(x) is Tensor and x.ndim == 4


def _pool_without_gradient(x: Tensor, poolings: tuple[Pooling, ...]) -> list[Tensor]:
    if torch.compiler.is_compiling():
        return [pool_by_formula(x, pooling) for pooling in poolings]
    channels_last = _is_map(x) and memory_order(x) == CHANNELS_LAST
    if channels_last:
        limit = min(_min_inference_elements(pooling, x.dtype) for pooling in poolings)
        if x.numel() >= limit and can_fuse(x):
            return pool_scale_cpu.pool(x, poolings)
    has_maximum = any(pooling.kind == "maximum" for pooling in poolings)
    fast_maximum = type(x) is Tensor and has_maximum and can_fuse(x)
    return [
        pool_by_formula(
            x,
            pooling,
            needs_gradient=not fast_maximum or _is_amax_slow(x, pooling, channels_last),
        )
        for pooling in poolings
    ]


def _is_amax_slow(x: Tensor, pooling: Pooling, channels_last: bool) -> bool:
    """Whether `amax` reduces values that are not adjacent, or very few of them."""
    if pooling.axes == (1,):
        few_locations = x.shape[2] * x.shape[3] < current_limits().min_channel_max_locations
        return not channels_last and few_locations
    return channels_last and pooling.axes == (2, 3)


def _min_inference_elements(pooling: Pooling, dtype: torch.dtype) -> int:
    """Elements of a map with channels last from which on, without gradients, chunks are faster."""
    limits = current_limits()
    if pooling.kind in ("mean", "maximum") and pooling.axes in ((2,), (3,)):
        return limits.min_inference_strip_elements
    if pooling.kind == "mean" and pooling.axes == (2, 3) and dtype == torch.bfloat16:
        return limits.min_inference_elements
    if pooling.kind in ("maximum", "weighted"):
        return limits.min_inference_elements
    if pooling.kind == "variance":
        return limits.min_inference_variance_elements
    return UNREACHABLE_ELEMENTS


def _fuses_poolings(x: Tensor, poolings: tuple[Pooling, ...]) -> bool:
    if _is_on_gpu(x):
        return pool_scale_cuda.covers_poolings(x, poolings) and (
            pool_scale_cuda.why_unusable(
                x.device, strips=pool_scale_cuda.are_strip_poolings(poolings)
            )
            is None
        )
    return can_fuse_map(x) and all(x.numel() >= _min_elements(pooling) for pooling in poolings)


def _min_elements(pooling: Pooling) -> int:
    """Elements from which on a pooling is fused; more than 0 where torch's operators are fast."""
    if pooling.axes != (2, 3):
        return 0
    if pooling.kind == "maximum":
        return current_limits().min_max_elements
    return current_limits().min_squares_elements if pooling.kind == "squares" else 0


def _fuses_gates(x: Tensor, gates: tuple[Tensor, ...]) -> bool:
    if _is_on_gpu(x, *gates):
        return pool_scale_cuda.covers_gates(x, gates) and (
            pool_scale_cuda.why_unusable(x.device, strips=len(gates) == 2) is None
        )
    if not can_fuse_map(x, *gates):
        return False
    if x.numel() >= current_limits().min_gate_elements or not torch.is_grad_enabled():
        return True
    return pool_scale_cpu.fused_pooling(x) is not None


def _is_on_gpu(x: Tensor, *gates: Tensor) -> bool:
    """Whether this is a map for the Triton kernels."""
    if torch.compiler.is_compiling() or type(x) is not Tensor or not x.is_cuda:
        return False
    dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    large = x.numel() >= current_limits().min_map_elements
    return large and dense and operators_hidden(x, *gates) and _are_alike(x, *gates)


def _are_alike(x: Tensor, *gates: Tensor) -> bool:
    """Whether the gates have the dtype, the batch size and the number of axes of the map."""
    return (
        x.ndim == 4
        and x.is_floating_point()
        and all(g.dtype == x.dtype and g.ndim == 4 and len(g) == len(x) for g in gates)
    )


def _is_layout_efficient(x: Tensor) -> bool:
    """Whether enough values of a sample are adjacent for the fused form to be faster."""
    limits, size = current_limits(), x.element_size()
    if memory_order(x) == CHANNELS_LAST:
        return x.shape[1] * size >= limits.min_channel_bytes
    return size >= 4 and x.shape[2] * x.shape[3] >= limits.min_plane_locations
