"""Insertion points of any timm backbone, found by running it once.

`site_map("resnet18")` builds the backbone without memory for its weights (torch's meta device),
runs one picture through it under `trace`, reads stages and blocks from the trace (`anatomy`), and
asks for every block which positions it has (`positions`). Nothing is known about any class by name.

A pass takes some hundredths of a second to a second, so the answer is remembered in the process and
on disk (`ATTENTUNE_CACHE`, else the user's cache folder), by timm's version and by `VERSION` below.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal

import platformdirs
import torch
from torch import nn

from ..errors import BackboneError
from .anatomy import Anatomy, anatomy
from .positions import Locator, Positions
from .sites import Site, SiteMap, site_map_from_json, site_map_to_json
from .stem import shrink_stem
from .timm_compat import check_backbone, import_timm
from .trace import Call, Op, Trace, trace

Stem = Literal["native", "small"]

VERSION = 2
"""Of what this module finds; raise it with every change that finds something else."""


def site_map(
    backbone: str,
    *,
    image_size: int = 224,
    stem: Stem = "native",
    strip_attention: bool = False,
) -> SiteMap:
    """All insertion points of `backbone` for square pictures of `image_size` pixels.

    With `strip_attention` those of the backbone after its own attention is removed. BackboneError
    if timm does not know the backbone, if it cannot be run, or if it has no place for an attention.
    """
    return _site_map(backbone, image_size, stem, strip_attention)


def choose_stem(backbone: str, image_size: int) -> Stem:
    """`small` if the last stage's native map would have fewer than 4×4 places, else `native`."""
    last = site_map(backbone, image_size=image_size).sites[-1]
    if last.height * last.width >= 16:
        return "native"
    try:
        site_map(backbone, image_size=image_size, stem="small")
    except BackboneError:  # a stem with parallel paths
        return "native"
    return "small"


def strip_own_attention(model: nn.Module, paths: tuple[str, ...]) -> None:
    """Replace the backbone's own attention (a site map's `own_attention`) by the identity."""
    for path in paths:
        model.set_submodule(path, nn.Identity())


@cache
def _site_map(backbone: str, image_size: int, stem: Stem, strip_attention: bool) -> SiteMap:
    check_backbone(backbone)
    name = backbone.partition(".")[0]
    file = _cache_file(name, image_size, stem, strip_attention)
    if (known := _read(file, backbone)) is not None:
        return known
    found = discover(backbone, image_size=image_size, stem=stem, strip_attention=strip_attention)
    _write(file, found)
    return found


def discover(
    backbone: str,
    *,
    image_size: int = 224,
    stem: Stem = "native",
    strip_attention: bool = False,
    **timm_kwargs: Any,
) -> SiteMap:
    """`site_map` without any cache, for a backbone built with `timm_kwargs`."""
    model, record = _run(backbone, image_size, timm_kwargs)
    found = _anatomy(model, record)
    own, strides = _own_attention(record), _stem_strides(record, found)
    if (strip_attention and own) or (stem == "small" and strides):
        if strip_attention:
            strip_own_attention(model, own)
        if stem == "small":
            shrink_stem(model, strides)
        record = _second_pass(model, backbone, image_size)
        found = _anatomy(model, record)
    sites = _sites(record, found)
    if not sites:
        raise BackboneError(f"{backbone} has no place for an attention: {_why(record, found)}")
    return SiteMap(backbone, (image_size, image_size), sites, own, strides)


def _run(backbone: str, image_size: int, timm_kwargs: dict[str, Any]) -> tuple[nn.Module, Trace]:
    timm = import_timm()
    failure: Exception | None = None
    for device in ("meta", "cpu"):  # a few models look at values, which meta tensors do not have
        try:
            with torch.device(device):
                model = timm.create_model(backbone.partition(".")[0], **timm_kwargs)
            return model, _pass(model, image_size)
        except Exception as error:
            failure = failure or error
    raise BackboneError(
        f"{backbone} cannot be run on pictures of {image_size}×{image_size} pixels"
        f"{_reason(failure)}"
    ) from failure


def _second_pass(model: nn.Module, backbone: str, image_size: int) -> Trace:
    try:
        return _pass(model, image_size)
    except Exception as error:
        raise BackboneError(
            f"{backbone} does not run with a small stem or without its own attention"
            f"{_reason(error)}"
        ) from error


def _reason(error: Exception | None) -> str:
    text = str(error).strip().partition("\n")[0]
    return f": {text}" if text else ""


