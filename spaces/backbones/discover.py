"""Find the sites for attention in any timm backbone, by running it once.

`find_sites("resnet18")` builds the backbone without memory for its weights (torch's meta device),
traces it on one image of its own size, reads stages and blocks from the trace (`stages.py`), and
finds the positions of each block (`positions.py`). On images of other sizes the sites are the same,
and only the sizes of their maps differ. Nothing depends on the classes of timm, with one exception
that a trace cannot show: the order of Hiera's tokens (`hiera.py`).

A pass takes up to a second, so results are cached, in the process and on disk (see
`cache_folders`), by timm's version and by `VERSION` below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...cache_folders import cache_folder, read_cached_json, write_cached_json
from ...errors import BackboneError
from .hiera import mark_maps
from .network_sites import find_own_sites
from .own_backbone import check_own_stem, is_own_backbone, square_side
from .sites import ImageSize, Site, SiteMap, site_map_from_json, site_map_to_json
from .stages import BackboneStages, find_stages
from .stem import Stem, shrink_stem
from .timm_compat import (
    check_backbone,
    has_fixed_size,
    import_timm,
    native_size,
    size_options,
    source_version,
)
from .trace import Trace, layout_of, map_shape, trace_model
from .trace_sites import (
    explain_no_sites,
    find_own_attention,
    list_block_paths,
    list_sites,
    list_stripped_sites,
    locate_own_attention,
)

VERSION = 5
"""Version of the cached results. Raise it with every change of the sites that are found."""


MIN_LAST_MAP_LOCATIONS = 16
"""With fewer locations (H×W) in the map of its last stage, a backbone gets the small stem..."""
MAX_SMALL_IMAGE_SIDE = 48
"""...on images of up to so many pixels a side. On larger ones it costs several times the MACs, and
is only used if the last map would have a single location."""


def find_sites(
    backbone: str,
    *,
    image_size: ImageSize | None = None,
    stem: Stem = "native",
    in_chans: int = 3,
) -> SiteMap:
    """All sites of a backbone, with its stages, blocks and own attention, from a cache if possible.

    Args:
        backbone: a timm model, or a reference to a network of one's own.
        image_size: side of the square images in pixels; default: the backbone's own size.
        stem: `native` or `small`.
        in_chans: channels of the images, for a network of one's own.

    Raises:
        BackboneError: timm does not know the backbone, it cannot be run, or it has no site for an
            attention.
    """
    if is_own_backbone(backbone):
        check_own_stem(backbone, stem)
        return find_own_sites(backbone, image_size, in_chans)
    check_backbone(backbone)
    side = square_side(image_size, backbone) or native_size(backbone)
    return _find_sites(backbone, side, stem)


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
    """`small` if the last stage's map would have fewer than 4×4 locations, else `native`.

    On images of more than 48 pixels, `small` only if it would have a single one.
    """
    native, small = find_last_sites(backbone, image_size)
    is_small_image = image_size <= MAX_SMALL_IMAGE_SIDE
    too_few = native.height * native.width < (MIN_LAST_MAP_LOCATIONS if is_small_image else 2)
    return "small" if too_few and small is not None else "native"


def find_last_sites(backbone: str, image_size: int) -> tuple[Site, Site | None]:
    """The last site with the native stem, and with the small one.

    The latter is None if the small stem is not possible, as in a network of one's own, or the
    former has 4×4 locations or more.
    """
    native = find_sites(backbone, image_size=image_size).sites[-1]
    if native.height * native.width >= MIN_LAST_MAP_LOCATIONS or is_own_backbone(backbone):
        return native, None
    try:
        return native, find_sites(backbone, image_size=image_size, stem="small").sites[-1]
    except BackboneError:
        return native, None


@cache
def _find_sites(backbone: str, image_size: int, stem: Stem) -> SiteMap:
    name = backbone.partition(".")[0]
    file = _cache_file(name, image_size, stem)
    if (cached := _read_cache(file, backbone)) is not None:
        return cached
    if image_size == native_size(backbone):
        site_map = _discover_native(backbone, stem, {})
    else:
        native = _find_sites(backbone, native_size(backbone), stem)
        site_map = _resize(native, image_size, stem, {})
    _write_cache(file, site_map)
    return site_map


def discover_sites(
    backbone: str,
    *,
    image_size: int | None = None,
    stem: Stem = "native",
    **timm_kwargs: Any,
) -> SiteMap:
    """As `find_sites`, but without a cache, and for a backbone built with further arguments.

    Args:
        backbone: a timm model.
        image_size: side of the square images in pixels; default: the backbone's own size.
        stem: `native` or `small`.
        **timm_kwargs: further arguments of `timm.create_model`.
    """
    native = _discover_native(backbone, stem, timm_kwargs)
    if image_size in (None, native.image_size[0]):
        return native
    return _resize(native, image_size, stem, timm_kwargs)


def _discover_native(backbone: str, stem: Stem, timm_kwargs: dict[str, Any]) -> SiteMap:
    """The sites on images of the backbone's own size."""
    if stem != "native" and has_fixed_size(backbone):
        raise BackboneError(
            f"{backbone} has no small stem: its weights depend on the size of the map"
        )
    size = native_size(backbone)
    model, trace = _run(backbone, size, timm_kwargs)
    stages = find_stages(trace)
    own_paths, strides = find_own_attention(trace), _stem_strides(trace, stages)
    if stem != "native" and strides:
        shrink_stem(model, strides, keep_kernels=stem == "stride1")
        trace = _trace_small_stem(model, backbone, size)
        stages = find_stages(trace)
    site_list = list_sites(trace, stages)
    if not site_list:
        raise BackboneError(
            f"{backbone} has no site for an attention: {explain_no_sites(trace, stages)}; choose "
            "a backbone that works on feature maps, such as resnet18"
        )
    paths = list_block_paths(stages, site_list)
    own_attention = locate_own_attention(own_paths, trace, stages)
    stripped = list_stripped_sites(model, own_paths, lambda: _trace_backbone(model, size))
    return SiteMap(
        backbone,
        (size, size),
        site_list,
        own_attention,
        strides,
        paths,
        stripped_sites=stripped,
    )


