"""Stages and blocks of a backbone, read from a trace of it.

`blocks.py` finds the blocks. A *stage* is the outermost numbered module around a block (`layer1`,
`blocks.3`, `stages.0`), or a module around that while there seem to be more than ten (SelecSLS,
ConvMixer); if it holds all blocks, a stage ends where the size of the map changes. A sibling of the
stages that has no block of its own, because it works on tokens inside (CAFormer's last two), is one
block and a stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .blocks import (
    Unit,
    as_unit,
    blank,
    could_be_block,
    has_work,
    in_stem,
    is_numbered,
    on_maps,
    parents,
)
from .blocks import units as find_units
from .trace import Call, Trace

_MOST_STAGES = 10  # of GhostNet; what seems to have more are single blocks with a name each


@dataclass(frozen=True)
class Block:
    """One block, counted from 1 in its stage."""

    stage: int
    number: int
    unit: Unit

    @property
    def call(self) -> Call:
        """The call of the block's module."""
        return self.unit.call

    @property
    def output(self) -> int:
        """The value that leaves the block."""
        return self.unit.output


@dataclass(frozen=True)
class Anatomy:
    """All blocks in network order; for every stage the module that holds it alone, if called."""

    blocks: tuple[Block, ...]
    stages: dict[int, Call | None]


def anatomy(trace: Trace) -> Anatomy:
    """Stages and blocks; an empty anatomy if there are none."""
    units = find_units(trace)
    containers = _containers(unit.call.path for unit in units)
    held = list(zip(units, containers, strict=True))
    held += [(as_unit(trace, call), call.path) for call in _others(trace, units, set(containers))]
    held.sort(key=lambda pair: pair[0].call.index)
    return _staged(trace, held)


def _staged(trace: Trace, held: Sequence[tuple[Unit, str]]) -> Anatomy:
    by_size = len({container for _, container in held}) == 1
    groups: list[object] = [container for _, container in held]
    if by_size:
        groups = [trace.grid(unit.output) for unit, _ in held]
    order = {group: index + 1 for index, group in enumerate(dict.fromkeys(groups))}
    counts: Counter[int] = Counter()
    blocks = []
    for (unit, _), group in zip(held, groups, strict=True):
        counts[order[group]] += 1
        blocks.append(Block(order[group], counts[order[group]], unit))
    if by_size:
        return Anatomy(tuple(blocks), dict.fromkeys(order.values()))
    holders = {order[container]: container for _, container in held}
    return Anatomy(tuple(blocks), {s: _holder(trace, s, holders) for s in holders})


def _containers(paths: Iterable[str]) -> list[str]:
    """The stage of every block, as the path of a module around it."""
    found = [_container(path) for path in paths]
    while len(set(found)) > _MOST_STAGES:
        depth = max(path.count(".") for path in found)
        found = [p.rpartition(".")[0] if p.count(".") == depth else p for p in found]
    return found


def _container(path: str) -> str:
    """The outermost numbered module around a block: `stages.0` for `stages.0.blocks.1.conv`."""
    block = next((p for p in (path, *parents(path)) if is_numbered(p)), path)
    around = list(parents(block))
    numbered = [parent for parent in around if is_numbered(parent)]
    return (numbered[-1:] + around[:1] + [""])[0]


def _others(trace: Trace, units: Sequence[Unit], stages: set[str]) -> list[Call]:
    """Siblings of the stages that hold no block; single layers, as DLA's first two, are none."""
    patterns = {blank(path) for path in stages if is_numbered(path)}
    paths = [unit.call.path for unit in units]
    known = stages | {parent for path in paths for parent in (path, *parents(path))}
    return [
        call
        for call in trace.calls
        if blank(call.path) in patterns
        and call.path not in known
        and not in_stem(trace, call)
        and on_maps(trace, call)
        and could_be_block(trace, call)
        and has_work(trace, call, least=2)
    ]


def _holder(trace: Trace, stage: int, holders: dict[int, str]) -> Call | None:
    """The outermost called module that holds this stage's blocks and no other's."""
    others = [path for number, path in holders.items() if number != stage]
    best = None
    for path in (holders[stage], *parents(holders[stage])):
        if any(f"{other}.".startswith(f"{path}.") for other in others):
            break
        best = next((call for call in trace.calls if call.path == path), best)
    return best
