"""One forward pass of a network, written down: which module made which tensor from which.

`trace(model, picture)` runs the model once under hooks and a dispatch mode. Modules become `Call`s,
ATen operators become `Op`s, and tensors become numbered values. A value is one content of a tensor:
an in-place operator makes a new value of the same tensor, and a module that only hands its input
on (nn.Identity, drop path in evaluation) makes a new value too, by the operator `alias`, so that a
shortcut through it can be told from the tensor itself.

Nothing here knows about attention; `discover.py` reads the trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

Layout = str
"""How a feature map lies: as NCHW, as NHWC, or as tokens in an order of the backbone's own
(`NLC 3`, see `rerolled.py`). Empty for what is no map."""

NCHW: Layout = "NCHW"
NHWC: Layout = "NHWC"
NLC: Layout = "NLC"  # and the number of the block whose order the tokens are in

MATMULS = ("convolution", "addmm", "mm", "bmm", "baddbmm", "lstm")
"""Operators that mix channels or places with weights or with each other."""

_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_RESHAPING = ("view", "reshape", "_unsafe_view", "_reshape_alias")
_GIVES_NCHW = {
    *("convolution", "native_batch_norm", "_native_batch_norm_legit_no_training"),
    *("native_group_norm", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"),
}
_NONLINEAR = {
    *("relu", "relu_", "gelu", "silu", "silu_", "hardtanh", "hardtanh_", "hardswish", "hardswish_"),
    *("leaky_relu", "leaky_relu_", "elu", "elu_", "mish", "mish_", "sigmoid", "hardsigmoid"),
    *("_prelu_kernel", "tanh", "clamp", "clamp_", "pow", "softplus", "erf", "lstm"),
}


def layout_of(anchor: tuple[str, ...]) -> Layout:
    """The layout at an anchor of a site map, which names it at its end unless it is NCHW."""
    return anchor[-1] if anchor[-1].partition(" ")[0] in (NHWC, NLC) else NCHW


def map_shape(
    shape: tuple[int, ...], layout: Layout, grid: tuple[int, ...] = ()
) -> tuple[int, int, int]:
    """(C, H, W) of a feature map in any layout; tokens alone do not tell their grid (H, W)."""
    if layout.startswith(NLC):
        shape = (shape[0], *grid, shape[-1])
    _, *rest = shape
    channels, height, width = rest if layout == NCHW else (rest[-1], *rest[:-1])
    return channels, height, width


@dataclass
class Value:
    """One content of a tensor: who made it, who reads it, and how it lies.

    `layout` is empty unless it is a feature map; `grid` is the H×W of the map that the value is, or
    was made from: tokens that are folded back to that grid are a map again.
    """

    shape: tuple[int, ...]
    op: int | None
    layout: Layout = ""
    grid: tuple[int, ...] = ()
    readers: list[int] = field(default_factory=list)

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a feature map in any layout."""
        return map_shape(self.shape, self.layout, self.grid)


@dataclass(frozen=True)
class Op:
    """One ATen operator. `call` is the innermost module that ran it; `weight` the shape of a
    convolution's weight (out, in / groups, height, width)."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    call: int
    weight: tuple[int, ...] = ()

    @property
    def bends(self) -> bool:
        """Whether the result is no linear function of the input."""
        return self.name in _NONLINEAR or "softmax" in self.name or "dot_product" in self.name

    @property
    def spatial(self) -> bool:
        """Whether this is a convolution over more than one place."""
        return max(self.weight[2:], default=1) > 1


@dataclass
class Call:
    """One run of a module: the values it took and gave, and its operators `ops[start:end]`."""

    index: int
    path: str
    module: nn.Module
    parent: int | None
    inputs: tuple[int, ...]
    start: int
    takes_tensor: bool = True
    end: int = 0
    outputs: tuple[int, ...] = ()

    @property
    def depth(self) -> int:
        """Number of names in the path."""
        return self.path.count(".") + 1 if self.path else 0


class Trace:
    """The record of one forward pass."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.ops: list[Op] = []
        self.calls: list[Call] = []

    @cached_property
    def times_called(self) -> dict[str, int]:
        """How often the module of each path ran."""
        counts: dict[str, int] = {}
        for call in self.calls:
            counts[call.path] = counts.get(call.path, 0) + 1
        return counts

    @cached_property
    def givers(self) -> dict[int, list[Call]]:
        """For a value, the calls that return it alone."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            if len(call.outputs) == 1:
                found.setdefault(call.outputs[0], []).append(call)
        return found

    @cached_property
    def takers(self) -> dict[int, list[Call]]:
        """For a value, the calls whose first argument it is, alone and not in a list."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            if call.inputs and call.takes_tensor:
                found.setdefault(call.inputs[0], []).append(call)
        return found

    def is_map(self, value: int) -> bool:
        """Whether the value is a feature map."""
        return bool(self.values[value].layout)

    def map_shape(self, value: int) -> tuple[int, int, int]:
        """(C, H, W) of a feature map."""
        return self.values[value].map_shape

    def grid(self, value: int) -> tuple[int, ...]:
        """(H, W) of a feature map, or of the one that the value was made from."""
        return self.values[value].grid

    def ancestors(self, value: int, within: Call) -> set[int]:
        """The operators of one call that the value was computed from."""
        found: set[int] = set()
        open_values = [value]
        while open_values:
            op = self.values[open_values.pop()].op
            if op is not None and op not in found and within.start <= op < within.end:
                found.add(op)
                open_values.extend(self.ops[op].inputs)
        return found

    def root(self, value: int) -> int:
        """The earliest value that is the same point: back through aliases that alone read it."""
        while (op := self.values[value].op) is not None and self.ops[op].name == "alias":
            source = self.ops[op].inputs[0]
            if len(self.values[source].readers) > 1:
                break
            value = source
        return value

    def same_point(self, value: int) -> Iterator[int]:
        """The root of the value and every alias of it."""
        value = self.root(value)
        yield value
        while len(readers := self.values[value].readers) == 1:
            op = self.ops[readers[0]]
            if op.name != "alias":
                return
            value = op.outputs[0]
            yield value


