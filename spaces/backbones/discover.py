"""Insertion points of any timm backbone, found by running it once.

`find_sites("resnet18")` builds the backbone without memory for its weights (torch's meta device),
runs one picture of its own size through it under `trace`, reads stages and blocks from the trace
(`anatomy`), and asks for every block which positions it has (`positions`). Pictures of other sizes
have the same sites with other maps. Nothing is known about any class by name, but for one thing
that no trace can show: the order of Hiera's tokens (`rerolled`).

A pass takes some hundredths of a second to a second, so the answer is remembered in the process and
on disk (see `cache_folders`), by timm's version and by `VERSION` below.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...cache_folders import cache_folder
from ...errors import BackboneError
from ...files import atomic_write
from .hiera import mark_maps
from .positions import Locator, Positions
from .sites import Site, SiteMap, site_map_from_json, site_map_to_json
from .stages import Anatomy, anatomy
from .stem import Stem, shrink_stem
from .timm_compat import (
    check_backbone,
    has_fixed_size,
    import_timm,
    native_size,
    size_options,
    source_version,
)
from .trace import Call, Op, Trace, layout_of, map_shape, trace

VERSION = 4
"""Of what this module finds; raise it with every change that finds something else."""


def find_sites(
    backbone: str,
    *,
    image_size: int | None = None,
    stem: Stem = "native",
    strip_attention: bool = False,
) -> SiteMap:
    """All insertion points of `backbone` for square pictures of `image_size` pixels.

    Without a size, for those that the backbone is made for. With `strip_attention` those of the
    backbone after its own attention is removed. BackboneError if timm does not know the backbone,
    if it cannot be run, or if it has no place for an attention.
    """
    check_backbone(backbone)
    return _find_sites(backbone, image_size or native_size(backbone), stem, strip_attention)


def sites(
    backbone: str, *, image_size: int | None = None, stem: Stem = "native"
) -> tuple[Site, ...]:
    """All sites of a backbone: the points where an attention can be inserted.

    The command `attentune sites BACKBONE --json` prints the same list.

    Args:
        backbone: a timm model, such as `resnet50`.
        image_size: side of the square images in pixels; default: the size that the backbone was
            made for. Only the sizes of the maps depend on it.
        stem: `native`, or `small` for images much smaller than the backbone was made for.

    Returns:
        One `Site` for every stage, block and position that exists in this backbone, in the order
        of the network, with the map (channels, height, width) at that point.

    Raises:
        BackboneError: timm does not know the backbone, it cannot run on images of this size, or it
            has no site for an attention, as networks that work on tokens only.
    """
    return find_sites(backbone, image_size=image_size, stem=stem).sites


def choose_stem(backbone: str, image_size: int) -> Stem:
    """`small` if the last stage's native map would have fewer than 4×4 places, else `native`."""
    last = find_sites(backbone, image_size=image_size).sites[-1]
    if last.height * last.width >= 16:
        return "native"
    try:
        find_sites(backbone, image_size=image_size, stem="small")
    except BackboneError:
        return "native"
    return "small"


def strip_own_attention(model: nn.Module, paths: tuple[str, ...]) -> None:
    """Replace the backbone's own attention (a site map's `own_attention`) by the identity."""
    for path in paths:
        model.set_submodule(path, nn.Identity())


@cache
def _find_sites(backbone: str, image_size: int, stem: Stem, strip_attention: bool) -> SiteMap:
    name = backbone.partition(".")[0]
    file = _cache_file(name, image_size, stem, strip_attention)
    if (known := _read(file, backbone)) is not None:
        return known
    if image_size == native_size(backbone):
        found = _found(backbone, stem, strip_attention, {})
    else:
        native = _find_sites(backbone, native_size(backbone), stem, strip_attention)
        found = _resized(native, image_size, stem, strip_attention, {})
    _write(file, found)
    return found


def discover_sites(
    backbone: str,
    *,
    image_size: int | None = None,
    stem: Stem = "native",
    strip_attention: bool = False,
    **timm_kwargs: Any,
) -> SiteMap:
    """`find_sites` without any cache, for a backbone built with `timm_kwargs`."""
    native = _found(backbone, stem, strip_attention, timm_kwargs)
    if image_size in (None, native.image_size[0]):
        return native
    return _resized(native, image_size, stem, strip_attention, timm_kwargs)


def _found(
    backbone: str, stem: Stem, strip_attention: bool, timm_kwargs: dict[str, Any]
) -> SiteMap:
    """The sites on pictures of the backbone's own size."""
    if stem == "small" and has_fixed_size(backbone):
        raise BackboneError(
            f"{backbone} has no small stem: its weights depend on the size of the map"
        )
    size = native_size(backbone)
    model, record = _run(backbone, size, timm_kwargs)
    found = anatomy(record)
    own, strides = _own_attention(record), _stem_strides(record, found)
    if (strip_attention and own) or (stem == "small" and strides):
        _change(model, own if strip_attention else (), strides if stem == "small" else ())
        record = _second_pass(model, backbone, size, stem, strip_attention)
        found = anatomy(record)
    sites = _sites(record, found)
    if not sites:
        raise BackboneError(f"{backbone} has no place for an attention: {_why(record, found)}")
    here = {(site.stage, site.block) for site in sites}
    paths = tuple(b.call.path for b in found.blocks if (b.stage, b.number) in here)
    return SiteMap(backbone, (size, size), sites, own, strides, paths)


