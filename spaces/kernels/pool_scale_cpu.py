"""Pooling and scaling a map on a CPU, chunk by chunk, with explicit gradients.

A chunk is so few samples of a map that several buffers of its size stay in a core's cache. Whatever
has to be done to a map several times is done to each chunk in turn. So the map itself is read from
memory once, and nothing of its size is written that is not a result.

The functions work on views whose axes are in the order in which they lie in memory ("in memory
order"), and in which the axes that a pooling or a gate lacks have length 1. A small map is a single
chunk, for which the number of calls counts. `pool_by_operators` and `multiply_in_memory_order` are
for maps that are too small even for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from . import pool_scale_cuda
from .pooling import (
    Axes,
    Pooling,
    mean_by_sum,
    pool_by_formula,
    pool_keeping_axes,
    pooling_gradient,
)

SLAB = 2**20
"""Bytes of a slab; four times as many where it is only read, by operators that keep little."""

FIRST: Axes = (0, 1, 2, 3)
LAST: Axes = (0, 2, 3, 1)
"""The order of a map's axes in memory: channels first or last."""


def memory_order(x: Tensor) -> Axes:
    """The order in which a map's axes lie in memory."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return LAST if last else FIRST


def back(order: Axes) -> Axes:
    """The permutation that undoes `order`."""
    return FIRST if order == FIRST else (0, 3, 1, 2)


def split_into_chunks(*tensors: Tensor, times: int = 1) -> Iterator[tuple[Tensor, ...]]:
    """Some samples of all tensors at a time, `times` a slab; the first is a map."""
    x, number = tensors[0], len(tensors[0])
    size = max(1, times * SLAB * number // (x.numel() * x.element_size()))
    if size >= number:
        yield tensors
        return
    for begin in range(0, number, size):
        yield tuple(tensor[begin : begin + size] for tensor in tensors)


# --- pooling --------------------------------------------------------------------------------------


def pool(x: Tensor, pools: Sequence[Pooling]) -> list[Tensor]:
    """The value of every pool, without its axes and without gradients."""
    order = memory_order(x)
    turned = [_turned(each, order) for each in pools]
    lying = x.permute(order)
    values = pool_scale_cuda.pool(lying, turned) if x.is_cuda else _pool(lying, turned)
    return [
        value.permute(back(order)).squeeze(each.axes)
        for value, each in zip(values, pools, strict=True)
    ]


def _pool(x: Tensor, pools: Sequence[Pooling]) -> list[Tensor]:
    once = len(pools) == 1 and pools[0].kind in ("mean", "maximum")  # not worth cutting
    slabs = [(x,)] if once else split_into_chunks(x, times=4)
    found = [[pool_keeping_axes(slab, each) for each in pools] for (slab,) in slabs]
    return found[0] if len(found) == 1 else [torch.cat(part) for part in zip(*found, strict=True)]


class PoolFunction(Function):
    """(x, pools) to x and the values of its pools."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pools: Sequence[Pooling]) -> tuple[Tensor, ...]:
        """The map and the values."""
        values = pool(x, pools)
        ctx.set_materialize_grads(False)
        ctx.pools = pools
        ctx.made = (
            None  # the gradient of the map that `ScaleFunction` has just made, and nobody else has
        )
        ctx.save_for_backward(x, *values)
        return (x.view_as(x), *values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *grads: Tensor | None) -> tuple[Any, ...]:
        """That of the map; `grad` is that of the map given back, `grads` of the values."""
        x, *values = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *differentiable_gradients(_plainly(ctx.pools), (x,), (grad, *grads)), None
        made, ctx.made = ctx.made, None
        given = list(zip(ctx.pools, values, grads, strict=True))
        parts = [part for part in given if part[2] is not None]
        if not parts:
            return grad, None
        if x.is_cuda and len(parts) < len(given):  # a kernel is for all of them
            parts = [(each, v, torch.zeros_like(v) if g is None else g) for each, v, g in given]
        if grad is None:
            grad = made = torch.zeros_like(x)
        elif grad.stride() != x.stride():
            grad = made = torch.empty_like(x).copy_(grad)
        total = grad if grad is made else torch.empty_like(x)
        _add(x, grad, total, parts)
        return total, None


