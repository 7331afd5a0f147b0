"""A gate, the residual addition behind it and the ReLU behind that in one pass over the map.

A residual block computes ReLU(x · gate + shortcut): operator by operator seven passes over maps
forwards and ten backwards, in one kernel three and five (Triton, on CUDA). But attention is called
at the border of the block's last norm, and the block adds and cuts off by itself. So where
attention stands there, and a kernel is for it, `scaled` gives back a promise (`Gated`) that waits:
what the block adds to it makes another (`Sum`), and the ReLU of that is computed at once. Whatever
else is done with a promise, it first becomes the tensor that it stands for.
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
from .pool_scale_cpu import Scaled, back, derived, order_of

RELU = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)

_waiting = False


@contextmanager
def awaiting_sum() -> Iterator[None]:
    """Inside, the result of an attention goes where something is added to it."""
    global _waiting
    before, _waiting = _waiting, True
    try:
        yield
    finally:
        _waiting = before


def promised(x: Tensor, gate: Tensor) -> Any:
    """x · gate, of a map and a gate that a kernel is for; inside `awaiting_sum` as a promise."""
    return Gated(x, gate) if _waiting and x.is_cuda else Scaled.apply(x, gate)  # type: ignore[no-untyped-call]


def settled(x: Any) -> Tensor:
    """The tensor that something is, or stands for."""
    tensor: Tensor = x.value if isinstance(x, Promise) else x
    return tensor


class Promise:
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
        if func in RELU and isinstance(args[0], Sum):
            return args[0].cut_off()
        given: tuple[Any, dict[str, Any]] = tree_map(settled, (tuple(args), dict(kwargs or {})))
        return func(*given[0], **given[1])

    def __getattr__(self, name: str) -> Any:
        """Whatever tensors have."""
        return getattr(self.value, name)


def _of_value(name: str) -> Callable[..., Any]:
    def operator(self: Promise, *others: Any) -> Any:
        return getattr(self.value, name)(*map(settled, others))

    return operator


for _name in ("mul", "rmul", "sub", "rsub", "truediv", "matmul", "pow", "neg", "getitem"):
    setattr(Promise, f"__{_name}__", _of_value(f"__{_name}__"))


class Gated(Promise):
    """x · gate."""

    def __init__(self, x: Tensor, gate: Tensor) -> None:
        self.x, self.gate = x, gate

    @cached_property
    def value(self) -> Tensor:
        """The product."""
        product: Tensor = Scaled.apply(self.x, self.gate)  # type: ignore[no-untyped-call]
        return product

    def __add__(self, other: Any) -> Any:
        """A promise of the sum, with a map that lies as this one does."""
        x = self.x
        alike = type(other) is Tensor and other.stride() == x.stride() and other.shape == x.shape
        return Sum(self, other) if alike and other.dtype == x.dtype else self.value + settled(other)

    __iadd__ = __radd__ = __add__


class Sum(Promise):
    """x · gate + other."""

    def __init__(self, gated: Gated, other: Tensor) -> None:
        self.gated, self.other = gated, other

    @cached_property
    def value(self) -> Tensor:
        """The sum."""
        return self.gated.value + self.other

    def __add__(self, other: Any) -> Tensor:
        """Of three there is no kernel."""
        return self.value + settled(other)

    __iadd__ = __radd__ = __add__

    def cut_off(self) -> Tensor:
        """ReLU of the sum."""
        result: Tensor = Joined.apply(self.gated.x, self.gated.gate, self.other)  # type: ignore[no-untyped-call]
        return result


class Joined(Function):
    """(x, gate, other) to ReLU(x · gate + other)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, other: Tensor) -> Tensor:
        """The map."""
        order, y = order_of(x), torch.empty_like(x)
        lying = gate.permute(order).contiguous()
        pool_scale_cuda.scale(x.permute(order), [lying], y.permute(order), other.permute(order))
        ctx.save_for_backward(x, gate, other, y)
        ctx.pooled = x.grad_fn if hasattr(x.grad_fn, "made") else None
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Those of all three."""
        x, gate, other, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return derived(lambda a, b, c: (a * b + c).relu(), (x, gate, other), (grad,))
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        order = order_of(x)
        lying = gate.permute(order).contiguous()
        of_map, of_other = torch.empty_like(x), torch.empty_like(x)
        of_gate = torch.empty_like(lying)
        x_, grad_, y_, of_map_, of_other_ = (
            tensor.permute(order) for tensor in (x, grad, y, of_map, of_other)
        )
        pool_scale_cuda.unjoin(x_, grad_, y_, lying, of_map_, of_gate, of_other_)
        if ctx.pooled is not None:
            ctx.pooled.made = of_map
        return of_map, of_gate.permute(back(order)), of_other
