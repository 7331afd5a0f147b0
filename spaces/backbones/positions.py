"""Find the positions of a block, as anchors for `networks/insert.py`.

    ("out", path)                 the output of the module `path`
    ("in", path)                  the input of the module `path`
    ("shortcut", block, branch)   the input of `block`, except where it enters `branch`

The last item is the layout of the map if it is not NCHW: "NHWC", or "NLC 3" for tokens (see
`hiera.py`).

An anchor identifies a point of the network: positions that are the same point have the same anchor
(`post` of a block without addition is its `residual`, the last `post` of a stage is its `stage`,
`pre` of a block that reads its input once is the `post` before it).

The positions in each kind of block:

    residual   the operand of the last addition with more convolutions behind it; in blocks without
               an addition but with a branch of at least two convolutions, the block's output
    mid        after the branch's depthwise convolution, else after its first spatial one, and after
               the batch norm and activation that follow: conv2-bn2-act2 of a bottleneck or MBConv,
               act1 of a BasicBlock (its second convolution ends at `residual`), conv_dw of
               ConvNeXt, whose layer norm belongs to the MLP that follows. It exists only if the
               whole branch passes through that point
    pre        the one map that enters the branch and not the shortcut
    identity   the other operand of the addition: the output of a projection, or the block's input
    post       the block's output

In a block with two branches (Swin, ConvFormer) the last addition of maps counts. If the last
addition is of tokens, as after Swin's MLP, this is the addition of maps behind the self-attention.
A position exists only if its map is the output or input of a module. So windows that the block
itself reassembles (SAM) have no `residual`, and a block that cuts its input into windows before any
module reads it (Swin V2) has no `pre`. Blocks that compute on tokens throughout (DaViT, PVT) have
only `post`. `mid` needs a convolution on every path through the branch: a block with a gate around
it (MambaOut) has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from ..attentions.entry import Convolution
from .blocks import CONTAINERS, follow_norm_and_activation, parents
from .sites import Anchor
from .stages import BackboneStages, Block
from .trace import MATMULS, NCHW, ModuleCall, Operator, Trace

_SCALING_OPERATORS = ("mul", "mul_", "div", "div_", "clone", "contiguous", "alias")


@dataclass(frozen=True)
class InsertionPoint:
    """A map of the trace that an attention can be inserted at.

    Attributes:
        value: number of the map in the trace.
        anchor: how to reach it.
        convolution: the one whose output the map is, see `Site.convolution`.
    """

    value: int
    anchor: Anchor
    convolution: Convolution | None = None


class InsertionPointFinder:
    """Finds the module whose output or input is a value, for all operators that read it.

    The result depends on the value alone, not on the block, so that one point has one anchor.

    Args:
        trace: of the backbone.
        stages: of the backbone; their blocks are preferred as anchors.
    """

    def __init__(self, trace: Trace, stages: BackboneStages) -> None:
        self.trace = trace
        self.block_paths = {block.call.path for block in stages.blocks}
        self.outer_paths = {parent for path in self.block_paths for parent in parents(path)}

    def find_point(self, value: int) -> InsertionPoint | None:
        """The output of a module or, if none can be used, the input of the only reader.

        None if the value is no map, or no module returns or receives it.
        """
        if not self.trace.is_map(value):
            return None
        aliases = list(self.trace.values_at_same_point(value))
        calls = (call for alias in aliases for call in self.trace.calls_returning.get(alias, []))
        if returning := self._preferred(calls):
            return self.make_point(aliases[0], "out", returning.path)
        for alias in aliases:
            if receiver := self.find_receiver(alias, self.trace.values[alias].readers):
                return self.make_point(aliases[0], "in", receiver.path)
        return None

    def make_point(self, value: int, kind: str, *paths: str) -> InsertionPoint:
        """The point of a value, with the layout of its map in the anchor unless it is NCHW."""
        layout = self.trace.values[value].layout
        return InsertionPoint(value, (kind, *paths, *([layout] if layout != NCHW else [])))

    def find_receiver(
        self, value: int, readers: Iterable[int], inside: ModuleCall | None = None
    ) -> ModuleCall | None:
        """The module whose first input is the value, and which contains all `readers`.

        Args:
            value: number of the value.
            readers: indices of operators.
            inside: consider only modules that run within this call.
        """
        readers = list(readers)
        return self._preferred(
            call
            for call in self.trace.calls_receiving.get(value, [])
            if all(call.start <= reader < call.end for reader in readers)
            and (inside is None or (inside.index < call.index and call.end <= inside.end))
        )

    def _preferred(self, calls: Iterable[ModuleCall]) -> ModuleCall | None:
        """The best of these modules for an attention; None if none can be used."""
        usable = [
            call
            for call in calls
            if not isinstance(call.module, CONTAINERS)
            and self.trace.times_called[call.path] == 1
            and call.path
        ]
        return min(usable, key=self._rank, default=None)

    def _rank(self, call: ModuleCall) -> tuple[object, ...]:
        """Blocks come first, modules that contain blocks last, outer modules before inner ones."""
        is_outer = call.path in self.outer_paths
        return (call.path not in self.block_paths, is_outer, call.depth, call.start)


class BlockPositions:
    """Finds the points of one block."""

    def __init__(self, trace: Trace, block: Block, finder: InsertionPointFinder) -> None:
        self.trace, self.block, self.finder = trace, block, finder
        self.call = block.call

    def find_points(self) -> dict[str, InsertionPoint]:
        """The points by position; only positions that exist in this block."""
        if self.block.modules.works_on_tokens:
            return {"post": self.post} if self.post else {}
        points = {
            "residual": self.residual,
            "mid": self.mid,
            "pre": self.pre,
            "identity": self.identity,
            "post": self.post,
        }
        return {position: point for position, point in points.items() if point is not None}

    @cached_property
    def _addition(self) -> int | None:
        """Index of the last operator in which the block itself adds two values of one shape.

        Additions of maps come before those of tokens.
        """
        candidates = []
        for index in range(self.call.start, self.call.end):
            op = self.trace.ops[index]
            if op.name in ("add", "add_") and op.call == self.call.index and len(op.inputs) == 2:
                first, second = (self.trace.values[value] for value in op.inputs)
                if first.shape == second.shape and first.grid:
                    candidates.append((self._returns_map(index), index))
        return max(candidates)[1] if candidates else None

    @cached_property
    def _operands(self) -> tuple[int, int] | None:
        """(branch, shortcut) of the addition; None if both have equally many convolutions."""
        if self._addition is None or not self._returns_map(self._addition):
            return None
        first, second = self.trace.ops[self._addition].inputs
        matmuls = [len(self._matmuls(self._made_by(value))) for value in (first, second)]
        if matmuls[0] == matmuls[1]:
            return None
        branch, shortcut = (first, second) if matmuls[0] > matmuls[1] else (second, first)
        inside = self._made_by(branch) - self._made_by(shortcut)
        # Parallel convolutions that one kernel could replace (RepVGG, MobileOne) are no branch.
        is_branch = any(self.trace.ops[index].is_nonlinear for index in inside)
        return (branch, shortcut) if is_branch else None

    @property
    def _end(self) -> int:
        return self._operands[0] if self._operands else self.block.output

    @cached_property
    def _branch(self) -> set[int]:
        """Indices of the branch's operators; empty without at least two convolutions."""
        if self._operands is not None:
            branch, shortcut = self._operands
            return self._made_by(branch) - self._made_by(shortcut)
        if self._addition is not None or self.block.modules.tail is not None:
            return set()
        made_by = self._made_by(self.block.output)
        return made_by if len(self._matmuls(made_by)) > 1 else set()

    @cached_property
    def _entry(self) -> tuple[int, ModuleCall] | None:
        """The one map that enters the branch, and the module that receives it there."""
        edges = list(self._edges(self._branch))
        values = {value for value, _ in edges}
        readers = {op for _, op in edges}
        if len(readers) == 1 and self.trace.ops[min(readers)].name == "cat":
            (cat,) = readers
            values = set(self.trace.ops[cat].outputs)
            readers = set(self.trace.values[min(values)].readers) & self._branch
        if len(values) != 1:
            return None
        (value,) = values
        if not self.trace.is_map(value):
            return None
        receiver = self.finder.find_receiver(value, readers, inside=self.call)
        return None if receiver is None else (value, receiver)

    @property
    def residual(self) -> InsertionPoint | None:
        """The end of the branch, or the point before a scaling (layer scale, skip gain) that no
        module returns."""
        if not self._branch:
            return None
        value = self._end
        while (point := self.finder.find_point(value)) is None:
            op = self.trace.values[value].op
            if (
                op is None
                or op not in self._branch
                or self.trace.ops[op].name not in _SCALING_OPERATORS
            ):
                return None
            value = self.trace.ops[op].inputs[0]
        return point

    @property
    def mid(self) -> InsertionPoint | None:
        """After the branch's spatial convolution, and its norm and activation."""
        if self.block.modules.tail is not None:
            ops = self.trace.ops[self.call.start : self.call.end]
            layer = next(op for op in ops if op.is_spatial)
            return self.post and replace(self.post, convolution=self._convolution(layer, self.post))
        if self._addition is not None and not self._returns_map(self._addition):
            return None
        inside = self._branch or self._made_by(self.block.output)
        end = self.trace.root(self._end)
        candidates = []
        for op in self._matmuls(inside):
            after = self._after(op, inside) if op.is_spatial else None
            if after is not None:
                depthwise = op.weight[1] == 1 and op.weight[0] > 1
                rank = (after.value == end, not depthwise, -op.weight[0] * depthwise)
                candidates.append((rank, op, after))
        if not candidates:
            return None
        _, op, after = min(candidates, key=lambda candidate: candidate[0])
        return replace(after, convolution=self._convolution(op, after))

    def _convolution(self, op: Operator, after: InsertionPoint) -> Convolution | None:
        """The layer that ran `op`, if the point is its output after norm and activation.

        None unless the layer has an odd square kernel, a stride of 1 or 2 and padding, so that a
        dilated convolution with the same stride returns a map of the same size.
        """
        layer = self.trace.calls[op.call]
        module, values = layer.module, (*layer.inputs, *layer.outputs)
        if (
            not isinstance(module, nn.Conv2d)
            or self.trace.times_called[layer.path] > 1
            or len(values) != 2
            or any(self.trace.values[value].layout != NCHW for value in (*values, after.value))
            or self.trace.root(follow_norm_and_activation(self.trace, values[1])[0]) != after.value
        ):
            return None
        kernels, strides = set(module.kernel_size), set(module.stride)
        stride = max(strides)
        input_size, output_size = (self.trace.grid(value) for value in values)
        if len(kernels) > 1 or max(kernels) % 2 == 0 or len(strides) > 1 or stride > 2:
            return None
        if output_size != tuple(-(-side // stride) for side in input_size):
            return None
        return Convolution(layer.path, module.in_channels, max(kernels), stride, module.groups)

    def _after(self, op: Operator, inside: set[int]) -> InsertionPoint | None:
        """The point after a convolution; for parallel ones, after the module that joins them."""
        after = None
        call = self.trace.calls[op.call]
        ends = [(op.outputs, False)]
        while call.index > self.call.index:
            ends.append((call.outputs, self._pools(call)))
            call = self.trace.calls[call.parent or 0]
        ends += [(join.outputs, False) for join in self._concatenations(op, inside)]
        for values, pools in ends:
            if len(values) == 1 and (after is None or pools):
                value, _ = follow_norm_and_activation(self.trace, values[0])
                point = self.finder.find_point(value)
                if point is not None and self._all_pass(point.value, inside):
                    after = point
        return after

    def _pools(self, call: ModuleCall) -> bool:
        """Whether a module itself averages over the map, as split attention (ResNeSt) does."""
        operators = (op for op in self.trace.ops[call.start : call.end] if op.call == call.index)
        return any(op.name in ("mean", "_adaptive_avg_pool2d") for op in operators)

    def _concatenations(self, op: Operator, inside: set[int]) -> list[Operator]:
        """Where the block itself concatenates parallel convolutions behind `op` (Res2Net)."""
        end = self.trace.root(self._end)
        later = [
            self.trace.ops[i] for i in sorted(inside) if self.trace.ops[i].outputs > op.outputs
        ]
        return [
            operator
            for operator in later
            if operator.name == "cat"
            and operator.call == self.call.index
            and end not in operator.outputs
        ]

    @property
    def pre(self) -> InsertionPoint | None:
        """The one map that enters the branch."""
        if self._entry is None:
            return None
        value, receiver = self._entry
        readers = self.trace.values[value].readers
        if all(receiver.start <= reader < receiver.end for reader in readers):
            return self.finder.find_point(value)
        return self.finder.make_point(value, "in", receiver.path)

    @property
    def identity(self) -> InsertionPoint | None:
        """The shortcut: the output of its last module, or the input of the block."""
        if self._operands is None:
            return None
        shortcut = self._operands[1]
        if self.trace.values[shortcut].readers == [self._addition]:
            return self.finder.find_point(shortcut)
        if self._entry is None or {self._entry[0], self.call.inputs[0]} != {shortcut}:
            return None
        return self.finder.make_point(shortcut, "shortcut", self.call.path, self._entry[1].path)

    @property
    def post(self) -> InsertionPoint | None:
        """The block's output."""
        return self.finder.find_point(self.block.output)

    def _returns_map(self, op: int) -> bool:
        return self.trace.is_map(self.trace.ops[op].outputs[0])

    def _made_by(self, value: int) -> set[int]:
        return self.trace.ancestors(value, self.call)

    def _matmuls(self, ops: set[int]) -> list[Operator]:
        return [self.trace.ops[i] for i in sorted(ops) if self.trace.ops[i].name in MATMULS]

    def _edges(self, ops: set[int]) -> Iterable[tuple[int, int]]:
        """(value, operator) wherever a computed value enters this set of operators.

        Parameters of the network are values that no operator computed; they do not count.
        """
        for index in ops:
            for value in self.trace.ops[index].inputs:
                producer = self.trace.values[value].op
                computed = producer is not None or value in self.call.inputs
                if computed and producer not in ops:
                    yield value, index

    def _all_pass(self, value: int, ops: set[int]) -> bool:
        """Whether all values that enter `ops` reach the branch's end through `value` only."""
        behind = set()
        pending = [self.trace.root(self._end)]
        while pending:
            current = pending.pop()
            op = self.trace.values[current].op
            if current != value and op in ops and op not in behind:
                behind.add(op)
                pending.extend(self.trace.ops[op].inputs)
        return all(entering == value for entering, _ in self._edges(behind))
