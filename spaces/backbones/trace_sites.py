"""What the trace of a network shows: its sites, its blocks and its own attention.

`discover.py` traces timm's backbones, `network_sites.py` networks of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import nn

from .blocks import parents
from .positions import BlockPositions, InsertionPointFinder
from .sites import OwnAttention, Site
from .stages import BackboneStages, find_stages
from .trace import ModuleCall, Operator, Trace

_POOLING_OPERATORS = (
    *("mean", "_adaptive_avg_pool2d", "amax", "avg_pool2d", "max", "var_mean", "bmm"),
)


def list_sites(trace: Trace, stages: BackboneStages) -> tuple[Site, ...]:
    """The sites of all blocks, in the order of the network."""
    finder = InsertionPointFinder(trace, stages)
    last_blocks = {block.stage: block for block in stages.blocks}
    sites = []
    for block in stages.blocks:
        points = BlockPositions(trace, block, finder).find_points()
        if block is last_blocks[block.stage]:
            stage_call = stages.stage_calls[block.stage]
            # HRNet's stages return several maps and therefore have no position `stage`.
            single = stage_call is None or _returns_one_value(stage_call)
            end = finder.find_point(stage_call.outputs[0]) if stage_call and single else None
            if end := end or (points.get("post") if single else None):
                points["stage"] = end
        for position, point in points.items():
            shape = trace.map_shape(point.value)
            module = point.anchor[1]
            sites.append(
                Site(
                    block.stage,
                    block.number,
                    position,
                    *shape,
                    module,
                    point.anchor,
                    point.convolution,
                )
            )
    return tuple(sites)


def _returns_one_value(call: ModuleCall) -> bool:
    return len(call.outputs) == 1


def explain_no_sites(trace: Trace, stages: BackboneStages) -> str:
    """Why a traced network has no site, as the end of a sentence."""
    if stages.blocks:
        return "its blocks run several times in one pass, or their maps are no module's output"
    shapes = [trace.values[c.outputs[0]].shape for c in trace.calls if _returns_one_value(c)]
    if sum(len(shape) == 4 for shape in shapes) * 2 > len(shapes):
        return "its maps are not in the layout (N, C, H, W) or form no blocks"
    return "it works on tokens, not on maps"


def list_block_paths(stages: BackboneStages, sites: tuple[Site, ...]) -> tuple[str, ...]:
    """The paths of the blocks that have sites, by stage.

    In YOLO26, downsampling layers between the stages count as blocks of a stage of their own.
    """
    with_sites = {(site.stage, site.block) for site in sites}
    blocks = sorted(stages.blocks, key=lambda block: (block.stage, block.number))
    return tuple(b.call.path for b in blocks if (b.stage, b.number) in with_sites)


def find_own_attention(trace: Trace) -> tuple[str, ...]:
    """Paths of modules that multiply their input by a gate, or add to it a smaller map, that was
    computed from the pooled input; outermost ones only."""
    gates = [
        call.path
        for call in trace.calls
        if _returns_one_value(call)
        and call.inputs
        and trace.is_map(call.inputs[0])
        and trace.values[call.outputs[0]].shape == trace.values[call.inputs[0]].shape
        and any(_is_gate(trace, call, op) for op in trace.ops[call.start : call.end])
    ]
    return tuple(p for p in gates if not any(p.startswith(f"{other}.") for other in gates))


def _is_gate(trace: Trace, call: ModuleCall, op: Operator) -> bool:
    source = call.inputs[0]
    if op.outputs != call.outputs or len(op.inputs) != 2 or source not in op.inputs:
        return False
    gate = op.inputs[op.inputs[0] == source]
    smaller = trace.values[gate].shape != trace.values[source].shape
    if op.name not in ("mul", "mul_") and not (op.name in ("add", "add_") and smaller):
        return False
    made_by = [trace.ops[index] for index in trace.ancestors(gate, call)]
    from_source = any(source in op.inputs for op in made_by)
    return from_source and any(op.name in _POOLING_OPERATORS for op in made_by)


def locate_own_attention(
    paths: Sequence[str], trace: Trace, stages: BackboneStages
) -> tuple[OwnAttention, ...]:
    """The stages and blocks of the backbone's own attention modules.

    Args:
        paths: of these modules.
        trace: of the backbone.
        stages: of the backbone.
    """
    modules = {call.path: call.module for call in trace.calls}
    owners = {block.call.path: (block.stage, block.number) for block in stages.blocks}
    for stage, call in stages.stage_calls.items():
        if call is not None:
            owners.setdefault(call.path, (stage, 0))
    located = []
    for path in paths:
        around = (owners[outer] for outer in (path, *parents(path)) if outer in owners)
        parameters = sum(parameter.numel() for parameter in modules[path].parameters())
        located.append(OwnAttention(*next(around, (0, 0)), path, parameters))
    return tuple(located)


def list_stripped_sites(
    model: nn.Module, paths: Sequence[str], trace_network: Callable[[], Trace]
) -> tuple[Site, ...]:
    """The sites of a network without its own attention, which it has again afterwards.

    Args:
        model: the network.
        paths: of its own attention modules.
        trace_network: traces the network.

    Returns:
        Empty without own attention, and if the network does not run without it.
    """
    if not paths:
        return ()
    restore = remove_own_attention(model, paths)
    try:
        trace = trace_network()
        return list_sites(trace, find_stages(trace))
    except Exception:
        # The network can be used as it is, and a text that removes its attention is refused.
        return ()
    finally:
        restore()


def remove_own_attention(model: nn.Module, paths: Iterable[str]) -> Callable[[], None]:
    """Replace attention of the backbone itself by the identity.

    Args:
        model: the backbone.
        paths: of the attention modules.

    Returns:
        A function that puts them back.
    """
    removed = {path: model.get_submodule(path) for path in paths}
    for path in removed:
        model.set_submodule(path, nn.Identity())

    def restore() -> None:
        for path, module in removed.items():
            model.set_submodule(path, module)

    return restore
