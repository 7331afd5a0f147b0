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

_NHWC, _NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_GIVES_NCHW = {
    *("convolution", "native_batch_norm", "_native_batch_norm_legit_no_training"),
    *("native_group_norm", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"),
}


@dataclass
class Value:
    """One content of a tensor: who made it, who reads it, and whether it is (N, C, H, W)."""

    shape: tuple[int, ...]
    op: int | None
    nchw: bool
    readers: list[int] = field(default_factory=list)


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
        """For a value, the calls whose first argument it is."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            if call.inputs:
                found.setdefault(call.inputs[0], []).append(call)
        return found

    def is_map(self, value: int) -> bool:
        """Whether the value is a feature map (N, C, H, W)."""
        return self.values[value].nchw and len(self.values[value].shape) == 4

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
        recorder.number(picture, None, nchw=True)
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

    def number(self, tensor: torch.Tensor, op: int | None, *, nchw: bool) -> int:
        self.trace.values.append(Value(tuple(tensor.shape), op, nchw))
        self.alive.append(tensor)
        self.numbers[id(tensor)] = len(self.trace.values) - 1
        return len(self.trace.values) - 1

    def known(self, tree: Any) -> tuple[int, ...]:
        return tuple(
            self.numbers[id(t)] if id(t) in self.numbers else self.number(t, None, nchw=False)
            for t in _tensors(tree)
        )

    def enter(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        parent = self.stack[-1].index if self.stack else None
        inputs = self.known((args, kwargs))
        calls, ops = self.trace.calls, self.trace.ops
        call = Call(len(calls), path, module, parent, inputs, len(ops))
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
        nchw = self._is_nchw(name, inputs, args)
        outputs = tuple(self.number(t, index, nchw=nchw) for t in _tensors(output))
        weight = tuple(args[1].shape) if name == "convolution" else ()
        call = self.stack[-1].index if self.stack else 0
        self.trace.ops.append(Op(name, inputs, outputs, call, weight))
        for value in set(inputs):
            self.trace.values[value].readers.append(index)
        return output

    def _is_nchw(self, name: str, inputs: tuple[int, ...], args: tuple[Any, ...]) -> bool:
        if name in _GIVES_NCHW:
            return True
        if name == "permute":
            dims = tuple(dim % len(args[1]) for dim in args[1])
            return dims == _NCHW or (self.trace.values[inputs[0]].nchw and dims != _NHWC)
        if name in ("reshape", "_unsafe_view", "transpose", "t"):
            return False
        maps = [self.trace.values[v] for v in inputs if len(self.trace.values[v].shape) == 4]
        if name == "view":
            return bool(maps) and maps[0].nchw and tuple(args[1]) == maps[0].shape
        return bool(maps) and maps[0].nchw


def _tensors(tree: Any) -> Iterable[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from _tensors(item)
    elif isinstance(tree, dict):
        yield from _tensors(tuple(tree.values()))
