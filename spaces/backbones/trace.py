"""Record one forward pass of a network: which module computed which tensor from which.

`trace_model` runs the model once under hooks and a dispatch mode. Runs of modules are recorded as
`ModuleCall`s, ATen operators as `Operator`s, and tensors as numbered values. As in static single
assignment, a value never changes: an in-place operator makes a new value of the same tensor. A
module that only returns its input (nn.Identity, drop path in evaluation) makes a new value as well,
by an operator called `alias`, so that a shortcut through it differs from the tensor itself.

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
"""The layout of a feature map: NCHW, NHWC, or tokens in the backbone's own order (`NLC 3`, see
`hiera.py`). Empty for a value that is no map."""

NCHW: Layout = "NCHW"
NHWC: Layout = "NHWC"
NLC: Layout = "NLC"  # Followed by the number of the block whose order the tokens have.

MATMULS = ("convolution", "addmm", "mm", "bmm", "baddbmm", "lstm")
"""Convolutions, matrix products and recurrent layers."""

_TO_NHWC, _TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_RESHAPING = ("view", "reshape", "_unsafe_view", "_reshape_alias")
_RETURNS_NCHW = {
    *("convolution", "native_batch_norm", "_native_batch_norm_legit_no_training"),
    *("native_group_norm", "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"),
}
_NONLINEAR = {
    *("relu", "relu_", "gelu", "silu", "silu_", "hardtanh", "hardtanh_", "hardswish", "hardswish_"),
    *("leaky_relu", "leaky_relu_", "elu", "elu_", "mish", "mish_", "sigmoid", "hardsigmoid"),
    *("_prelu_kernel", "tanh", "clamp", "clamp_", "pow", "softplus", "erf", "lstm"),
}


def layout_of(anchor: tuple[str, ...]) -> Layout:
    """The layout of the map at an anchor: its last item, or NCHW if that is a path."""
    return anchor[-1] if anchor[-1].partition(" ")[0] in (NHWC, NLC) else NCHW


def map_shape(
    shape: tuple[int, ...], layout: Layout, grid: tuple[int, ...] = ()
) -> tuple[int, int, int]:
    """(C, H, W) of a feature map.

    Args:
        shape: of the tensor, with the batch dimension.
        layout: of the tensor.
        grid: (H, W), needed for tokens only.
    """
    if layout.startswith(NLC):
        shape = (shape[0], *grid, shape[-1])
    _, *rest = shape
    channels, height, width = rest if layout == NCHW else (rest[-1], *rest[:-1])
    return channels, height, width


@dataclass
class TracedValue:
    """One value of a tensor.

    Attributes:
        shape: of the tensor.
        op: index of the operator that computed it; None for inputs and parameters.
        layout: empty unless the value is a feature map.
        grid: (H, W) of the map that the value is or was computed from. Tokens that are reshaped to
            that grid are a map again.
        readers: indices of the operators that read it.
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
class Operator:
    """One ATen operator.

    Attributes:
        name: without namespace and overload, such as `convolution`.
        inputs, outputs: numbers of values.
        call: index of the innermost module call that ran it.
        weight: shape of a convolution's weight (out, in / groups, height, width).
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    call: int
    weight: tuple[int, ...] = ()

    @property
    def is_nonlinear(self) -> bool:
        """Whether this is a nonlinearity: an activation, a softmax, self-attention."""
        return self.name in _NONLINEAR or "softmax" in self.name or "dot_product" in self.name

    @property
    def is_spatial(self) -> bool:
        """Whether this is a convolution with a kernel larger than 1×1."""
        return max(self.weight[2:], default=1) > 1


@dataclass
class ModuleCall:
    """One run of a module.

    Attributes:
        index: of this call in the trace.
        path: of the module; empty for the network itself.
        module: the module.
        parent: index of the call that ran this one.
        inputs, outputs: numbers of values.
        start, end: its operators are `ops[start:end]`.
        takes_tensor: whether its first argument is a tensor, and not a list or a number.
    """

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
        """Number of components of the path."""
        return self.path.count(".") + 1 if self.path else 0


class Trace:
    """The record of one forward pass; see the head of this file."""

    def __init__(self) -> None:
        self.values: list[TracedValue] = []
        self.ops: list[Operator] = []
        self.calls: list[ModuleCall] = []

    @cached_property
    def times_called(self) -> dict[str, int]:
        """By path, how often the module ran."""
        counts: dict[str, int] = {}
        for call in self.calls:
            counts[call.path] = counts.get(call.path, 0) + 1
        return counts

    @cached_property
    def calls_returning(self) -> dict[int, list[ModuleCall]]:
        """By value, the calls that return it and nothing else."""
        calls: dict[int, list[ModuleCall]] = {}
        for call in self.calls:
            if len(call.outputs) == 1:
                calls.setdefault(call.outputs[0], []).append(call)
        return calls

    @cached_property
    def calls_receiving(self) -> dict[int, list[ModuleCall]]:
        """By value, the calls whose first argument it is."""
        calls: dict[int, list[ModuleCall]] = {}
        for call in self.calls:
            if call.inputs and call.takes_tensor:
                calls.setdefault(call.inputs[0], []).append(call)
        return calls

    def is_map(self, value: int) -> bool:
        """Whether the value is a feature map."""
        return bool(self.values[value].layout)

    def map_shape(self, value: int) -> tuple[int, int, int]:
        """(C, H, W) of a feature map."""
        return self.values[value].map_shape

    def grid(self, value: int) -> tuple[int, ...]:
        """(H, W) of a feature map, or of the one that the value was computed from."""
        return self.values[value].grid

    def ancestors(self, value: int, within: ModuleCall) -> set[int]:
        """Indices of the operators within one call that the value was computed from."""
        operators: set[int] = set()
        pending = [value]
        while pending:
            op = self.values[pending.pop()].op
            if op is not None and op not in operators and within.start <= op < within.end:
                operators.add(op)
                pending.extend(self.ops[op].inputs)
        return operators

    def root(self, value: int) -> int:
        """The earliest value at the same point: back through aliases that are the only reader."""
        while (op := self.values[value].op) is not None and self.ops[op].name == "alias":
            source = self.ops[op].inputs[0]
            if len(self.values[source].readers) > 1:
                break
            value = source
        return value

    def values_at_same_point(self, value: int) -> Iterator[int]:
        """The root of the value, then its aliases in order."""
        value = self.root(value)
        yield value
        while len(readers := self.values[value].readers) == 1:
            op = self.ops[readers[0]]
            if op.name != "alias":
                return
            value = op.outputs[0]
            yield value


def trace_model(model: nn.Module, image: torch.Tensor, *further: Any) -> Trace:
    """Run `model` on `image` (N, C, H, W) once, in its current mode and without gradients.

    Args:
        model: the network.
        image: its first argument.
        *further: its further arguments.
    """
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
        recorder.add_value(image, None, NCHW, tuple(image.shape[2:]))
        with recorder:
            model(image, *further)
    return recorder.trace


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = Trace()
        self.stack: list[ModuleCall] = []
        self.numbers: dict[int, int] = {}
        # Keeps all tensors alive: the id of a deleted tensor could be used again.
        self.alive: list[torch.Tensor] = []

    def add_value(
        self,
        tensor: torch.Tensor,
        op: int | None,
        layout: Layout = "",
        grid: tuple[int, ...] = (),
    ) -> int:
        self.trace.values.append(TracedValue(tuple(tensor.shape), op, layout, grid))
        self.alive.append(tensor)
        self.numbers[id(tensor)] = len(self.trace.values) - 1
        return len(self.trace.values) - 1

    def value_numbers(self, tree: Any) -> tuple[int, ...]:
        return tuple(
            self.numbers[id(t)] if id(t) in self.numbers else self.add_value(t, None)
            for t in _tensors(tree)
        )

    def enter(
        self, path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        parent = self.stack[-1].index if self.stack else None
        inputs = self.value_numbers((args, kwargs))
        calls, ops = self.trace.calls, self.trace.ops
        takes_tensor = bool(args) and isinstance(args[0], torch.Tensor)
        call = ModuleCall(len(calls), path, module, parent, inputs, len(ops), takes_tensor)
        calls.append(call)
        self.stack.append(call)

    def leave(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        call = self.stack[-1]
        if isinstance(output, torch.Tensor) and set(self.value_numbers(output)) & set(call.inputs):
            output = output.view_as(output)  # Recorded by __torch_dispatch__, renamed here.
            op = self.trace.ops[-1]
            self.trace.ops[-1] = Operator("alias", op.inputs[:1], op.outputs, op.call)
        call.outputs = self.value_numbers(output)
        call.end = len(self.trace.ops)
        self.stack.pop()
        return output

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        inputs = self.value_numbers((args, kwargs))
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        index = len(self.trace.ops)
        operands = [self.trace.values[value] for value in inputs]
        outputs = tuple(
            self.add_value(
                tensor, index, *self._layout_and_grid(name, operands, args, tuple(tensor.shape))
            )
            for tensor in _tensors(output)
        )
        weight = tuple(args[1].shape) if name == "convolution" else ()
        call = self.stack[-1].index if self.stack else 0
        self.trace.ops.append(Operator(name, inputs, outputs, call, weight))
        for value in set(inputs):
            self.trace.values[value].readers.append(index)
        return output

    def _layout_and_grid(
        self, name: str, sources: list[TracedValue], args: tuple[Any, ...], shape: tuple[int, ...]
    ) -> tuple[Layout, tuple[int, ...]]:
        """Layout and grid of an operator's result, from those of its inputs."""
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
        sources: list[TracedValue],
        args: tuple[Any, ...],
        shape: tuple[int, ...],
        grid: tuple[int, ...],
    ) -> Layout:
        if name in _RETURNS_NCHW:
            return NCHW
        maps = [source for source in sources if len(source.shape) == 4]
        layout = maps[0].layout if maps else ""
        if not maps or (name in _RESHAPING and shape != maps[0].shape):
            return self._folded_layout(sources, shape, grid)
        if name in ("transpose", "permute"):
            return _permuted_layout(layout, _dimension_order(name, args))
        return layout

    def _folded_layout(
        self, sources: list[TracedValue], shape: tuple[int, ...], grid: tuple[int, ...]
    ) -> Layout:
        """The layout of tokens or windows after a reshape to the grid of the map they came from."""
        if not grid or shape[0] != self.trace.values[0].shape[0]:
            return ""
        if len(sources[0].shape) == 6 and sources[0].shape[:3] == shape[:3]:
            return NHWC  # Patches were merged into channels.
        return NHWC if shape[1:3] == grid else NCHW if shape[2:] == grid else ""


def _dimension_order(name: str, args: tuple[Any, ...]) -> tuple[int, ...]:
    """The order in which `permute` or `transpose` puts the four dimensions."""
    if name == "permute":
        return tuple(dim % 4 for dim in args[1])
    order = [0, 1, 2, 3]
    first, second = args[1], args[2]
    order[first], order[second] = order[second], order[first]
    return tuple(order)


def _permuted_layout(layout: Layout, order: tuple[int, ...]) -> Layout:
    """The layout of a 4-D value after its dimensions are permuted to `order`."""
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
