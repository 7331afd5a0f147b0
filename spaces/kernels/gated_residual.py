"""A gate, the residual addition that follows and its ReLU in one pass over the map.

A residual block computes ReLU(x · gate + shortcut). With one operator after the other, that reads
or writes the map seven times forwards and ten times backwards; one kernel (Triton, on CUDA) does so
three and five times. The attention is called at the end of the block's residual branch, and the
block itself adds the shortcut and applies the ReLU. Therefore, where a kernel covers the map,
`scale_or_defer` returns a `DeferredProduct` instead of a tensor. Adding the shortcut to it gives a
`DeferredSum`, and the ReLU of that runs the kernel. Any other use of a deferred tensor computes the
tensor first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F

from . import pool_scale_cuda
from .pool_scale_cpu import (
    ScaleFunction,
    differentiable_gradients,
    fused_pooling,
    inverse_order,
    memory_order,
)
from .torch_compat import map_nested

RELU_FUNCTIONS = (F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)

_deferring: ContextVar[bool] = ContextVar("deferring_products", default=False)


@contextmanager
def defer_products() -> Iterator[None]:
    """Inside the context, attentions may return deferred products, because the caller adds its
    shortcut to their results."""
    if torch.compiler.is_compiling():  # Nothing is deferred, and Dynamo cannot trace a ContextVar.
        yield
        return
    token = _deferring.set(True)
    try:
        yield
    finally:
        _deferring.reset(token)


def scale_or_defer(x: Tensor, gate: Tensor) -> Any:
    """x · gate, of a map and a gate that a kernel covers; deferred inside `defer_products`.

    Args:
        x: the map (N, C, H, W).
        gate: (N, C, H, W), with length 1 along axes where it is constant.
    """
    if x.is_cuda and _deferring.get():
        return DeferredProduct(x, gate)
    return ScaleFunction.apply(x, gate)  # type: ignore[no-untyped-call]


def materialise(x: Any) -> Tensor:
    """The tensor itself, or the tensor that a deferred tensor represents."""
    tensor: Tensor = x.value if isinstance(x, DeferredTensor) else x
    return tensor


class DeferredTensor:
    """A tensor that is computed when something needs its values."""

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
        """Called by torch instead of any of its functions that receives a deferred tensor."""
        if func in RELU_FUNCTIONS and isinstance(args[0], DeferredSum):
            return args[0].apply_relu()
        computed: tuple[Any, dict[str, Any]] = map_nested(
            materialise, (tuple(args), dict(kwargs or {}))
        )
        return func(*computed[0], **computed[1])

    def __getattr__(self, name: str) -> Any:
        """Any attribute or method that tensors have."""
        return getattr(self.value, name)


def _operator(name: str) -> Callable[..., Any]:
    def operator(self: DeferredTensor, *operands: Any) -> Any:
        return getattr(self.value, name)(*map(materialise, operands))

    return operator


for _name in ("mul", "rmul", "sub", "rsub", "truediv", "matmul", "pow", "neg", "getitem"):
    setattr(DeferredTensor, f"__{_name}__", _operator(f"__{_name}__"))


class DeferredProduct(DeferredTensor):
    """x · gate."""

    def __init__(self, x: Tensor, gate: Tensor) -> None:
        self.x, self.gate = x, gate

    @cached_property
    def value(self) -> Tensor:
        """The product."""
        product: Tensor = ScaleFunction.apply(self.x, self.gate)  # type: ignore[no-untyped-call]
        return product

    def __add__(self, shortcut: Any) -> Any:
        """A deferred sum, if the shortcut is a map of the same shape, strides and dtype."""
        x = self.x
        same_layout = (
            type(shortcut) is Tensor
            and shortcut.stride() == x.stride()
            and shortcut.shape == x.shape
        )
        if same_layout and shortcut.dtype == x.dtype:
            return DeferredSum(self, shortcut)
        return self.value + materialise(shortcut)

    __iadd__ = __radd__ = __add__


class DeferredSum(DeferredTensor):
    """x · gate + shortcut."""

    def __init__(self, product: DeferredProduct, shortcut: Tensor) -> None:
        self.product, self.shortcut = product, shortcut

    @cached_property
    def value(self) -> Tensor:
        """The sum."""
        return self.product.value + self.shortcut

    def __add__(self, summand: Any) -> Tensor:
        """The sum of three tensors, for which there is no kernel."""
        return self.value + materialise(summand)

    __iadd__ = __radd__ = __add__

    def apply_relu(self) -> Tensor:
        """ReLU of the sum, by the kernel."""
        product = self.product
        result: Tensor = GatedResidualFunction.apply(  # type: ignore[no-untyped-call]
            product.x, product.gate, self.shortcut
        )
        return result


class GatedResidualFunction(Function):
    """(x, gate, shortcut) to ReLU(x · gate + shortcut)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, shortcut: Tensor) -> Tensor:
        """The map."""
        order, y = memory_order(x), torch.empty_like(x)
        permuted_gate = gate.permute(order).contiguous()
        pool_scale_cuda.scale(
            x.permute(order), [permuted_gate], y.permute(order), shortcut.permute(order)
        )
        ctx.save_for_backward(x, gate, shortcut, y)
        ctx.pooling_node = fused_pooling(x)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of map, gate and shortcut."""
        x, gate, shortcut, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable_gradients(_formula, (x, gate, shortcut), (grad,))
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        order = memory_order(x)
        permuted_gate = gate.permute(order).contiguous()
        grad_map, grad_shortcut = torch.empty_like(x), torch.empty_like(x)
        grad_gate = torch.empty_like(permuted_gate)
        pool_scale_cuda.gated_residual_backward(
            x.permute(order),
            grad.permute(order),
            y.permute(order),
            permuted_gate,
            grad_map.permute(order),
            grad_gate,
            grad_shortcut.permute(order),
        )
        if ctx.pooling_node is not None:
            ctx.pooling_node.map_gradient = grad_map
        return grad_map, grad_gate.permute(inverse_order(order)), grad_shortcut


def _formula(x: Tensor, gate: Tensor, shortcut: Tensor) -> Tensor:
    return (x * gate + shortcut).relu()
