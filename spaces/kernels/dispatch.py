"""Whether a kernel may replace torch's operators: the switch, and visible operators.

`disable_kernels()` switches every kernel of this room off, for tests and benchmarks that compare,
and for finding out whether one of them is to blame. Apart from that, kernels step back wherever the
operators of a network are visible to a tool: tracing, compiling, exporting, transforms of
`torch.func`, forward-mode gradients, and subclasses of `Tensor`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .torch_compat import has_dispatch_mode, in_function_transform

_enabled: ContextVar[bool] = ContextVar("kernels_enabled", default=True)


@contextmanager
def disable_kernels() -> Iterator[None]:
    """Inside, torch's own operators compute everything, by the plain formulas."""
    token = _enabled.set(False)
    try:
        yield
    finally:
        _enabled.reset(token)


def kernels_enabled() -> bool:
    """Whether kernels may be used here at all."""
    return _enabled.get()


def can_fuse(*tensors: Tensor, counted: bool = False) -> bool:
    """Whether these tensors are on a CPU (or on meta) and their operators are not visible.

    Args:
        tensors: all inputs of the computation.
        counted: also require that multiply-adds are not counted, for a kernel that needs more of
            them than the formula.
    """
    return (
        operators_hidden(*tensors)
        and all(tensor.device.type in ("cpu", "meta") for tensor in tensors)
        and not (counted and has_dispatch_mode())
    )


def operators_hidden(*tensors: Tensor) -> bool:
    """Whether kernels are enabled and no tool sees the operators applied to these tensors."""
    if torch.compiler.is_compiling() or not _enabled.get():
        return False
    # A subclass (a proxy, a fake tensor) belongs to a tool that records the operators.
    return (
        all(type(tensor) is Tensor for tensor in tensors)
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        and not in_function_transform()
        # Inference mode propagates no tangents, and there the microseconds count.
        and (torch.is_inference_mode_enabled() or not any(map(has_tangent, tensors)))
    )


def has_tangent(tensor: Tensor) -> bool:
    """Whether a tensor carries a forward-mode gradient (`torch.autograd.forward_ad`)."""
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]
