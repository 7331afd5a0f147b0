"""Where in a block an attention can go, as anchors that `insert.py` knows how to hook.

    ("out", path)                 on what the module `path` returns
    ("in", path)                  on what the module `path` is given
    ("shortcut", block, branch)   on what `block` is given, except on its way into `branch`

Behind these, the layout of the map if it is not NCHW: "NHWC", or "NLC 3" for tokens (`rerolled`).

An anchor names a point of the network: positions that are the same point get the same anchor
(`post` of a block without addition is its `residual`, the last `post` of a stage is its `stage`,
`pre` of a block that reads its input once is the `post` before it).

What the positions mean in each kind of block:

    residual   the operand of the last addition that did more convolutions; for blocks without an
               addition but with a branch of two convolutions or more, the block's output
    mid        after the branch's depthwise convolution, else its first spatial one, and after the
               batch norm and activation that follow: conv2-bn2-act2 of a bottleneck or MBConv, act1
               of a BasicBlock (its second convolution ends at `residual`), conv_dw of ConvNeXt,
               whose layer norm belongs to the perceptron that follows. Only if the whole branch
               goes through that point
    pre        the one map that enters the branch and not the shortcut
    identity   the other operand of the addition: a projection's output, or the bare input
    post       the block's output

A block with two branches (Swin, ConvFormer) is taken by its last addition of maps; if its last one
adds tokens, as Swin's perceptron does, that is the branch of the attention. A point is offered only
if a module returns it or is given it: so windows that the block itself puts together (SAM) have no
`residual`, and where the block cuts its input before any module sees it (Swin V2), no `pre`. Blocks
that hold tokens throughout (DaViT, PVT) have only `post`, and `mid` needs a convolution: a gate
that bypasses it (MambaOut) leaves no point that everything passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from ..attentions.entry import Convolution
from .blocks import CONTAINERS, follow, parents
from .sites import Anchor
from .stages import Anatomy, Block
from .trace import MATMULS, NCHW, Call, Op, Trace

_SCALING = ("mul", "mul_", "div", "div_", "clone", "contiguous", "alias")


@dataclass(frozen=True)
class Point:
    """A value of the trace, the anchor that reaches it, and the convolution that made it."""

    value: int
    anchor: Anchor
    convolution: Convolution | None = None


class Locator:
    """Finds the module at whose border a value can be changed for all who read it.

    The answer depends on the value alone, never on who asks, so that one point has one anchor.
    """

    def __init__(self, trace: Trace, anatomy: Anatomy) -> None:
        self.trace = trace
        self.blocks = {block.call.path for block in anatomy.blocks}
        self.holders = {holder for path in self.blocks for holder in parents(path)}

    def point(self, value: int) -> Point | None:
        """On what a module returns or, if none can be hooked, on what the only reader is given."""
        if not self.trace.is_map(value):
            return None
        same = list(self.trace.same_point(value))
        if giver := self._best(call for v in same for call in self.trace.givers.get(v, [])):
            return self.at(same[0], "out", giver.path)
        for v in same:
            if taker := self.taker(v, self.trace.values[v].readers):
                return self.at(same[0], "in", taker.path)
        return None

    def at(self, value: int, kind: str, *paths: str) -> Point:
        """The point of a value; the anchor of a map in another layout than NCHW says so."""
        layout = self.trace.values[value].layout
        return Point(value, (kind, *paths, *([layout] if layout != NCHW else [])))

    def taker(self, value: int, readers: Iterable[int], inside: Call | None = None) -> Call | None:
        """The module (a part of `inside`) that is given the value first and holds all `readers`."""
        readers = list(readers)
        return self._best(
            call
            for call in self.trace.takers.get(value, [])
            if all(call.start <= reader < call.end for reader in readers)
            and (inside is None or (inside.index < call.index and call.end <= inside.end))
        )

    def _best(self, calls: Iterable[Call]) -> Call | None:
        able = [
            call
            for call in calls
            if not isinstance(call.module, CONTAINERS)
            and self.trace.times_called[call.path] == 1
            and call.path
        ]
        return min(able, key=self._rank, default=None)

    def _rank(self, call: Call) -> tuple[object, ...]:
        """Blocks first, what holds blocks last, else the outermost."""
        held_by = call.path in self.holders
        return (call.path not in self.blocks, held_by, call.depth, call.start)


class Positions:
    """The points of one block, by position."""

    def __init__(self, trace: Trace, block: Block, locator: Locator) -> None:
        self.trace, self.block, self.locator = trace, block, locator
        self.call = block.call

    def points(self) -> dict[str, Point]:
        """Every position that exists here."""
        if self.block.unit.opaque:
            return {"post": self.post} if self.post else {}
        found = {
            "residual": self.residual,
            "mid": self.mid,
            "pre": self.pre,
            "identity": self.identity,
            "post": self.post,
        }
        return {position: point for position, point in found.items() if point is not None}

    @cached_property
    def _addition(self) -> int | None:
        """The block's own last addition of two equal maps, else of tokens; an operator's index."""
        found = []
        for index in range(self.call.start, self.call.end):
            op = self.trace.ops[index]
            if op.name in ("add", "add_") and op.call == self.call.index and len(op.inputs) == 2:
                first, second = (self.trace.values[value] for value in op.inputs)
                if first.shape == second.shape and first.grid:
                    found.append((self._on_maps(index), index))
        return max(found)[1] if found else None

    @cached_property
    def _operands(self) -> tuple[int, int] | None:
        """(branch, shortcut) of the addition; None if neither did more convolutions."""
        if self._addition is None or not self._on_maps(self._addition):
            return None
        first, second = self.trace.ops[self._addition].inputs
        work = [len(self._matmuls(self._made_by(value))) for value in (first, second)]
        if work[0] == work[1]:
            return None
        branch, shortcut = (first, second) if work[0] > work[1] else (second, first)
        inside = self._made_by(branch) - self._made_by(shortcut)
        # Parallel convolutions that one kernel could replace (RepVGG, MobileOne) are no branch.
        bends = any(self.trace.ops[index].bends for index in inside)
        return (branch, shortcut) if bends else None

    @property
    def _end(self) -> int:
        return self._operands[0] if self._operands else self.block.output

    @cached_property
    def _branch(self) -> set[int]:
        """The operators of the branch; empty if the block is no branch of two convolutions."""
        if self._operands is not None:
            branch, shortcut = self._operands
            return self._made_by(branch) - self._made_by(shortcut)
        if self._addition is not None or self.block.unit.tail is not None:
            return set()
        made_by = self._made_by(self.block.output)
        return made_by if len(self._matmuls(made_by)) > 1 else set()

    @cached_property
    def _entry(self) -> tuple[int, Call] | None:
        """The one map that enters the branch, and the module that takes it there."""
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
        taker = self.locator.taker(value, readers, inside=self.call)
        return None if taker is None else (value, taker)

    @property
    def residual(self) -> Point | None:
        """End of the branch; behind a mere scaling (layer scale, skip gain), before it."""
        if not self._branch:
            return None
        value = self._end
        while (found := self.locator.point(value)) is None:
            op = self.trace.values[value].op
            if op is None or op not in self._branch or self.trace.ops[op].name not in _SCALING:
                return None
            value = self.trace.ops[op].inputs[0]
        return found

    @property
    def mid(self) -> Point | None:
        """After the branch's spatial convolution, its norm and activation."""
        if self.block.unit.tail is not None:
            ops = self.trace.ops[self.call.start : self.call.end]
            layer = next(op for op in ops if op.spatial)
            return self.post and replace(self.post, convolution=self._convolution(layer, self.post))
        if self._addition is not None and not self._on_maps(self._addition):
            return None
        inside = self._branch or self._made_by(self.block.output)
        end = self.trace.root(self._end)
        found = []
        for op in self._matmuls(inside):
            after = self._after(op, inside) if op.spatial else None
            if after is not None:
                depthwise = op.weight[1] == 1 and op.weight[0] > 1
                rank = (after.value == end, not depthwise, -op.weight[0] * depthwise)
                found.append((rank, op, after))
        if not found:
            return None
        _, op, after = min(found, key=lambda candidate: candidate[0])
        return replace(after, convolution=self._convolution(op, after))

    def _convolution(self, op: Op, after: Point) -> Convolution | None:
        """The layer behind `op`, if the point is its output, norm and activation aside.

        Only layers of an odd square kernel and a stride of 1 or 2 that pad the map: beside those a
        dilated one of the same stride gives a map of the same size.
        """
        layer = self.trace.calls[op.call]
        module, values = layer.module, (*layer.inputs, *layer.outputs)
        if (
            not isinstance(module, nn.Conv2d)
            or self.trace.times_called[layer.path] > 1
            or len(values) != 2
            or any(self.trace.values[value].layout != NCHW for value in (*values, after.value))
            or self.trace.root(follow(self.trace, values[1])[0]) != after.value
        ):
            return None
        kernels, strides = set(module.kernel_size), set(module.stride)
        stride = max(strides)
        given, made = (self.trace.grid(value) for value in values)
        if len(kernels) > 1 or max(kernels) % 2 == 0 or len(strides) > 1 or stride > 2:
            return None
        if made != tuple(-(-side // stride) for side in given):
            return None
        return Convolution(layer.path, module.in_channels, max(kernels), stride, module.groups)

    def _after(self, op: Op, inside: set[int]) -> Point | None:
        """Behind a convolution; of several in parallel, behind what joins them."""
        found = None
        call = self.trace.calls[op.call]
        ends = [(op.outputs, False)]
        while call.index > self.call.index:
            ends.append((call.outputs, self._pools(call)))
            call = self.trace.calls[call.parent or 0]
        ends += [(join.outputs, False) for join in self._joins(op, inside)]
        for values, pools in ends:
            if len(values) == 1 and (found is None or pools):
                after = self.locator.point(follow(self.trace, values[0])[0])
                if after is not None and self._all_pass(after.value, inside):
                    found = after
        return found

    def _pools(self, call: Call) -> bool:
        """Whether a module itself takes means over the map, as split attention (ResNeSt) does."""
        own = (op for op in self.trace.ops[call.start : call.end] if op.call == call.index)
        return any(op.name in ("mean", "_adaptive_avg_pool2d") for op in own)

    def _joins(self, op: Op, inside: set[int]) -> list[Op]:
        """Where the block itself concatenates what was convolved in parallel (Res2Net)."""
        end = self.trace.root(self._end)
        later = [
            self.trace.ops[i] for i in sorted(inside) if self.trace.ops[i].outputs > op.outputs
        ]
        return [
            join
            for join in later
            if join.name == "cat" and join.call == self.call.index and end not in join.outputs
        ]

    @property
    def pre(self) -> Point | None:
        """The one map that enters the branch."""
        if self._entry is None:
            return None
        value, taker = self._entry
        readers = self.trace.values[value].readers
        if all(taker.start <= reader < taker.end for reader in readers):
            return self.locator.point(value)
        return self.locator.at(value, "in", taker.path)

    @property
    def identity(self) -> Point | None:
        """The shortcut: what its last module returns, or the bare input of the block."""
        if self._operands is None:
            return None
        shortcut = self._operands[1]
        if self.trace.values[shortcut].readers == [self._addition]:
            return self.locator.point(shortcut)
        if self._entry is None or {self._entry[0], self.call.inputs[0]} != {shortcut}:
            return None
        return self.locator.at(shortcut, "shortcut", self.call.path, self._entry[1].path)

    @property
    def post(self) -> Point | None:
        """The block's output."""
        return self.locator.point(self.block.output)

    def _on_maps(self, op: int) -> bool:
        return self.trace.is_map(self.trace.ops[op].outputs[0])

    def _made_by(self, value: int) -> set[int]:
        return self.trace.ancestors(value, self.call)

    def _matmuls(self, ops: set[int]) -> list[Op]:
        return [self.trace.ops[i] for i in sorted(ops) if self.trace.ops[i].name in MATMULS]

    def _edges(self, ops: set[int]) -> Iterable[tuple[int, int]]:
        """(value, operator) wherever a computed value enters this set of operators."""
        for index in ops:
            for value in self.trace.ops[index].inputs:
                maker = self.trace.values[value].op
                computed = maker is not None or value in self.call.inputs
                if computed and maker not in ops:
                    yield value, index

    def _all_pass(self, value: int, ops: set[int]) -> bool:
        """Whether everything that enters `ops` reaches the branch's end through `value` only."""
        behind = set()
        open_values = [self.trace.root(self._end)]
        while open_values:
            current = open_values.pop()
            op = self.trace.values[current].op
            if current != value and op in ops and op not in behind:
                behind.add(op)
                open_values.extend(self.trace.ops[op].inputs)
        return all(entering == value for entering, _ in self._edges(behind))
