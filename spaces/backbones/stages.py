"""Group the blocks of a backbone into stages, from a trace of its forward pass.

`blocks.py` finds the blocks. A *stage* is the outermost numbered module around a block (`layer1`,
`blocks.3`, `stages.0`). If that gives more than ten stages (SelecSLS, ConvMixer), modules further
out are the stages. If one module contains all blocks, a stage ends where the size of the map
changes. A sibling of the stages that contains no block, because it computes on tokens (CAFormer's
last two), is a stage of one block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .blocks import (
    BlockModules,
    as_block_modules,
    blank_numbers,
    could_be_block,
    find_block_modules,
    is_in_stem,
    is_numbered,
    parents,
    returns_one_map,
    runs_matmuls,
)
from .trace import ModuleCall, Trace

_MAX_STAGES = 10
"""GhostNet has ten stages. If there seem to be more, the modules are blocks, not stages."""


@dataclass(frozen=True)
class Block:
    """One block, counted from 1 in its stage."""

    stage: int
    number: int
    modules: BlockModules

    @property
    def call(self) -> ModuleCall:
        """The call of the block's module."""
        return self.modules.call

    @property
    def output(self) -> int:
        """Number of the value that the block returns."""
        return self.modules.output


@dataclass(frozen=True)
class BackboneStages:
    """Stages and blocks of a backbone.

    Attributes:
        blocks: all blocks in the order of the network.
        stage_calls: by stage, the call of the outermost module that contains this stage and no
            other; None if no such module is called.
    """

    blocks: tuple[Block, ...]
    stage_calls: dict[int, ModuleCall | None]


def find_stages(trace: Trace) -> BackboneStages:
    """The stages and blocks of the traced backbone; both empty if there are none."""
    blocks = find_block_modules(trace)
    containers = _containers(block.call.path for block in blocks)
    pairs = list(zip(blocks, containers, strict=True))
    pairs += [
        (as_block_modules(trace, call), call.path)
        for call in _siblings_without_blocks(trace, blocks, set(containers))
    ]
    pairs.sort(key=lambda pair: pair[0].call.index)
    return _number_blocks(trace, pairs)


def _number_blocks(trace: Trace, pairs: Sequence[tuple[BlockModules, str]]) -> BackboneStages:
    """Number stages and their blocks; `pairs` are blocks and the paths of their containers."""
    by_map_size = len({container for _, container in pairs}) == 1
    groups: list[object] = [container for _, container in pairs]
    if by_map_size:
        groups = [trace.grid(modules.output) for modules, _ in pairs]
    stage_numbers = {group: index + 1 for index, group in enumerate(dict.fromkeys(groups))}
    counts: Counter[int] = Counter()
    blocks = []
    for (modules, _), group in zip(pairs, groups, strict=True):
        stage = stage_numbers[group]
        counts[stage] += 1
        blocks.append(Block(stage, counts[stage], modules))
    if by_map_size:
        return BackboneStages(tuple(blocks), dict.fromkeys(stage_numbers.values()))
    paths = {stage_numbers[container]: container for _, container in pairs}
    stage_calls = {stage: _find_stage_call(trace, stage, paths) for stage in paths}
    return BackboneStages(tuple(blocks), stage_calls)


def _containers(paths: Iterable[str]) -> list[str]:
    """For every block, the path of the module that is its stage."""
    containers = [_container(path) for path in paths]
    while len(set(containers)) > _MAX_STAGES:
        depth = max(path.count(".") for path in containers)
        containers = [p.rpartition(".")[0] if p.count(".") == depth else p for p in containers]
    return containers


def _container(path: str) -> str:
    """The outermost numbered module around a block: `stages.0` for `stages.0.blocks.1.conv`."""
    block = next((p for p in (path, *parents(path)) if is_numbered(p)), path)
    around = list(parents(block))
    numbered = [parent for parent in around if is_numbered(parent)]
    return (numbered[-1:] + around[:1] + [""])[0]


def _siblings_without_blocks(
    trace: Trace, blocks: Sequence[BlockModules], stages: set[str]
) -> list[ModuleCall]:
    """Siblings of the stages without blocks, except single layers such as DLA's first two."""
    patterns = {blank_numbers(path) for path in stages if is_numbered(path)}
    paths = [block.call.path for block in blocks]
    known = stages | {parent for path in paths for parent in (path, *parents(path))}
    return [
        call
        for call in trace.calls
        if blank_numbers(call.path) in patterns
        and call.path not in known
        and not is_in_stem(trace, call)
        and returns_one_map(trace, call)
        and could_be_block(trace, call)
        and runs_matmuls(trace, call, minimum=2)
    ]


def _find_stage_call(trace: Trace, stage: int, paths: dict[int, str]) -> ModuleCall | None:
    """The outermost called module that contains this stage's blocks and no other's."""
    other_paths = [path for number, path in paths.items() if number != stage]
    stage_call = None
    for path in (paths[stage], *parents(paths[stage])):
        if any(f"{other}.".startswith(f"{path}.") for other in other_paths):
            break
        stage_call = next((call for call in trace.calls if call.path == path), stage_call)
    return stage_call
