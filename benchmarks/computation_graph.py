"""What an attention computes, as blocks of steps: `read_graph`.

The graph is traced from the code that `attentune code` prints, so a drawing of it agrees with the
code. Views and other changes of shape are left out, as are small constants that only prevent a
division by zero. Steps that follow one another without a branch form a block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.entry import Attention
from attentune.spaces.paste_in.attention_code import attention_code, class_of
from torch import fx

CHANNELS, HEIGHT, WIDTH = 64, 14, 11
GROUPS = 16
"""Groups of channels that the attentions with groups make of the channels above."""
MAX_SAFETY_CONSTANT = 1e-3
StepKind = Literal["map", "pooling", "layer", "activation", "arithmetic"]

VIEWS = {
    "unsqueeze", "squeeze", "flatten", "unflatten", "reshape", "view", "transpose", "to",
    "getitem", "expand",
}  # fmt: skip
POOLING = {"mean": "mean", "amax": "max", "sum": "sum", "var": "variance"}
ACTIVATIONS = {
    "sigmoid": "σ", "tanh": "tanh", "relu": "ReLU", "relu_": "ReLU", "hardswish_": "h-swish",
}  # fmt: skip
NORMS = {"batch_norm": "BN", "layer_norm": "LN", "group_norm": "GN"}
UNARY = {"square": "( · )²", "sqrt": "√", "reciprocal": "1 ÷ ·"}
BINARY = {"add": "+", "sub": "−", "mul": "×", "div": "÷"}
JOINS = {"stack": "concatenate", "cat": "concatenate", "matmul": "matrix product"}
SPLITS = {"split", "split_with_sizes", "chunk", "unbind"}


@dataclass(frozen=True)
class DrawnStep:
    """One line of a drawing: what is computed, and the shape of the result without the batch."""

    text: str
    shape: str
    kind: StepKind


@dataclass(frozen=True)
class DrawnBlock:
    """Steps that follow one another, and the blocks whose results the first of them takes."""

    steps: tuple[DrawnStep, ...]
    inputs: tuple[int, ...]


def read_graph(name: str) -> tuple[DrawnBlock, ...]:
    """The blocks of an attention of the catalogue with its default options, inputs first."""
    return _Reader(ATTENTIONS[name]).blocks()


def trace(entry: Attention) -> fx.Graph:
    """The operators of an attention's printed code."""
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(attention_code(entry.name), entry.name, "exec"), names)
    attention = names[class_of(entry).__name__](CHANNELS).eval()
    maps = [torch.zeros(2, CHANNELS, HEIGHT, WIDTH) for _ in range(1 + entry.needs_convolution)]
    with torch.no_grad():
        graph: fx.Graph = torch.export.export(attention, tuple(maps), strict=False).graph
        return graph


