"""The modules of a backbone that are its blocks, found in a trace of it.

A *block* is where maps are joined: the module that itself adds a shortcut to a branch, or, where
nothing is added, the one that concatenates new maps to old ones. Its siblings by name (the path
with its numbers blanked: `blocks.*.*`) are blocks too, whether they join or not: in MobileNetV2
only ten of seventeen add. A sum of parallel convolutions that one kernel could replace (RepVGG,
MobileOne, the positional encodings of DaViT) counts only where there is no other, and then the
numbered module around it is the block. Where nothing is joined, numbered modules of one pattern are
the blocks, and in a plain chain of layers (VGG) every spatial convolution with its norm and
activation. What lies in the part that timm calls `stem` or `patch_embed`, and what sees the picture
first and joins nothing, is no block if there are others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from .trace import MATMULS, Call, Trace

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that run whatever child they are given: an attention must not become one's child."""


@dataclass(frozen=True)
class Unit:
    """The modules of one block. In a plain chain `call` is the convolution and `tail` its norm or
    activation; `opaque` says that maps only enter and leave, and tokens do the work inside."""

    call: Call
    tail: Call | None = None
    opaque: bool = False

    @property
    def output(self) -> int:
        """The value that leaves the block."""
        return (self.tail or self.call).outputs[0]


def units(trace: Trace) -> list[Unit]:
    """All blocks in network order; none for a network that works on tokens."""
    return _adding(trace) or _concatenating(trace) or _numbered(trace) or _plain_chain(trace)


def as_unit(trace: Trace, call: Call) -> Unit:
    """A whole module as one block."""
    tokens = any(
        op.name in ("add", "add_") and _joins_tokens(trace, op.inputs)
        for op in trace.ops[call.start : call.end]
    )
    return Unit(call, opaque=tokens)


def _joins_tokens(trace: Trace, values: tuple[int, ...]) -> bool:
    shapes = {trace.values[value].shape for value in values}
    made_from_map = all(trace.grid(value) for value in values)
    return len(values) == 2 and len(shapes) == 1 and made_from_map and len(shapes.pop()) == 3


def parents(path: str) -> Iterator[str]:
    """The paths of all modules around one, innermost first, without the network itself."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def is_numbered(path: str) -> bool:
    """Whether the module's own name has a number: `blocks.3`, `layer1`, `conv2_1`."""
    return any(letter.isdigit() for letter in path.rpartition(".")[2])


def blank(path: str) -> str:
    """The pattern of a path: `blocks.*.*` for `blocks.3.1`."""
    return re.sub(r"\d+", "*", path)


def has_work(trace: Trace, call: Call, least: int = 1) -> bool:
    """Whether a call runs at least so many convolutions or matrix products."""
    names = (op.name for op in trace.ops[call.start : call.end])
    return sum(name in MATMULS for name in names) >= least


def could_be_block(trace: Trace, call: Call) -> bool:
    """Whether a call is no mere layer and returns a map, perhaps with others behind it."""
    gives_map = bool(call.outputs) and trace.is_map(call.outputs[0])
    return gives_map and next(call.module.children(), None) is not None


def on_maps(trace: Trace, call: Call) -> bool:
    """Whether a call returns one map and nothing else."""
    return len(call.outputs) == 1 and trace.is_map(call.outputs[0])


def follow(trace: Trace, value: int) -> tuple[int, Call | None]:
    """Through the batch norm and activation that read `value` next; the last one's output."""
    last = None
    while step := _next_layer(trace, value):
        last, value = step, step.outputs[0]
    return value, last


# What mixes channels or places, so that norm and activation have ended before it.
_MIXING = {
    *("convolution", "addmm", "mm", "bmm", "baddbmm", "native_layer_norm", "cat", "add", "add_"),
    *("mean", "sum", "amax", "max", "var_mean", "linalg_vector_norm"),
    *("avg_pool2d", "max_pool2d_with_indices", "_adaptive_avg_pool2d"),
    *("upsample_bilinear2d", "upsample_nearest2d"),
}


def _next_layer(trace: Trace, value: int) -> Call | None:
    readers = trace.values[value].readers
    for call in trace.takers.get(value, []):
        inside = trace.ops[call.start : call.end]
        if (
            len(call.outputs) == 1
            and all(call.start <= reader < call.end for reader in readers)
            and trace.values[call.outputs[0]].shape == trace.values[value].shape
            and not any(op.name in _MIXING for op in inside)
        ):
            return call
    return None


