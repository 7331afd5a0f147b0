"""Find the blocks of a backbone in a trace of its forward pass.

A *block* is a module that joins maps: one that itself adds a shortcut to a branch or, in backbones
without additions, one that concatenates new maps with old ones. Modules of the same path pattern
(`blocks.*.*`) are blocks too, whether they join maps or not: in MobileNetV2 only ten of seventeen
blocks add. A sum of parallel convolutions that one kernel could replace (RepVGG, MobileOne, the
positional encodings of DaViT) counts only in backbones without other additions; the block is then
the numbered module around it.

In backbones without joins, the numbered modules of one pattern are the blocks; in a plain chain of
layers (VGG), every spatial convolution with its norm and activation is one. If there are other
blocks, these do not include the part that timm calls `stem` or `patch_embed`, nor modules that
receive the image and join nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from .trace import MATMULS, ModuleCall, Trace

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Containers run all of their children, so an attention must not become a child of one."""


@dataclass(frozen=True)
class BlockModules:
    """The modules of one block.

    Attributes:
        call: the run of the block's module; in a plain chain, of its convolution.
        tail: the run of the convolution's norm or activation; only in a plain chain.
        works_on_tokens: the block receives and returns maps, but computes on tokens.
    """

    call: ModuleCall
    tail: ModuleCall | None = None
    works_on_tokens: bool = False

    @property
    def output(self) -> int:
        """Number of the value that the block returns."""
        return (self.tail or self.call).outputs[0]


def find_block_modules(trace: Trace) -> list[BlockModules]:
    """All blocks in the order of the network; empty for a network that works on tokens."""
    return (
        _adding_blocks(trace)
        or _concatenating_blocks(trace)
        or _numbered_blocks(trace)
        or _chained_convolutions(trace)
    )


def as_block_modules(trace: Trace, call: ModuleCall) -> BlockModules:
    """Treat a whole module as one block."""
    tokens = any(
        op.name in ("add", "add_") and _joins_tokens(trace, op.inputs)
        for op in trace.ops[call.start : call.end]
    )
    return BlockModules(call, works_on_tokens=tokens)


def _joins_tokens(trace: Trace, values: tuple[int, ...]) -> bool:
    """Whether an addition of these values joins tokens that were computed from a map."""
    shapes = {trace.values[value].shape for value in values}
    made_from_map = all(trace.grid(value) for value in values)
    return len(values) == 2 and len(shapes) == 1 and made_from_map and len(shapes.pop()) == 3


def parents(path: str) -> Iterator[str]:
    """Paths of the modules around the one at `path`, innermost first, without the network."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def is_numbered(path: str) -> bool:
    """Whether the module's own name has a number: `blocks.3`, `layer1`, `conv2_1`."""
    return any(letter.isdigit() for letter in path.rpartition(".")[2])


def blank_numbers(path: str) -> str:
    """The pattern of a path: `blocks.*.*` for `blocks.3.1`."""
    return re.sub(r"\d+", "*", path)


def runs_matmuls(trace: Trace, call: ModuleCall, minimum: int = 1) -> bool:
    """Whether a call runs at least `minimum` convolutions or matrix products."""
    names = (op.name for op in trace.ops[call.start : call.end])
    return sum(name in MATMULS for name in names) >= minimum


def could_be_block(trace: Trace, call: ModuleCall) -> bool:
    """Whether a module has children and returns a map, perhaps followed by other values."""
    gives_map = bool(call.outputs) and trace.is_map(call.outputs[0])
    return gives_map and next(call.module.children(), None) is not None


def returns_one_map(trace: Trace, call: ModuleCall) -> bool:
    """Whether a call returns a single map."""
    return len(call.outputs) == 1 and trace.is_map(call.outputs[0])


def follow_norm_and_activation(trace: Trace, value: int) -> tuple[int, ModuleCall | None]:
    """Follow a value through the batch norm and activation that read it next.

    Returns:
        Output and call of the last of them; `value` itself and None if there are none.
    """
    last_call = None
    while call := _next_layer(trace, value):
        last_call, value = call, call.outputs[0]
    return value, last_call


_MIXING_OPERATORS = {
    *("convolution", "addmm", "mm", "bmm", "baddbmm", "native_layer_norm", "cat", "add", "add_"),
    *("mean", "sum", "amax", "max", "var_mean", "linalg_vector_norm"),
    *("avg_pool2d", "max_pool2d_with_indices", "_adaptive_avg_pool2d"),
    *("upsample_bilinear2d", "upsample_nearest2d"),
}
"""Operators that mix channels or locations, which norms and activations do not do."""


def _next_layer(trace: Trace, value: int) -> ModuleCall | None:
    """The norm or activation that is the only reader of a value; None if there is none."""
    readers = trace.values[value].readers
    for call in trace.calls_receiving.get(value, []):
        operators = trace.ops[call.start : call.end]
        if (
            len(call.outputs) == 1
            and all(call.start <= reader < call.end for reader in readers)
            and trace.values[call.outputs[0]].shape == trace.values[value].shape
            and not any(op.name in _MIXING_OPERATORS for op in operators)
        ):
            return call
    return None