def _resized(
    native: SiteMap, size: int, stem: Stem, strip_attention: bool, timm_kwargs: dict[str, Any]
) -> SiteMap:
    """The same sites on pictures of another size, where only the maps are others.

    They are not looked for again: on tiny pictures stages end at one size, and what is a map can be
    ambiguous.
    """
    own = native.own_attention if strip_attention else ()
    strides = native.stem_strides if stem == "small" else ()
    model, record = _run(native.backbone, size, timm_kwargs)
    if own or strides:
        _change(model, own, strides)
        record = _second_pass(model, native.backbone, size, stem, strip_attention)
    calls = {call.path: call for call in record.calls}
    sites = []
    for site in native.sites:
        call = calls[site.module]
        value = record.values[(call.outputs if site.anchor[0] == "out" else call.inputs)[0]]
        shape = map_shape(value.shape, layout_of(site.anchor), value.grid)
        sites.append(replace(site, channels=shape[0], height=shape[1], width=shape[2]))
    return replace(native, image_size=(size, size), sites=tuple(sites))


def _change(model: nn.Module, own: tuple[str, ...], strides: tuple[str, ...]) -> None:
    strip_own_attention(model, own)
    shrink_stem(model, strides)


def _run(backbone: str, image_size: int, timm_kwargs: dict[str, Any]) -> tuple[nn.Module, Trace]:
    timm, name = import_timm(), backbone.partition(".")[0]
    failure: Exception | None = None
    for device in ("meta", "cpu"):  # a few models look at values, which meta tensors do not have
        try:
            with torch.device(device):
                model = timm.create_model(name, **size_options(name, image_size), **timm_kwargs)
            return model, _pass(model, image_size)
        except Exception as error:
            failure = failure or error
    raise BackboneError(
        f"{backbone} cannot be run on pictures of {image_size}×{image_size} pixels"
        f"{_reason(failure)}"
    ) from failure


def _second_pass(
    model: nn.Module, backbone: str, image_size: int, stem: Stem, stripped: bool
) -> Trace:
    try:
        return _pass(model, image_size)
    except Exception as error:
        how = ["without its own attention"] * stripped + ["with a small stem"] * (stem == "small")
        raise BackboneError(
            f"{backbone} does not run {' and '.join(how)}{_reason(error)}"
        ) from error


def _reason(error: Exception | None) -> str:
    text = str(error).strip().partition("\n")[0]
    return f": {text}" if text else ""


def _pass(model: nn.Module, image_size: int) -> Trace:
    weight = next(model.parameters())
    channels = getattr(model, "in_chans", None) or 3
    picture = torch.zeros(1, channels, image_size, image_size, device=weight.device)
    record = trace(model.eval(), picture)
    mark_maps(record, model)
    return record


def _sites(record: Trace, found: Anatomy) -> tuple[Site, ...]:
    locator = Locator(record, found)
    last = {block.stage: block for block in found.blocks}
    sites = []
    for block in found.blocks:
        points = Positions(record, block, locator).points()
        if block is last[block.stage]:
            holder = found.stages[block.stage]
            whole = holder is None or _gives_one(holder)  # HRNet's stages give several maps
            end = locator.point(holder.outputs[0]) if holder and whole else None
            if end := end or (points.get("post") if whole else None):
                points["stage"] = end
        for position, point in points.items():
            shape = record.map_shape(point.value)
            where, anchor = (block.stage, block.number, position), point.anchor
            sites.append(Site(*where, *shape, anchor[1], anchor, point.convolution))
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
    """Layers before the first block, and not in its stage, that pass over places of the map."""
    if not found.blocks:
        return ()
    first = found.blocks[0]
    holder = found.stages[first.stage]
    inside = f"{holder.path}." if holder else "."
    return tuple(
        call.path
        for call in record.calls[: first.call.index]
        if next(call.module.children(), None) is None
        and _gives_one(call)
        and record.is_map(call.outputs[0])
        and record.grid(call.outputs[0]) < record.grid(call.inputs[0])
        and _stride(call.module) > 1
        and not call.path.startswith(inside)
    )


def _stride(layer: nn.Module) -> int:
    stride = getattr(layer, "stride", 2)  # a layer that does not say and shrinks the map has one
    return max(stride) if isinstance(stride, tuple) else int(stride)


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


def _cache_file(name: str, *key: object) -> Path:
    known = repr((source_version(name), VERSION, name, *key))
    digest = hashlib.sha256(known.encode()).hexdigest()[:24]
    return cache_folder("sites") / f"{digest}.json"


def _read(file: Path, backbone: str) -> SiteMap | None:
    try:
        return site_map_from_json({**json.loads(file.read_text()), "backbone": backbone})
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent or damaged: found again, written again


def _write(file: Path, found: SiteMap) -> None:
    try:
        with atomic_write(file) as draft:
            draft.write_text(json.dumps(site_map_to_json(found)), "utf-8")
    except OSError:
        pass  # a read-only cache costs time, not answers