def _pass(model: nn.Module, image_size: int) -> Trace:
    weight = next(model.parameters())
    channels = getattr(model, "in_chans", None) or 3
    picture = torch.zeros(1, channels, image_size, image_size, device=weight.device)
    return trace(model.eval(), picture)


def _anatomy(model: nn.Module, record: Trace) -> Anatomy:
    """The same stages whatever the picture: where their maps are too small, as on a large one."""
    found = anatomy(record)
    if found.by_size and max(record.values[found.blocks[-1].output].shape[2:]) == 1:
        return anatomy(record, like=anatomy(_pass(model, 224)))
    return found


def _sites(record: Trace, found: Anatomy) -> tuple[Site, ...]:
    locator = Locator(record, found)
    last = {block.stage: block for block in found.blocks}
    sites = []
    for block in found.blocks:
        points = Positions(record, block, locator).points()
        if block is last[block.stage]:
            holder = found.stages[block.stage]
            end = locator.point(holder.outputs[0]) if holder and _gives_one(holder) else None
            if end := end or points.get("post"):
                points["stage"] = end
        for position, point in points.items():
            channels, height, width = record.values[point.value].shape[1:]
            shape = (channels, height, width)
            sites.append(
                Site(block.stage, block.number, position, *shape, point.anchor[1], point.anchor)
            )
    return tuple(sites)


def _gives_one(call: Call) -> bool:
    return len(call.outputs) == 1


def _why(record: Trace, found: Anatomy) -> str:
    if found.blocks:
        return "its blocks run several times in one pass, or hand on what no module returns"
    shapes = [record.values[c.outputs[0]].shape for c in record.calls if _gives_one(c)]
    if sum(len(shape) == 4 for shape in shapes) * 2 > len(shapes):
        return "its maps are not in the layout (N, C, H, W) or form no blocks"
    return "it works on tokens, not on maps"


def _stem_strides(record: Trace, found: Anatomy) -> tuple[str, ...]:
    """Layers before the first block whose map is smaller than what they are given."""
    if not found.blocks:
        return ()
    return tuple(
        call.path
        for call in record.calls[: found.blocks[0].call.index]
        if next(call.module.children(), None) is None
        and _gives_one(call)
        and record.is_map(call.outputs[0])
        and record.values[call.outputs[0]].shape[2:] < record.values[call.inputs[0]].shape[2:]
    )


_POOLING = ("mean", "_adaptive_avg_pool2d", "amax", "avg_pool2d", "max", "var_mean", "bmm")


def _own_attention(record: Trace) -> tuple[str, ...]:
    """Modules that return their input times a gate from a pooled view of it, or plus one."""
    gates = [
        call.path
        for call in record.calls
        if _gives_one(call)
        and call.inputs
        and record.is_map(call.inputs[0])
        and record.values[call.outputs[0]].shape == record.values[call.inputs[0]].shape
        and any(_is_gate(record, call, op) for op in record.ops[call.start : call.end])
    ]
    return tuple(p for p in gates if not any(p.startswith(f"{other}.") for other in gates))


def _is_gate(record: Trace, call: Call, op: Op) -> bool:
    source = call.inputs[0]
    if op.outputs != call.outputs or len(op.inputs) != 2 or source not in op.inputs:
        return False
    gate = op.inputs[op.inputs[0] == source]
    smaller = record.values[gate].shape != record.values[source].shape
    if op.name not in ("mul", "mul_") and not (op.name in ("add", "add_") and smaller):
        return False
    made_by = [record.ops[index] for index in record.ancestors(gate, call)]
    from_source = any(source in made.inputs for made in made_by)
    return from_source and any(made.name in _POOLING for made in made_by)


def _cache_file(*key: object) -> Path:
    timm_version = import_timm().__version__
    digest = hashlib.sha256(repr((timm_version, VERSION, *key)).encode()).hexdigest()[:24]
    root = os.environ.get("ATTENTUNE_CACHE") or platformdirs.user_cache_dir("attentune")
    return Path(root) / "sites" / f"{digest}.json"


def _read(file: Path, backbone: str) -> SiteMap | None:
    try:
        return site_map_from_json({**json.loads(file.read_text()), "backbone": backbone})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: found again, written again


def _write(file: Path, found: SiteMap) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as draft:
            json.dump(site_map_to_json(found), draft)
        Path(draft.name).replace(file)
    except OSError:
        pass  # a read-only cache costs time, not answers
