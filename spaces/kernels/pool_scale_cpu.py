"""Pooling and scaling a map on a CPU, chunk by chunk, with explicit gradients.

A chunk has so few samples of a map that several buffers of its size fit into a core's cache. All
steps of a computation are applied to one chunk before the next. Therefore the map is read from
memory once, and no intermediate result of its size is written.

The functions work on views whose axes are in memory order, from the largest stride to the smallest,
and in which the axes that a pooling or a gate lacks have length 1. A name that ends with an
underscore is a chunk of the tensor of that name. A small map is a single chunk, so that few calls
are made. `pool_by_operators` and `multiply_in_memory_order` are for maps that are too small even
for that.

The two autograd functions serve CUDA as well, by the kernels of `pool_scale_cuda.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

from . import pool_scale_cuda
from .limits import current_limits
from .pooling import (
    Axes,
    Pooling,
    mean_by_sum,
    pool_by_formula,
    pool_keeping_axes,
    pooling_gradient,
)

CHANNELS_FIRST: Axes = (0, 1, 2, 3)
CHANNELS_LAST: Axes = (0, 2, 3, 1)
"""The order of a map's axes in memory."""

READ_ONLY_CHUNK_FACTOR = 4
"""How many times larger a chunk may be if it is only read, by operators with small buffers."""


def memory_order(x: Tensor) -> Axes:
    """The order of a map's axes in memory."""
    channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return CHANNELS_LAST if channels_last else CHANNELS_FIRST


def inverse_order(order: Axes) -> Axes:
    """The permutation that undoes `order`."""
    return CHANNELS_FIRST if order == CHANNELS_FIRST else (0, 3, 1, 2)