def pool_by_operators(x: Tensor, pool: Pooling) -> Tensor:
    """The pool's value by torch's operators and their gradients, along the map as it lies.

    A mean of rows or columns would else lie otherwise than its map.
    """
    if pool.kind != "mean":
        return pool_by_formula(x, pool)
    if pool.axes in ((1,), (2, 3)):  # whatever is left lies in one order only
        return mean_by_sum(x, pool.axes, kept=False)
    order = memory_order(x)
    value = mean_by_sum(x.permute(order), _turned(pool, order).axes)
    return value.permute(back(order)).squeeze(pool.axes)


def _plainly(pools: Sequence[Pooling]) -> Callable[[Tensor], tuple[Tensor, ...]]:
    return lambda x: (x.view_as(x), *(pool_by_formula(x, each) for each in pools))


def _add(x: Tensor, grad: Tensor, total: Tensor, parts: Sequence[tuple[Pooling, Any, Any]]) -> None:
    """total = grad + every pool's part; the two may be one."""
    order = memory_order(x)
    pools = [_turned(each, order) for each, _, _ in parts]
    small = [_lying(tensor, each, order) for each, *pair in parts for tensor in pair]
    lying = [tensor.permute(order) for tensor in (x, grad, total)]
    if x.is_cuda:
        pool_scale_cuda.add(lying[0], lying[1], lying[2], pools, small)
        return
    if len(parts) == 1 and pools[0].kind == "mean":
        torch.add(lying[1], pooling_gradient(x, pools[0], small[0], small[1], x), out=lying[2])
        return
    scratch = None
    for x_, grad_, total_, *small_ in split_into_chunks(*lying, *small):
        scratch = torch.empty_like(x_) if scratch is None else scratch[: len(x_)]
        for each, value, given in zip(pools, small_[::2], small_[1::2], strict=True):
            grad_ = torch.add(grad_, pooling_gradient(x_, each, value, given, scratch), out=total_)


def _turned(pool: Pooling, order: Axes) -> Pooling:
    if order == FIRST:
        return pool
    weights = None if pool.weights is None else pool.weights.permute(order).contiguous()
    return Pooling(pool.kind, tuple(order.index(axis) for axis in pool.axes), weights)


def _lying(value: Tensor, pool: Pooling, order: Axes) -> Tensor:
    """A pooled value with its axes of length 1, in one piece."""
    for axis in sorted(pool.axes):
        value = value.unsqueeze(axis)
    return value.permute(order).contiguous()


# --- scaling --------------------------------------------------------------------------------------


def product(x: Tensor, *gates: Tensor) -> Tensor:
    """The plain formula."""
    for gate in gates:
        x = x * gate
    return x


def multiply_in_memory_order(x: Tensor, *gates: Tensor) -> Tensor:
    """The plain formula, with gates that lie as their map does."""
    order = memory_order(x)
    return product(x.permute(order), *_lying_gates(gates, order)).permute(back(order))


def has_one_layout(gate: Tensor) -> bool:
    """Whether a gate has but one order of axes in memory: channels alone, or places alone."""
    return gate.shape[1] == 1 or gate.shape[2:] == (1, 1)


def _lying_gates(gates: Sequence[Tensor], order: Axes) -> list[Tensor]:
    """Gates as their map lies: with another order of axes they cost several times as much."""
    return [gate.permute(order).contiguous() for gate in gates]