class _Reader:
    """Reads one graph."""

    def __init__(self, entry: Attention) -> None:
        self.symbols = _symbols(entry)
        self.inputs: list[fx.Node] = []
        self.steps: dict[fx.Node, DrawnStep] = {}
        self.sources: dict[fx.Node, list[fx.Node]] = {}
        self.views: dict[fx.Node, fx.Node] = {}
        for node in trace(entry).nodes:
            if node.op == "placeholder" and not node.name.startswith(("p_", "b_", "c_")):
                self.inputs.append(node)
                label = "x, the map" if len(self.inputs) == 1 else "the convolution's input"
                self.steps[node] = DrawnStep(label, self._shape(node), "map")
                self.sources[node] = []
            elif node.op == "call_function":
                self._read(node)

    def _read(self, node: fx.Node) -> None:
        arguments = [n for n in node.all_input_nodes if n in self.steps or n in self.views]
        if not arguments:
            return  # It follows from parameters and buffers alone.
        operator = _operator(node)
        if operator in VIEWS or _is_safety_constant(node):
            self.views[node] = self._resolve(arguments[0])
            return
        if operator.startswith("_"):
            return
        sources = [*dict.fromkeys(self._resolve(argument) for argument in arguments)]
        text, kind = self._describe(node, operator, sources)
        self.steps[node] = DrawnStep(text, self._shape(node), kind)
        self.sources[node] = sources

    def _resolve(self, node: fx.Node) -> fx.Node:
        return self.views.get(node, node)

    def blocks(self) -> tuple[DrawnBlock, ...]:
        """The steps, joined to blocks."""
        users: dict[fx.Node, int] = dict.fromkeys(self.steps, 0)
        for sources in self.sources.values():
            for source in sources:
                users[source] += 1
        blocks: list[tuple[list[DrawnStep], tuple[int, ...]]] = []
        home: dict[fx.Node, int] = {}
        for node, step in self.steps.items():
            sources = self.sources[node]
            follows = len(sources) == 1 and users[sources[0]] == 1
            if follows and sources[0] not in self.inputs:
                home[node] = home[sources[0]]
                blocks[home[node]][0].append(step)
            elif users[node] or node in self.inputs or sources:
                home[node] = len(blocks)
                blocks.append(([step], tuple(home[source] for source in sources)))
        blocks[-1][0].append(DrawnStep("y, the result", self._shape(self.inputs[0]), "map"))
        return tuple(DrawnBlock(tuple(steps), inputs) for steps, inputs in blocks)

    def _describe(
        self, node: fx.Node, operator: str, sources: Sequence[fx.Node]
    ) -> tuple[str, StepKind]:
        if operator in POOLING:
            axes = "×".join(self._axes(node))
            return f"{POOLING[operator]} over {axes}", "pooling"
        if operator in ACTIVATIONS:
            return ACTIVATIONS[operator], "activation"
        if operator == "softmax":
            return f"softmax over {'×'.join(self._axes(node))}", "activation"
        if operator in NORMS:
            groups = f", {self._number(node.args[1])} groups" if operator == "group_norm" else ""
            return NORMS[operator] + groups, "layer"
        if operator == "linear":
            outputs, inputs = _value(node.args[1]).shape
            return f"Linear {self._number(inputs)} → {self._number(outputs)}", "layer"
        if operator in ("conv1d", "conv2d"):
            return self._describe_convolution(node), "layer"
        if operator in UNARY:
            return UNARY[operator], "arithmetic"
        if operator in SPLITS:
            return f"split into {len(node.meta['val'])}", "arithmetic"
        if operator == "slice":
            return (
                f"{'first' if node.args[2] == 0 else 'second'} half of the channels",
                "arithmetic",
            )
        if operator == "einsum":
            return "weighted sum", "arithmetic"
        if operator in JOINS:
            return JOINS[operator], "arithmetic"
        return self._describe_arithmetic(node, operator, sources), "arithmetic"

    def _describe_arithmetic(self, node: fx.Node, operator: str, sources: Sequence[fx.Node]) -> str:
        if operator == "rsub":
            return f"{self._number(node.args[1])} − ·"
        sign = BINARY[operator]
        first, second = node.args[:2]
        if len(sources) == 2:
            return sign
        if not isinstance(second, fx.Node):
            return f"{sign} {self._number(second)}"
        if _operator(sources[0]) in SPLITS:
            return "sum of the two" if sign == "+" else "difference of the two"
        constant = second if self._is_constant(second) else first
        return f"{sign} {_name_constant(constant)}"

    def _is_constant(self, node: Any) -> bool:
        return isinstance(node, fx.Node) and node not in self.steps and node not in self.views

    def _describe_convolution(self, node: fx.Node) -> str:
        weight = _value(node.args[1]).shape
        options: dict[str, Any] = dict(
            zip(("bias", "stride", "padding", "dilation", "groups"), node.args[2:], strict=False)
        )
        kernel = "×".join(map(str, weight[2:]))
        groups = options.get("groups", 1)
        dilation = options.get("dilation", [1])[0]
        words = f"conv {kernel}"
        if groups == weight[0] > 1:
            words = f"depthwise {words}"
        elif groups > 1:
            words += f", {self._number(groups)} groups"
        elif weight[0] > 1 or weight[1] > 1:
            words += f" {self._number(weight[1])} → {self._number(weight[0])}"
        length = self._number(_value(node.args[0]).shape[-1])
        if len(weight) == 3 and weight[2] > 1 and not length.isdecimal():
            words += f" along {length}"
        return words if dilation == 1 else f"{words}, dilation {dilation}"

    def _axes(self, node: fx.Node) -> list[str]:
        """The names of the axes that a reduction, or a softmax, goes over."""
        argument = node.args[0]
        shape = _value(argument).shape
        axes = node.args[1] if isinstance(node.args[1], list | tuple) else [node.args[1]]
        return [self._number(shape[axis]) for axis in axes]

    def _shape(self, node: fx.Node) -> str:
        value = _value(node)
        if isinstance(value, list | tuple):
            shapes = {tuple(part.shape[1:]) for part in value}
            return " and ".join(dict.fromkeys(self._join(shape) for shape in shapes))
        return self._join(value.shape[1:])

    def _join(self, shape: Sequence[int]) -> str:
        names = [self._number(size) for size in shape if size != 1]
        return "×".join(["1", *names] if names == ["H", "W"] else names) or "1"

    def _number(self, number: Any) -> str:
        return self.symbols.get(number, f"{number:g}") if number != 1 else "1"


def _symbols(entry: Attention) -> Mapping[Any, str]:
    """What the sizes in a graph are called."""
    symbols = {
        CHANNELS: "C",
        2 * CHANNELS: "2C",
        HEIGHT: "H",
        WIDTH: "W",
        HEIGHT * WIDTH: "HW",
        HEIGHT * WIDTH - 1: "(HW − 1)",
        HEIGHT + WIDTH: "(H + W)",
    }
    options = {option.name: option.default for option in entry.options}
    if "r" in options:
        hidden = max(entry.floor, CHANNELS // int(options["r"]))
        symbols |= {hidden: "d", 3 * hidden: "3d"}
    if "groups" in options:
        size = CHANNELS // GROUPS
        symbols |= {GROUPS: "g", size: "C/g", size // 2: "C/2g"}
    return symbols


def _operator(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).partition(".")[0]


def _value(node: Any) -> Any:
    return node.meta["val"]


def _is_safety_constant(node: fx.Node) -> bool:
    """Whether a node adds a constant that only prevents a division by zero."""
    constant = node.args[1] if _operator(node) == "add" else None
    return isinstance(constant, float) and 0 < constant <= MAX_SAFETY_CONSTANT


def _name_constant(node: Any) -> str:
    """The parameter that a constant is, or those from which it is computed."""
    names: dict[str, None] = {}
    open_nodes = [node]
    while open_nodes:
        current = open_nodes.pop(0)
        if current.op == "placeholder":
            names[current.name[2:].replace("_", " ")] = None
        open_nodes += current.all_input_nodes
    listed = ", ".join(names)
    return listed if len(names) == 1 else f"cosines of {listed}"
