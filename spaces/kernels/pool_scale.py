"""Pool a map and scale it by a gate with the least memory traffic, forwards and backwards.

Nearly every attention pools its map, computes a small gate from the pooled values, and scales the
map:

    x, means = pool_map(x, mean(2, 3))
    y = scale_map(x, gate(means)[:, :, None, None])

Operator by operator, the backward pass of these two lines moves the map a dozen times. The mean's
gradient is written out at the size of the map, in another memory format than the map's, and added;
the product whose sum is the gate's gradient is written out and read again. Here `scale_map` sums
that product chunk by chunk, and `pool_map` adds its part in place to the gradient that `scale_map`
made. For this, `pool_map` also returns the map, and the caller must continue with the returned one.

Both compute the plain formula where somebody looks at the operators (tracing, compiling, exporting,
transforms of `torch.func`), for gradients of gradients, where fusing would not be faster, and
inside `plain()`. The two forms differ by rounding at most, and not at all where gates are 1.

On a CPU the fused form ends at the gate. Including the residual addition and the ReLU behind it
saved 0 to 0.4 % of a residual block's step in bf16 and cost up to 4.7 % in float32. On CUDA
`gated_residual.py` includes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import pool_scale_cpu, pool_scale_cuda
from .gated_residual import materialise, scale_or_defer
from .pool_scale_cpu import FIRST, LAST, PoolFunction, ScaleFunction, back, memory_order
from .pooling import Pooling, maximum, pool_by_formula, squares

NEVER = 2**62

# Limits from which on the fused form is faster, as benchmarks/attention.py measures.

SMALL = 2**17
"""Elements of a map below which calls cost more than traffic."""

QUICK = {maximum(2, 3): 2**19, squares(2, 3): 2**20}
"""The same for pools whose plain form is quick."""

ALONE = 2**20
"""The same for a gate where nothing is pooled in the fused form."""

FEW = 32
"""Places of a contiguous map below which its maximum over channels is slow as a plain reduction."""

NARROW = 64
"""With channels last: bytes of all channels of a place below which too little lies together."""

LARGE = 512
"""With channels first, and not in bf16: places of a plane."""


def pool_map(x: Tensor, *pools: Pooling) -> tuple[Tensor, ...]:
    """The map (N, C, H, W) to go on with, and what every pool makes of it.

    `mean(2, 3)` gives (N, C), `mean(3)` gives (N, C, H), `mean(1)` gives (N, H, W), and so on.
    """
    x = materialise(x)
    if not torch.is_grad_enabled():
        return (x, *_forwards(x, pools))
    if not _pools_fused(x, pools):
        formula = (
            pool_scale_cpu.pool_by_operators if _is_map(x) and can_fuse(x) else pool_by_formula
        )
        return (x, *(formula(x, pool) for pool in pools))
    if x.requires_grad:
        results: tuple[Tensor, ...] = PoolFunction.apply(x, pools)  # type: ignore[no-untyped-call]
        return results
    return (x, *pool_scale_cpu.pool(x, pools))


def scale_map(x: Tensor, *gates: Tensor) -> Tensor:
    """The map (N, C, H, W) times every gate; a gate has length 1 where it is the same."""
    x = materialise(x)
    # Under CUDA's autocast sums and powers are float32; a gate of them must not widen the map.
    gates = tuple(gate.to(x.dtype) for gate in gates)
    if (len(gates) == 1 and not torch.is_grad_enabled()) or not _gates_fused(x, gates):
        turned = (
            _is_map(x)
            and not all(map(pool_scale_cpu.has_one_layout, gates))
            and can_fuse(x, *gates)
        )
        return (pool_scale_cpu.multiply_in_memory_order if turned else pool_scale_cpu.product)(
            x, *gates
        )
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, *gates)):
        result: Tensor = (
            scale_or_defer(x, *gates) if len(gates) == 1 else ScaleFunction.apply(x, *gates)  # type: ignore[no-untyped-call]
        )
        return result
    return pool_scale_cpu.scale(x, gates)


def add_in_layout_of(x: Tensor, *parts: Tensor) -> Tensor:
    """The sum of parts that broadcast to the map, and that lies in memory as the map does."""
    order = memory_order(x) if can_fuse_map(x) else FIRST
    first, *others = (part.permute(order).contiguous() for part in parts)
    for part in others:
        first = first + part
    return first.permute(back(order))


@contextmanager
def plain() -> Iterator[None]:
    """Inside, everything is the plain formula: what tests and benchmarks compare with."""
    global _fusing
    before, _fusing = _fusing, False
    try:
        yield
    finally:
        _fusing = before


_fusing = True


def can_fuse(*tensors: Tensor, counted: bool = False) -> bool:
    """Whether tensors are computed on a CPU by nobody who wants to see the formula's operators.

    With `counted` their number matters too, to who counts multiply-adds.
    """
    return (
        _unseen(*tensors)
        and all(tensor.device.type in ("cpu", "meta") for tensor in tensors)
        and not (counted and torch._C._len_torch_dispatch_stack())
    )


def _unseen(*tensors: Tensor) -> bool:
    if torch.compiler.is_compiling() or not _fusing:
        return False
    # Proxies, fake tensors and other subclasses stand for somebody who looks at the operators.
    return (
        all(type(tensor) is Tensor for tensor in tensors)
        and not torch._C._is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def can_fuse_map(x: Tensor, *gates: Tensor) -> bool:
    """Whether this map (N, C, H, W) is pooled and scaled in the fused form of a CPU."""
    # Most maps of an inference with one picture end here, where a microsecond counts.
    if torch.compiler.is_compiling() or type(x) is not Tensor or x.numel() < SMALL:
        return False
    return _alike(x, *gates) and _pays(x) and can_fuse(x, *gates)


def is_fused_channels_last(x: Tensor) -> bool:
    """Whether this map is one of those, and lies with channels last."""
    return can_fuse_map(x) and memory_order(x) == LAST


def _is_map(x: Tensor) -> bool:
    return type(x) is Tensor and x.ndim == 4


def _forwards(x: Tensor, pools: tuple[Pooling, ...]) -> list[Tensor]:
    """Values that nobody will want a gradient of."""
    last = _is_map(x) and memory_order(x) == LAST
    if last and x.numel() >= min(_forwards_from(pool, x.dtype) for pool in pools) and can_fuse(x):
        return pool_scale_cpu.pool(x, pools)
    tops = type(x) is Tensor and any(pool.kind == "maximum" for pool in pools) and can_fuse(x)
    return [
        pool_by_formula(x, pool, backwards=not tops or _slow_top(x, pool, last)) for pool in pools
    ]


def _slow_top(x: Tensor, pool: Pooling, last: bool) -> bool:
    """Where the quick maximum is slow: over places that do not lie together, or very few do."""
    if pool.axes == (1,):
        return not last and x.shape[2] * x.shape[3] < FEW
    return last and pool.axes == (2, 3)


def _forwards_from(pool: Pooling, dtype: torch.dtype) -> int:
    """Elements of a map with channels last from which on slabs are faster forwards."""
    if pool.kind in ("mean", "maximum") and pool.axes in ((2,), (3,)):
        return 2**13
    if pool.kind == "mean" and pool.axes == (2, 3) and dtype == torch.bfloat16:
        return 2**17
    return {"maximum": 2**17, "weighted": 2**17, "variance": 2**20}.get(pool.kind, NEVER)


def _pools_fused(x: Tensor, pools: tuple[Pooling, ...]) -> bool:
    if _on_gpu(x):
        return pool_scale_cuda.covers(x, pools) and not pool_scale_cuda.unusable(
            x.device, strips=pool_scale_cuda.are_strips(pools)
        )
    return can_fuse_map(x) and all(x.numel() >= QUICK.get(pool, 0) for pool in pools)


def _gates_fused(x: Tensor, gates: tuple[Tensor, ...]) -> bool:
    if _on_gpu(x, *gates):
        return pool_scale_cuda.covers_gates(x, gates) and not pool_scale_cuda.unusable(
            x.device, strips=len(gates) == 2
        )
    if not can_fuse_map(x, *gates):
        return False
    return x.numel() >= ALONE or hasattr(x.grad_fn, "made") or not torch.is_grad_enabled()


def _on_gpu(x: Tensor, *gates: Tensor) -> bool:
    """Whether this is a map for Triton's kernels."""
    if torch.compiler.is_compiling() or type(x) is not Tensor or not x.is_cuda:
        return False
    lies = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    return x.numel() >= SMALL and lies and _unseen(x, *gates) and _alike(x, *gates)


def _alike(x: Tensor, *gates: Tensor) -> bool:
    return (
        x.ndim == 4
        and x.is_floating_point()
        and all(g.dtype == x.dtype and g.ndim == 4 and len(g) == len(x) for g in gates)
    )


def _pays(x: Tensor) -> bool:
    size = x.element_size()
    if memory_order(x) == LAST:
        return x.shape[1] * size >= NARROW
    return size >= 4 and x.shape[2] * x.shape[3] >= LARGE
