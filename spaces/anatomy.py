"""Stages and blocks of a backbone, read from a trace of it.

A *block* is where maps are joined: the module that itself adds a shortcut to a branch, or, where
nothing is added, the one that concatenates new maps to old ones. Its siblings by name (the path
with its numbers blanked: `blocks.*.*`) are blocks too, whether they join or not: in MobileNetV2
only ten of seventeen add. Where nothing is joined, numbered modules of one pattern are the blocks,
and in a plain chain of layers (VGG) every spatial convolution with its norm and activation.

A *stage* is the container that holds the blocks (`layer1`, `blocks.3`, `stages.0.blocks`); if one
container holds them all, a stage ends where the size of the map changes. What lies in the part
that timm calls `stem` or `patch_embed` is no block if there are others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from .trace import Call, Trace

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that run whatever child they are given: an attention must not become one's child."""


Unit = tuple[Call, Call | None]


@dataclass(frozen=True)
class Block:
    """One block. In a plain chain `call` is the convolution and `tail` its norm or activation."""

    stage: int
    number: int
    call: Call
    tail: Call | None = None

    @property
    def output(self) -> int:
        """The value that leaves the block."""
        return (self.tail or self.call).outputs[0]


@dataclass(frozen=True)
class Anatomy:
    """All blocks in network order; for every stage the module that holds it alone, if called.

    `by_size` says that stages were told apart by the size of the map, which they are not on
    pictures so small that several end at 1×1.
    """

    blocks: tuple[Block, ...]
    stages: dict[int, Call | None]
    by_size: bool = False


def anatomy(trace: Trace, like: Anatomy | None = None) -> Anatomy:
    """Stages and blocks; an empty anatomy if there are none.

    With `like`, of the same network on a larger picture, the stages are told apart as there.
    """
    calls = _joining(trace, ("add", "add_")) or _joining(trace, ("cat",)) or _numbered(trace)
    units: list[Unit] = [(call, None) for call in calls] or _plain_chain(trace)
    known = {block.call.path: block.stage for block in like.blocks} if like else {}
    return _staged(trace, units, known)


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


def _blank(path: str) -> str:
    return re.sub(r"\d+", "*", path)


def _on_maps(trace: Trace, call: Call) -> bool:
    return len(call.outputs) == 1 and trace.is_map(call.outputs[0])


def _could_be_block(trace: Trace, call: Call) -> bool:
    return _on_maps(trace, call) and next(call.module.children(), None) is not None


def _in_stem(call: Call) -> bool:
    return call.path.partition(".")[0] in ("stem", "patch_embed")


def _joining(trace: Trace, names: Iterable[str]) -> list[Call]:
    """Calls that join maps themselves, and their siblings by name; outermost ones only."""
    owners: set[str] = set()
    for op in trace.ops:
        if op.name in names and op.outputs and trace.is_map(op.outputs[0]):
            shapes = {trace.values[value].shape for value in op.inputs}
            call = trace.calls[op.call]
            if (len(shapes) == 1 or op.name == "cat") and _on_maps(trace, call):
                owners.add(call.path)
    patterns = {_blank(path) for path in owners if path}
    patterns = {pattern for pattern in patterns if "*" in pattern.rpartition(".")[2]} or patterns
    calls = [c for c in trace.calls if _blank(c.path) in patterns and _could_be_block(trace, c)]
    calls = [c for c in calls if not _in_stem(c)] or calls
    return _innermost_groups(calls) if "cat" in names else _outermost(calls)


def _outermost(calls: list[Call]) -> list[Call]:
    paths = {call.path for call in calls}
    return [call for call in calls if not any(p in paths for p in parents(call.path))]


def _innermost_groups(calls: list[Call]) -> list[Call]:
    # A dense stage concatenates what its layers concatenated: the layers are the blocks.
    holders = {parent for call in calls for parent in parents(call.path)}
    return [call for call in calls if call.path not in holders]


def parents(path: str) -> Iterator[str]:
    """The paths of all modules around one, innermost first, without the network itself."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def _numbered(trace: Trace) -> list[Call]:
    """Without any join: the outermost numbered modules that are no mere containers or layers."""
    calls = [
        call
        for call in trace.calls
        if "*" in _blank(call.path).rpartition(".")[2]
        and not isinstance(call.module, CONTAINERS)
        and _could_be_block(trace, call)
        and any(op.name == "convolution" for op in trace.ops[call.start : call.end])
    ]
    return _outermost(calls)


def _plain_chain(trace: Trace) -> list[Unit]:
    mixing = [op for op in trace.ops if op.name in ("convolution", "addmm", "mm", "bmm")]
    if sum(op.spatial for op in mixing) * 2 < len(mixing):
        return []  # the stem of a token model is no backbone
    return [
        (call, follow(trace, call.outputs[0])[1])
        for call in trace.calls
        if next(call.module.children(), None) is None
        and _on_maps(trace, call)
        and any(op.spatial for op in trace.ops[call.start : call.end])
        and not _swallows_the_map(trace, call)
    ]


def _swallows_the_map(trace: Trace, call: Call) -> bool:
    # A convolution as large as the map is a linear layer of the head.
    before, after = (trace.values[value].shape for value in (call.inputs[0], call.outputs[0]))
    return max(after[2:]) == 1 and max(before[2:]) > 1


def _staged(trace: Trace, units: Sequence[Unit], known: dict[str, int]) -> Anatomy:
    containers = [_container(call.path) for call, _ in units]
    by_size = len(set(containers)) == 1
    groups: list[object] = list(containers)
    if by_size:
        groups = [
            known.get(call.path) or trace.values[(tail or call).outputs[0]].shape[2:]
            for call, tail in units
        ]
    order = {group: index + 1 for index, group in enumerate(dict.fromkeys(groups))}
    counts: Counter[int] = Counter()
    blocks = []
    for (call, tail), group in zip(units, groups, strict=True):
        counts[order[group]] += 1
        blocks.append(Block(order[group], counts[order[group]], call, tail))
    if by_size:
        return Anatomy(tuple(blocks), dict.fromkeys(order.values()), by_size)
    holders = dict(zip((order[g] for g in groups), containers, strict=True))
    return Anatomy(tuple(blocks), {s: _holder(trace, s, holders) for s in holders})


def _container(path: str) -> str:
    """What holds the block: `stages.0.blocks` for `stages.0.blocks.1` and for its `…1.conv`."""
    names = path.split(".")
    while len(names) > 1 and not any(letter.isdigit() for letter in names[-1]):
        names.pop()
    return ".".join(names[:-1])


def _holder(trace: Trace, stage: int, holders: dict[int, str]) -> Call | None:
    """The outermost called module that holds this stage's blocks and no other's."""
    others = [path for number, path in holders.items() if number != stage]
    best = None
    for path in (holders[stage], *parents(holders[stage])):
        if any(f"{other}.".startswith(f"{path}.") for other in others):
            break
        best = next((call for call in trace.calls if call.path == path), best)
    return best