def scale(x: Tensor, gates: Sequence[Tensor]) -> Tensor:
    """The product without gradients."""
    if x.is_cuda:
        order, y = memory_order(x), torch.empty_like(x)
        pool_scale_cuda.scale(x.permute(order), _lying_gates(gates, order), y.permute(order))
        return y
    if len(gates) == 1 and has_one_layout(gates[0]):
        return x * gates[0]
    order = memory_order(x)
    y = torch.empty_like(x)
    for x_, y_, *gates_ in split_into_chunks(
        x.permute(order), y.permute(order), *_lying_gates(gates, order)
    ):
        _product_into(y_, x_, gates_)
    return y


class ScaleFunction(Function):
    """The product of a map and its gates."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *gates: Tensor) -> Tensor:
        """The product."""
        ctx.save_for_backward(x, *gates)
        ctx.pool_node = x.grad_fn if hasattr(x.grad_fn, "made") else None
        return scale(x, gates)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Those of the map and of the gates."""
        x, *gates = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable_gradients(product, (x, *gates), (grad,))
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        order = memory_order(x)
        lying = _lying_gates(gates, order)
        needs_map, *needs = ctx.needs_input_grad
        of_map = torch.empty_like(x) if needs_map else None
        of_gates = [
            torch.empty_like(gate) if needed else None
            for gate, needed in zip(lying, needs, strict=True)
        ]
        _unscale(
            [x.permute(order), grad.permute(order), *lying],
            [None if of_map is None else of_map.permute(order), *of_gates],
        )
        if ctx.pool_node is not None:
            ctx.pool_node.made = of_map
        return of_map, *(None if out is None else out.permute(back(order)) for out in of_gates)


def _unscale(given: Sequence[Tensor], wanted: Sequence[Tensor | None]) -> None:
    """`given` are the map, the gradient of its product with the gates, and the gates; `wanted` are
    the gradients of the map and of the gates."""
    if given[0].is_cuda:
        pool_scale_cuda.unscale(given, wanted)
        return
    one = two = None
    for slab in split_into_chunks(*given, *(tensor for tensor in wanted if tensor is not None)):
        x, grad, *gates = slab[: len(given)]
        rest = iter(slab[len(given) :])
        of_map, *of_gates = (None if tensor is None else next(rest) for tensor in wanted)
        if len(of_gates) == 1 and of_gates[0] is not None and of_gates[0].shape == x.shape:
            torch.mul(grad, x, out=of_gates[0])
        elif any(out is not None for out in of_gates):
            one = torch.mul(grad, x, out=None if one is None else one[: len(x)])
            for k, out in enumerate(of_gates):
                others = (*gates[:k], *gates[k + 1 :])
                if out is not None and others:
                    two = _product_into(None if two is None else two[: len(x)], one, others)
                    _sum_into(out, two)
                elif out is not None:
                    _sum_into(out, one)
        if of_map is not None:
            _product_into(of_map, grad, gates)


def _product_into(out: Tensor | None, x: Tensor, gates: Sequence[Tensor]) -> Tensor:
    for gate in gates:
        x = out = torch.mul(x, gate, out=out)
    return x


def _sum_into(out: Tensor, x: Tensor) -> None:
    """Sum along the axes where `out` has length 1."""
    axes = [axis for axis in (1, 2, 3) if out.shape[axis] != x.shape[axis]]
    torch.sum(x, axes, keepdim=True, out=out) if axes else out.copy_(x)


# --- gradients of gradients -----------------------------------------------------------------------


def differentiable_gradients(
    formula: Callable[..., Any], inputs: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Gradients of the plain `formula` that can be differentiated again."""
    with torch.enable_grad():
        results = formula(*inputs)
        results = results if isinstance(results, tuple) else (results,)
        pairs = [pair for pair in zip(results, grads, strict=True) if pair[1] is not None]
        outputs, given = zip(*pairs, strict=True)
        needed = [tensor for tensor in inputs if tensor.requires_grad]
        found = iter(torch.autograd.grad(outputs, needed, given, create_graph=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)