def trace(model: nn.Module, picture: torch.Tensor) -> Trace:
    """Run `model` on `picture` (N, C, H, W) once, in its present mode and without gradients."""
    recorder = _Recorder()
    with ExitStack() as stack:
        for path, module in model.named_modules():
            before = module.register_forward_pre_hook(
                partial(recorder.enter, path), with_kwargs=True, prepend=True
            )
            after = module.register_forward_hook(recorder.leave)
            stack.callback(before.remove)
            stack.callback(after.remove)
        stack.enter_context(torch.no_grad())
        recorder.number(picture, None, NCHW, tuple(picture.shape[2:]))
        with recorder:
            model(picture)
    return recorder.trace


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self.stack: list[Call] = []
        self.numbers: dict[int, int] = {}
        self.alive: list[torch.Tensor] = []  # an id is free for reuse once its tensor is gone

    def number(
        self,
        tensor: torch.Tensor,
        op: int | None,
        layout: Layout = "",
        grid: tuple[int, ...] = (),
    ) -> int:
        self.trace.values.append(Value(tuple(tensor.shape), op, layout, grid))
        self.alive.append(tensor)
        self.numbers[id(tensor)] = len(self.trace.values) - 1
        return len(self.trace.values) - 1

    def known(self, tree: Any) -> tuple[int, ...]:
        return tuple(
            self.numbers[id(t)] if id(t) in self.numbers else self.number(t, None)
            for t in _tensors(tree)
        )

    def enter(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        parent = self.stack[-1].index if self.stack else None
        inputs = self.known((args, kwargs))
        calls, ops = self.trace.calls, self.trace.ops
        takes_tensor = bool(args) and isinstance(args[0], torch.Tensor)
        call = Call(len(calls), path, module, parent, inputs, len(ops), takes_tensor)
        calls.append(call)
        self.stack.append(call)

    def leave(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        call = self.stack[-1]
        if isinstance(output, torch.Tensor) and set(self.known(output)) & set(call.inputs):
            output = output.view_as(output)  # recorded as `alias`, see __torch_dispatch__
            op = self.trace.ops[-1]
            self.trace.ops[-1] = Op("alias", op.inputs[:1], op.outputs, op.call)
        call.outputs = self.known(output)
        call.end = len(self.trace.ops)
        self.stack.pop()
        return output

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        inputs = self.known((args, kwargs))
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        index = len(self.trace.ops)
        sources = [self.trace.values[value] for value in inputs]
        outputs = tuple(
            self.number(tensor, index, *self._lies(name, sources, args, tuple(tensor.shape)))
            for tensor in _tensors(output)
        )
        weight = tuple(args[1].shape) if name == "convolution" else ()
        call = self.stack[-1].index if self.stack else 0
        self.trace.ops.append(Op(name, inputs, outputs, call, weight))
        for value in set(inputs):
            self.trace.values[value].readers.append(index)
        return output

    def _lies(
        self, name: str, sources: list[Value], args: tuple[Any, ...], shape: tuple[int, ...]
    ) -> tuple[Layout, tuple[int, ...]]:
        """Layout and grid of an operator's result."""
        grid = next((source.grid for source in sources if source.grid), ())
        if len(shape) != 4:
            return "", grid
        layout = self._layout(name, sources, args, shape, grid)
        if layout:
            grid = shape[2:] if layout == NCHW else shape[1:3]
        return layout, grid

    def _layout(
        self,
        name: str,
        sources: list[Value],
        args: tuple[Any, ...],
        shape: tuple[int, ...],
        grid: tuple[int, ...],
    ) -> Layout:
        if name in _GIVES_NCHW:
            return NCHW
        maps = [source for source in sources if len(source.shape) == 4]
        layout = maps[0].layout if maps else ""
        if not maps or (name in _RESHAPING and shape != maps[0].shape):
            return self._folded(sources, shape, grid)
        if name in ("transpose", "permute"):
            return _turned(layout, _order(name, args))
        return layout

    def _folded(
        self, sources: list[Value], shape: tuple[int, ...], grid: tuple[int, ...]
    ) -> Layout:
        """Tokens or windows put back into the grid of the map that they were taken from."""
        if not grid or shape[0] != self.trace.values[0].shape[0]:
            return ""
        if len(sources[0].shape) == 6 and sources[0].shape[:3] == shape[:3]:
            return NHWC  # patches merged into channels
        return NHWC if shape[1:3] == grid else NCHW if shape[2:] == grid else ""


def _order(name: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    if name == "permute":
        return tuple(dim % 4 for dim in args[1])
    order = [0, 1, 2, 3]
    one, other = args[1], args[2]
    order[one], order[other] = order[other], order[one]
    return tuple(order)


def _turned(layout: Layout, order: tuple[int, ...]) -> Layout:
    """The layout of a 4-D value after its dimensions are put in another order."""
    if layout == NCHW:
        return NHWC if order == _TO_NHWC else NCHW if order[:2] == (0, 1) else ""
    if layout == NHWC:
        return NCHW if order == _TO_NCHW else NHWC if order[::3] == (0, 3) else ""
    return ""


def _tensors(tree: Any) -> Iterable[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from _tensors(item)
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))