def is_in_stem(trace: Trace, call: ModuleCall) -> bool:
    """Whether timm calls this module the stem, or it receives the image before all others."""
    first = next(index for index, op in enumerate(trace.ops) if op.name in MATMULS)
    return call.start <= first < call.end or _is_named_stem(call)


def _is_named_stem(call: ModuleCall) -> bool:
    return call.path.partition(".")[0] in ("stem", "patch_embed")


def _adding_blocks(trace: Trace) -> list[BlockModules]:
    """Modules that add a shortcut to a branch, and all modules of their path patterns."""
    adders: dict[str, bool] = {}
    for op in trace.ops:
        call = trace.calls[op.call]
        if op.name in ("add", "add_") and call.path and returns_one_map(trace, call):
            shapes = {trace.values[value].shape for value in op.inputs}
            if len(shapes) == 1 and trace.is_map(op.outputs[0]):
                made_by = trace.ancestors(op.outputs[0], call)
                has_branch = any(trace.ops[index].is_nonlinear for index in made_by)
                adders[call.path] = adders.get(call.path, False) or has_branch
    owners = {path for path, has_branch in adders.items() if has_branch}
    if not owners:
        around_sums = {_numbered_around(trace, path) for path in adders}
        calls = _outermost(_siblings(trace, around_sums))
        return [as_block_modules(trace, call) for call in calls]
    paths = {call.path for call in _siblings(trace, owners)}
    # In DLA and EfficientViT some siblings do not add, but contain modules that do. The inner
    # modules are the blocks, not the modules around them.
    holders = paths & {parent for path in owners for parent in parents(path)} - owners
    paths |= {path for path in owners if not holders.isdisjoint(parents(path))}
    paths -= holders
    return [BlockModules(call) for call in _outermost([c for c in trace.calls if c.path in paths])]


def _numbered_around(trace: Trace, path: str) -> str:
    """The innermost numbered module around `path` that returns a map, or the module itself."""
    returning_maps = {call.path for call in trace.calls if returns_one_map(trace, call)}
    around = [p for p in (path, *parents(path)) if p in returning_maps and is_numbered(p)]
    list_items = [p for p in around if p.rpartition(".")[2].isdecimal()]
    return (list_items + around + [path])[0]


def _concatenating_blocks(trace: Trace) -> list[BlockModules]:
    """Innermost modules that concatenate maps, and all modules of their path patterns."""
    owners = {
        call.path
        for op in trace.ops
        if op.name == "cat" and trace.is_map(op.outputs[0])
        if (call := trace.calls[op.call]).path and could_be_block(trace, call)
    }
    calls = _siblings(trace, owners)
    # A dense stage concatenates the outputs of its layers, which concatenate too. In this case the
    # layers are the blocks.
    holders = {parent for call in calls for parent in parents(call.path)}
    return [BlockModules(call) for call in calls if call.path not in holders]


def _siblings(trace: Trace, owners: set[str]) -> list[ModuleCall]:
    """Modules with the path patterns of `owners`; only numbered patterns if there are any."""
    patterns = {blank_numbers(path) for path in owners if is_numbered(path)} or set(
        map(blank_numbers, owners)
    )
    calls = [
        c for c in trace.calls if blank_numbers(c.path) in patterns and could_be_block(trace, c)
    ]
    behind_stem = [c for c in calls if not is_in_stem(trace, c) or c.path in owners]
    return [c for c in behind_stem if not _is_named_stem(c)] or calls


def _outermost(calls: list[ModuleCall]) -> list[ModuleCall]:
    """The calls whose modules lie inside none of the others."""
    paths = {call.path for call in calls}
    return [call for call in calls if not any(p in paths for p in parents(call.path))]


def _numbered_blocks(trace: Trace) -> list[BlockModules]:
    """For backbones without joins: the outermost numbered modules with children, no containers."""
    calls = [
        call
        for call in trace.calls
        if is_numbered(call.path)
        and not isinstance(call.module, CONTAINERS)
        and returns_one_map(trace, call)
        and could_be_block(trace, call)
        and runs_matmuls(trace, call)
        and not _is_named_stem(call)
    ]
    return [as_block_modules(trace, call) for call in _outermost(calls)]


def _chained_convolutions(trace: Trace) -> list[BlockModules]:
    """For plain chains of layers: every spatial convolution with its norm and activation."""
    mixing = [op for op in trace.ops if op.name in ("convolution", "addmm", "mm", "bmm")]
    if sum(op.is_spatial for op in mixing) * 2 < len(mixing):
        return []  # The only maps are those in the stem of a network that works on tokens.
    return [
        BlockModules(call, follow_norm_and_activation(trace, call.outputs[0])[1])
        for call in trace.calls
        if next(call.module.children(), None) is None
        and returns_one_map(trace, call)
        and any(op.is_spatial for op in trace.ops[call.start : call.end])
        and not _covers_whole_map(trace, call)
    ]


def _covers_whole_map(trace: Trace, call: ModuleCall) -> bool:
    """Whether this is a convolution as large as the map: a linear layer of the head."""
    before, after = (trace.grid(value) for value in (call.inputs[0], call.outputs[0]))
    return max(after) == 1 and max(before, default=1) > 1