def split_into_chunks(*tensors: Tensor, times: int = 1) -> Iterator[tuple[Tensor, ...]]:
    """Views of successive chunks of samples.

    Args:
        tensors: a map and others with as many samples.
        times: how many times larger than `Limits.chunk_bytes` the map's part of a chunk may be.
    """
    x, count = tensors[0], len(tensors[0])
    chunk_bytes = current_limits().chunk_bytes
    size = max(1, times * chunk_bytes * count // (x.numel() * x.element_size()))
    if size >= count:
        yield tensors
        return
    for begin in range(0, count, size):
        yield tuple(tensor[begin : begin + size] for tensor in tensors)


# --- pooling --------------------------------------------------------------------------------------


def pool(x: Tensor, poolings: Sequence[Pooling]) -> list[Tensor]:
    """The result of every pooling, without its axes and without gradients."""
    order = memory_order(x)
    permuted_poolings = [_in_order(pooling, order) for pooling in poolings]
    permuted = x.permute(order)
    compute = pool_scale_cuda.pool if x.is_cuda else _pool_chunks
    values = compute(permuted, permuted_poolings)
    return [
        value.permute(inverse_order(order)).squeeze(pooling.axes)
        for value, pooling in zip(values, poolings, strict=True)
    ]


def _pool_chunks(x: Tensor, poolings: Sequence[Pooling]) -> list[Tensor]:
    single_pass = len(poolings) == 1 and poolings[0].kind in ("mean", "maximum")
    chunks = [(x,)] if single_pass else split_into_chunks(x, times=READ_ONLY_CHUNK_FACTOR)
    values = [[pool_keeping_axes(chunk, pooling) for pooling in poolings] for (chunk,) in chunks]
    if len(values) == 1:
        return values[0]
    return [torch.cat(chunk_values) for chunk_values in zip(*values, strict=True)]


class PoolFunction(Function):
    """(map, poolings) to the map and the results of its poolings, for `pool_map`.

    `map_gradient` is the gradient of the map that `ScaleFunction` has just made and that nothing
    else refers to, so that it may be changed in place; else None.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, poolings: Sequence[Pooling]) -> tuple[Tensor, ...]:
        """The map and the pooled values."""
        values = pool(x, poolings)
        ctx.set_materialize_grads(False)
        ctx.poolings = poolings
        ctx.map_gradient = None
        ctx.save_for_backward(x, *values)
        return (x.view_as(x), *values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *grads: Tensor | None) -> tuple[Any, ...]:
        """The gradient of the map, from `grad` of the returned map and `grads` of the values."""
        x, *values = ctx.saved_tensors
        if torch.is_grad_enabled():
            formula = _pooling_formula(ctx.poolings)
            return *differentiable_gradients(formula, (x,), (grad, *grads)), None
        reusable, ctx.map_gradient = ctx.map_gradient, None
        all_parts = list(zip(ctx.poolings, values, grads, strict=True))
        parts = [part for part in all_parts if part[2] is not None]
        if not parts:
            return grad, None
        if x.is_cuda and len(parts) < len(all_parts):  # One kernel computes all of them.
            parts = [(p, v, torch.zeros_like(v) if g is None else g) for p, v, g in all_parts]
        if grad is None:
            grad = reusable = torch.zeros_like(x)
        elif grad.stride() != x.stride():
            grad = reusable = torch.empty_like(x).copy_(grad)
        total = grad if grad is reusable else torch.empty_like(x)
        _add_pooling_gradients(x, grad, total, parts)
        return total, None


def fused_pooling(x: Tensor) -> Any:
    """The node of the autograd graph that made a map, if it is a `PoolFunction`'s; else None."""
    return x.grad_fn if hasattr(x.grad_fn, "map_gradient") else None


def pool_by_operators(x: Tensor, pooling: Pooling) -> Tensor:
    """The pooled map by torch's operators and their gradients, in the memory order of the map.

    `Tensor.mean` of rows or columns would have another memory format than its map.
    """
    if pooling.kind != "mean":
        return pool_by_formula(x, pooling)
    if pooling.axes in ((1,), (2, 3)):  # The axes that remain have only one memory order.
        return mean_by_sum(x, pooling.axes, keepdim=False)
    order = memory_order(x)
    value = mean_by_sum(x.permute(order), _in_order(pooling, order).axes)
    return value.permute(inverse_order(order)).squeeze(pooling.axes)


def _pooling_formula(poolings: Sequence[Pooling]) -> Callable[[Tensor], tuple[Tensor, ...]]:
    return lambda x: (x.view_as(x), *(pool_by_formula(x, pooling) for pooling in poolings))


def _add_pooling_gradients(
    x: Tensor, grad: Tensor, total: Tensor, parts: Sequence[tuple[Pooling, Any, Any]]
) -> None:
    """total = grad + the contribution of every pooling.

    Args:
        x: the map.
        grad: the gradient of the map from its other uses, with the strides of the map.
        total: the result; may be `grad`.
        parts: each pooling with its value and the gradient of that value.
    """
    order = memory_order(x)
    poolings = [_in_order(pooling, order) for pooling, _, _ in parts]
    pooled = [
        _expand_in_order(tensor, pooling, order) for pooling, *pair in parts for tensor in pair
    ]
    permuted = [tensor.permute(order) for tensor in (x, grad, total)]
    if x.is_cuda:
        pool_scale_cuda.add_pooling_gradients(
            permuted[0], permuted[1], permuted[2], poolings, pooled
        )
        return
    if len(parts) == 1 and poolings[0].kind == "mean":
        part = pooling_gradient(x, poolings[0], pooled[0], pooled[1], x)
        torch.add(permuted[1], part, out=permuted[2])
        return
    scratch = None
    for x_, grad_, total_, *pooled_ in split_into_chunks(*permuted, *pooled):
        scratch = torch.empty_like(x_) if scratch is None else scratch[: len(x_)]
        for pooling, value, grad_value in zip(poolings, pooled_[::2], pooled_[1::2], strict=True):
            part = pooling_gradient(x_, pooling, value, grad_value, scratch)
            grad_ = torch.add(grad_, part, out=total_)


def _in_order(pooling: Pooling, order: Axes) -> Pooling:
    """The same pooling of a map whose axes are permuted to `order`."""
    if order == CHANNELS_FIRST:
        return pooling
    weights = None if pooling.weights is None else pooling.weights.permute(order).contiguous()
    return Pooling(pooling.kind, tuple(order.index(axis) for axis in pooling.axes), weights)


def _expand_in_order(value: Tensor, pooling: Pooling, order: Axes) -> Tensor:
    """A pooled value with its axes of length 1, permuted to `order` and contiguous."""
    for axis in sorted(pooling.axes):
        value = value.unsqueeze(axis)
    return value.permute(order).contiguous()


# --- scaling --------------------------------------------------------------------------------------


def multiply(x: Tensor, *gates: Tensor) -> Tensor:
    """The plain formula: the map times every gate."""
    for gate in gates:
        x = x * gate
    return x


def multiply_in_memory_order(x: Tensor, *gates: Tensor) -> Tensor:
    """The plain formula, with gates in the memory order of their map."""
    order = memory_order(x)
    return multiply(x.permute(order), *gates_in_order(gates, order)).permute(inverse_order(order))


def has_one_layout(gate: Tensor) -> bool:
    """Whether a gate has only one memory order: it varies along channels or locations only."""
    return gate.shape[1] == 1 or gate.shape[2:] == (1, 1)


def gates_in_order(gates: Sequence[Tensor], order: Axes) -> list[Tensor]:
    """Gates in memory order; multiplying by gates in another order is several times slower."""
    return [gate.permute(order).contiguous() for gate in gates]


def scale(x: Tensor, gates: Sequence[Tensor]) -> Tensor:
    """The product without gradients."""
    if x.is_cuda:
        order, y = memory_order(x), torch.empty_like(x)
        pool_scale_cuda.scale(x.permute(order), gates_in_order(gates, order), y.permute(order))
        return y
    if len(gates) == 1 and has_one_layout(gates[0]):
        return x * gates[0]
    order = memory_order(x)
    y = torch.empty_like(x)
    for x_, y_, *gates_ in split_into_chunks(
        x.permute(order), y.permute(order), *gates_in_order(gates, order)
    ):
        _multiply_into(y_, x_, gates_)
    return y


class ScaleFunction(Function):
    """The product of a map and its gates, for `scale_map`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *gates: Tensor) -> Tensor:
        """The product."""
        ctx.save_for_backward(x, *gates)
        ctx.pooling_node = fused_pooling(x)
        return scale(x, gates)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the map and of the gates."""
        x, *gates = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable_gradients(multiply, (x, *gates), (grad,))
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        order = memory_order(x)
        permuted_gates = gates_in_order(gates, order)
        needs_map, *needs_gates = ctx.needs_input_grad
        grad_map = torch.empty_like(x) if needs_map else None
        grad_gates = [
            torch.empty_like(gate) if needed else None
            for gate, needed in zip(permuted_gates, needs_gates, strict=True)
        ]
        _scale_backward(
            [x.permute(order), grad.permute(order), *permuted_gates],
            [None if grad_map is None else grad_map.permute(order), *grad_gates],
        )
        if ctx.pooling_node is not None:
            ctx.pooling_node.map_gradient = grad_map
        undo = inverse_order(order)
        return grad_map, *(
            None if grad_gate is None else grad_gate.permute(undo) for grad_gate in grad_gates
        )


def _scale_backward(inputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Write the gradients of a map and its gates.

    Args:
        inputs: the map, the gradient of its product with the gates, and the gates.
        gradients: buffers for the gradients of the map and of the gates; None where not needed.
    """
    if inputs[0].is_cuda:
        pool_scale_cuda.scale_backward(inputs, gradients)
        return
    # Both are scratch buffers, allocated for the first chunk.
    weighted: Tensor | None = None
    by_other_gates: Tensor | None = None
    for chunk in split_into_chunks(
        *inputs, *(buffer for buffer in gradients if buffer is not None)
    ):
        x, grad, *gates = chunk[: len(inputs)]
        buffers = iter(chunk[len(inputs) :])
        grad_map, *grad_gates = (None if buffer is None else next(buffers) for buffer in gradients)
        if len(grad_gates) == 1 and grad_gates[0] is not None and grad_gates[0].shape == x.shape:
            torch.mul(grad, x, out=grad_gates[0])
        elif any(grad_gate is not None for grad_gate in grad_gates):
            weighted = torch.mul(grad, x, out=None if weighted is None else weighted[: len(x)])
            for k, grad_gate in enumerate(grad_gates):
                other_gates = (*gates[:k], *gates[k + 1 :])
                if grad_gate is not None and other_gates:
                    if by_other_gates is not None:
                        by_other_gates = by_other_gates[: len(x)]
                    by_other_gates = _multiply_into(by_other_gates, weighted, other_gates)
                    _sum_into(grad_gate, by_other_gates)
                elif grad_gate is not None:
                    _sum_into(grad_gate, weighted)
        if grad_map is not None:
            _multiply_into(grad_map, grad, gates)


def _multiply_into(out: Tensor | None, x: Tensor, gates: Sequence[Tensor]) -> Tensor:
    for gate in gates:
        x = out = torch.mul(x, gate, out=out)
    return x


def _sum_into(out: Tensor, x: Tensor) -> None:
    """Sum `x` along the axes where `out` has length 1."""
    axes = [axis for axis in (1, 2, 3) if out.shape[axis] != x.shape[axis]]
    torch.sum(x, axes, keepdim=True, out=out) if axes else out.copy_(x)


# --- gradients of gradients -----------------------------------------------------------------------


def differentiable_gradients(
    formula: Callable[..., Any], inputs: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    """Gradients of a plain formula that can be differentiated again.

    Args:
        formula: computes a tensor or a tuple of tensors from the inputs.
        inputs: its inputs.
        grads: the gradient of each of its results, or None.

    Returns:
        The gradient of each input, None for those that require none.
    """
    with torch.enable_grad():
        results = formula(*inputs)
        results = results if isinstance(results, tuple) else (results,)
        pairs = [pair for pair in zip(results, grads, strict=True) if pair[1] is not None]
        outputs, output_grads = zip(*pairs, strict=True)
        needed = [tensor for tensor in inputs if tensor.requires_grad]
        computed = iter(torch.autograd.grad(outputs, needed, output_grads, create_graph=True))
    return tuple(next(computed) if tensor.requires_grad else None for tensor in inputs)
