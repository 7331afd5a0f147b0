"""A gate, the residual addition behind it and the ReLU behind that in one pass over the map.

A residual block computes ReLU(x · gate + shortcut). Operator by operator that moves the map seven
times forwards and ten times backwards; one kernel moves it three and five times (Triton, on CUDA).
The attention is called at the end of the block's residual branch, and the block itself adds the
shortcut and applies the ReLU. So where a kernel covers the map, `scale_or_defer` returns a
`DeferredProduct` in place of a tensor. What the block adds to it becomes a `DeferredSum`, and the
ReLU of that runs the kernel. Any other use of a deferred tensor computes the tensor first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from . import pool_scale_cuda
from .pool_scale_cpu import ScaleFunction, back, differentiable_gradients, memory_order

RELU = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)

_waiting = False


@contextmanager
def defer_products() -> Iterator[None]:
    """Inside, the result of an attention goes where something is added to it."""
    global _waiting
    before, _waiting = _waiting, True
    try:
        yield
    finally:
        _waiting = before


def scale_or_defer(x: Tensor, gate: Tensor) -> Any:
    """x · gate, of a map and a gate that a kernel is for; inside `defer_products` as a promise."""
    return DeferredProduct(x, gate) if _waiting and x.is_cuda else ScaleFunction.apply(x, gate)  # type: ignore[no-untyped-call]


def materialise(x: Any) -> Tensor:
    """The tensor that something is, or stands for."""
    tensor: Tensor = x.value if isinstance(x, DeferredTensor) else x
    return tensor


class DeferredTensor:
    """A tensor that is computed when somebody needs it."""

    @cached_property
    def value(self) -> Tensor:
        """The tensor."""
        raise NotImplementedError

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Any function of torch that is given a promise."""
        if func in RELU and isinstance(args[0], DeferredSum):
            return args[0].cut_off()
        given: tuple[Any, dict[str, Any]] = tree_map(materialise, (tuple(args), dict(kwargs or {})))
        return func(*given[0], **given[1])

    def __getattr__(self, name: str) -> Any:
        """Whatever tensors have."""
        return getattr(self.value, name)


def _of_value(name: str) -> Callable[..., Any]:
    def operator(self: DeferredTensor, *others: Any) -> Any:
        return getattr(self.value, name)(*map(materialise, others))

    return operator


for _name in ("mul", "rmul", "sub", "rsub", "truediv", "matmul", "pow", "neg", "getitem"):
    setattr(DeferredTensor, f"__{_name}__", _of_value(f"__{_name}__"))


class DeferredProduct(DeferredTensor):
    """x · gate."""

    def __init__(self, x: Tensor, gate: Tensor) -> None:
        self.x, self.gate = x, gate

    @cached_property
    def value(self) -> Tensor:
        """The product."""
        product: Tensor = ScaleFunction.apply(self.x, self.gate)  # type: ignore[no-untyped-call]
        return product

    def __add__(self, other: Any) -> Any:
        """A promise of the sum, with a map that lies as this one does."""
        x = self.x
        alike = type(other) is Tensor and other.stride() == x.stride() and other.shape == x.shape
        return (
            DeferredSum(self, other)
            if alike and other.dtype == x.dtype
            else self.value + materialise(other)
        )

    __iadd__ = __radd__ = __add__


class DeferredSum(DeferredTensor):
    """x · gate + other."""

    def __init__(self, gated: DeferredProduct, other: Tensor) -> None:
        self.gated, self.other = gated, other

    @cached_property
    def value(self) -> Tensor:
        """The sum."""
        return self.gated.value + self.other

    def __add__(self, other: Any) -> Tensor:
        """Of three there is no kernel."""
        return self.value + materialise(other)

    __iadd__ = __radd__ = __add__

    def cut_off(self) -> Tensor:
        """ReLU of the sum."""
        result: Tensor = GatedResidualFunction.apply(self.gated.x, self.gated.gate, self.other)  # type: ignore[no-untyped-call]
        return result


class GatedResidualFunction(Function):
    """(x, gate, other) to ReLU(x · gate + other)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, other: Tensor) -> Tensor:
        """The map."""
        order, y = memory_order(x), torch.empty_like(x)
        lying = gate.permute(order).contiguous()
        pool_scale_cuda.scale(x.permute(order), [lying], y.permute(order), other.permute(order))
        ctx.save_for_backward(x, gate, other, y)
        ctx.pool_node = x.grad_fn if hasattr(x.grad_fn, "made") else None
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Those of all three."""
        x, gate, other, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable_gradients(
                lambda a, b, c: (a * b + c).relu(), (x, gate, other), (grad,)
            )
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        order = memory_order(x)
        lying = gate.permute(order).contiguous()
        of_map, of_other = torch.empty_like(x), torch.empty_like(x)
        of_gate = torch.empty_like(lying)
        x_, grad_, y_, of_map_, of_other_ = (
            tensor.permute(order) for tensor in (x, grad, y, of_map, of_other)
        )
        pool_scale_cuda.gated_residual_backward(x_, grad_, y_, lying, of_map_, of_gate, of_other_)
        if ctx.pool_node is not None:
            ctx.pool_node.made = of_map
        return of_map, of_gate.permute(back(order)), of_other