def in_stem(trace: Trace, call: Call) -> bool:
    """Whether a call is a part that timm calls the stem, or sees the picture first."""
    first = next(index for index, op in enumerate(trace.ops) if op.name in MATMULS)
    return call.start <= first < call.end or _called_stem(call)


def _called_stem(call: Call) -> bool:
    return call.path.partition(".")[0] in ("stem", "patch_embed")


def _adding(trace: Trace) -> list[Unit]:
    """Calls that add a shortcut to a branch, and their siblings by name."""
    bends: dict[str, bool] = {}
    for op in trace.ops:
        call = trace.calls[op.call]
        if op.name in ("add", "add_") and call.path and on_maps(trace, call):
            shapes = {trace.values[value].shape for value in op.inputs}
            if len(shapes) == 1 and trace.is_map(op.outputs[0]):
                made_by = trace.ancestors(op.outputs[0], call)
                branches = any(trace.ops[index].bends for index in made_by)
                bends[call.path] = bends.get(call.path, False) or branches
    owners = {path for path, branches in bends.items() if branches}
    if not owners:
        sums = {_numbered_around(trace, path) for path in bends}
        return [as_unit(trace, call) for call in _outermost(_siblings(trace, sums))]
    paths = {call.path for call in _siblings(trace, owners)}
    # A sibling that does not add itself but holds some that do (in DLA, EfficientViT) gives way.
    holders = paths & {parent for path in owners for parent in parents(path)} - owners
    paths |= {path for path in owners if not holders.isdisjoint(parents(path))}
    paths -= holders
    return [Unit(call) for call in _outermost([c for c in trace.calls if c.path in paths])]


def _numbered_around(trace: Trace, path: str) -> str:
    """The innermost numbered module around one that still works on maps, or the module itself."""
    able = {call.path for call in trace.calls if on_maps(trace, call)}
    around = [p for p in (path, *parents(path)) if p in able and is_numbered(p)]
    listed = [p for p in around if p.rpartition(".")[2].isdecimal()]
    return (listed + around + [path])[0]


def _concatenating(trace: Trace) -> list[Unit]:
    """Calls that concatenate maps, and their siblings by name; innermost ones only."""
    owners = {
        call.path
        for op in trace.ops
        if op.name == "cat" and trace.is_map(op.outputs[0])
        if (call := trace.calls[op.call]).path and could_be_block(trace, call)
    }
    calls = _siblings(trace, owners)
    # A dense stage concatenates what its layers concatenated: the layers are the blocks.
    holders = {parent for call in calls for parent in parents(call.path)}
    return [Unit(call) for call in calls if call.path not in holders]


def _siblings(trace: Trace, owners: set[str]) -> list[Call]:
    """Calls of the same patterns; if some patterns are numbered, only of those."""
    patterns = {blank(path) for path in owners if is_numbered(path)} or set(map(blank, owners))
    calls = [c for c in trace.calls if blank(c.path) in patterns and could_be_block(trace, c)]
    others = [c for c in calls if not in_stem(trace, c) or c.path in owners]
    return [c for c in others if not _called_stem(c)] or calls


def _outermost(calls: list[Call]) -> list[Call]:
    paths = {call.path for call in calls}
    return [call for call in calls if not any(p in paths for p in parents(call.path))]


def _numbered(trace: Trace) -> list[Unit]:
    """Without any join: the outermost numbered modules that are no mere containers or layers."""
    calls = [
        call
        for call in trace.calls
        if is_numbered(call.path)
        and not isinstance(call.module, CONTAINERS)
        and on_maps(trace, call)
        and could_be_block(trace, call)
        and has_work(trace, call)
        and not _called_stem(call)
    ]
    return [as_unit(trace, call) for call in _outermost(calls)]


def _plain_chain(trace: Trace) -> list[Unit]:
    mixing = [op for op in trace.ops if op.name in ("convolution", "addmm", "mm", "bmm")]
    if sum(op.spatial for op in mixing) * 2 < len(mixing):
        return []  # the stem of a token model is no backbone
    return [
        Unit(call, follow(trace, call.outputs[0])[1])
        for call in trace.calls
        if next(call.module.children(), None) is None
        and on_maps(trace, call)
        and any(op.spatial for op in trace.ops[call.start : call.end])
        and not _swallows_the_map(trace, call)
    ]


def _swallows_the_map(trace: Trace, call: Call) -> bool:
    # A convolution as large as the map is a linear layer of the head.
    before, after = (trace.grid(value) for value in (call.inputs[0], call.outputs[0]))
    return max(after) == 1 and max(before, default=1) > 1