def _resize(native: SiteMap, size: int, stem: Stem, timm_kwargs: dict[str, Any]) -> SiteMap:
    """The same sites on images of another size, where only the sizes of the maps differ.

    They are not discovered again, because on tiny images several stages can have maps of one size,
    and it can be ambiguous which tensors are maps.
    """
    model, trace = _run(native.backbone, size, timm_kwargs)
    if stem != "native" and native.stem_strides:
        shrink_stem(model, native.stem_strides, keep_kernels=stem == "stride1")
        trace = _trace_small_stem(model, native.backbone, size)
    return replace(
        native,
        image_size=(size, size),
        sites=_resize_sites(native.sites, trace),
        stripped_sites=_resize_sites(native.stripped_sites, trace),
    )


def _resize_sites(native: Iterable[Site], trace: Trace) -> tuple[Site, ...]:
    """Sites with the sizes that their maps have in a trace."""
    calls = {call.path: call for call in trace.calls}
    sites = []
    for site in native:
        call = calls[site.module]
        value = trace.values[(call.outputs if site.anchor[0] == "out" else call.inputs)[0]]
        shape = map_shape(value.shape, layout_of(site.anchor), value.grid)
        sites.append(replace(site, channels=shape[0], height=shape[1], width=shape[2]))
    return tuple(sites)


def _run(backbone: str, image_size: int, timm_kwargs: dict[str, Any]) -> tuple[nn.Module, Trace]:
    """Build a backbone and trace it."""
    timm, name = import_timm(), backbone.partition(".")[0]
    failure: Exception | None = None
    # A few models depend on values of tensors, and tensors on the meta device have none.
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                model = timm.create_model(name, **size_options(name, image_size), **timm_kwargs)
            return model, _trace_backbone(model, image_size)
        except Exception as error:
            failure = failure or error
    raise BackboneError(
        f"{backbone} cannot be run on images of {image_size}×{image_size} pixels"
        f"{_error_suffix(failure)}"
    ) from failure


def _trace_small_stem(model: nn.Module, backbone: str, image_size: int) -> Trace:
    try:
        return _trace_backbone(model, image_size)
    except Exception as error:
        raise BackboneError(
            f"{backbone} does not run with a small stem{_error_suffix(error)}"
        ) from error


def _error_suffix(error: Exception | None) -> str:
    text = str(error).strip().partition("\n")[0]
    return f": {text}" if text else ""


def _trace_backbone(model: nn.Module, image_size: int) -> Trace:
    weight = next(model.parameters())
    channels = getattr(model, "in_chans", None) or 3
    image = torch.zeros(1, channels, image_size, image_size, device=weight.device)
    trace = trace_model(model.eval(), image)
    mark_maps(trace, model)
    return trace


def _stem_strides(trace: Trace, stages: BackboneStages) -> tuple[str, ...]:
    """Paths of the layers before the first block, outside its stage, that shrink the map."""
    if not stages.blocks:
        return ()
    first = stages.blocks[0]
    stage_call = stages.stage_calls[first.stage]
    stage_prefix = f"{stage_call.path}." if stage_call else "."
    return tuple(
        call.path
        for call in trace.calls[: first.call.index]
        if next(call.module.children(), None) is None
        and len(call.outputs) == 1
        and trace.is_map(call.outputs[0])
        and trace.grid(call.outputs[0]) < trace.grid(call.inputs[0])
        and _stride(call.module) > 1
        and not call.path.startswith(stage_prefix)
    )


def _stride(layer: nn.Module) -> int:
    stride = getattr(layer, "stride", 2)  # The layer shrinks the map, so 2 is a lower bound.
    return max(stride) if isinstance(stride, tuple) else int(stride)


def _cache_file(name: str, *key: object) -> Path:
    full_key = repr((source_version(name), VERSION, name, *key))
    digest = hashlib.sha256(full_key.encode()).hexdigest()[:24]
    return cache_folder("sites") / f"{digest}.json"


def _read_cache(file: Path, backbone: str) -> SiteMap | None:
    content = read_cached_json(file)
    try:
        return None if content is None else site_map_from_json({**content, "backbone": backbone})
    except (ValueError, KeyError, TypeError):
        return None  # Another version wrote the file, and it will be written again.


def _write_cache(file: Path, site_map: SiteMap) -> None:
    # Without a cache, discovery only takes longer.
    with suppress(OSError):
        write_cached_json(file, site_map_to_json(site_map))
