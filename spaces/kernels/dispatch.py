"""Whether a kernel may replace torch's operators.

`disable_kernels()` switches all kernels off, for tests and benchmarks that compare, and to find out
whether a kernel causes a problem. Kernels are also not used wherever a tool sees the operators of a
network: in tracing, compiling, exporting, transforms of `torch.func`, forward-mode gradients, and
with subclasses of `Tensor`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, fx
from torch.autograd import forward_ad

from .torch_compat import has_dispatch_mode, in_function_transform

_enabled: ContextVar[bool] = ContextVar("kernels_enabled", default=True)


@contextmanager
def disable_kernels() -> Iterator[None]:
    """Inside the context, torch's own operators compute everything, by the plain formulas."""
    token = _enabled.set(False)
    try:
        yield
    finally:
        _enabled.reset(token)


def kernels_enabled() -> bool:
    """Whether kernels may be used here at all."""
    return _enabled.get()


def can_fuse(*tensors: Tensor, adds_operations: bool = False) -> bool:
    """Whether these tensors are on a CPU (or on meta) and no tool sees their operators.

    Args:
        tensors: all inputs of the computation.
        adds_operations: whether the kernel performs more multiply-adds than the formula; then it is
            not used while a tool counts them.
    """
    return (
        operators_hidden(*tensors)
        and all(tensor.device.type in ("cpu", "meta") for tensor in tensors)
        and all(tensor.numel() for tensor in tensors)  # The formulas know empty batches.
        and not (adds_operations and has_dispatch_mode())
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
        # Inference mode propagates no tangents, and skipping the check saves microseconds there.
        and (torch.is_inference_mode_enabled() or not any(map(has_tangent, tensors)))
    )


def is_symbolic(tensor: Tensor) -> bool:
    """Whether torch.fx traces the program that computes this, so that nothing is known of it."""
    return isinstance(tensor, fx.Proxy)


def has_tangent(tensor: Tensor) -> bool:
    """Whether a tensor carries a forward-mode gradient (`torch.autograd.forward_ad`)."""
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]
