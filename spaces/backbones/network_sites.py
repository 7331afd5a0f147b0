"""Find the sites for attention in a network of one's own, by running it once on an example.

Stages, blocks and positions are found as in timm's backbones (`discover.py`). Besides, every module
that runs once, and receives or returns a map, is a site under its own path: its input is `pre`, its
output `post`. So attention can also be inserted where there are no blocks, as in the neck of a
detector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import BackboneError, UsageError
from .own_backbone import DEFAULT_SIZE_PIXELS, make_own_network
from .positions import InsertionPointFinder
from .sites import ImageSize, Site, SiteMap, height_and_width
from .stages import BackboneStages, find_stages
from .trace import Trace, trace_model
from .trace_sites import (
    explain_no_sites,
    find_own_attention,
    list_block_paths,
    list_sites,
    list_stripped_sites,
    locate_own_attention,
)


def find_network_sites(model: nn.Module, example: Tensor | Sequence[Any]) -> SiteMap:
    """All sites of a network.

    It runs once, in evaluation mode and without gradients, and once more without its own attention,
    if it has any. Its modes and modules are restored.

    Args:
        model: the network.
        example: its input: images (N, C, H, W), or all its arguments, the first of them images.

    Raises:
        UsageError: the example is no batch of images.
        BackboneError: the network does not run on it, or computes no maps.
    """
    name = type(model).__name__
    arguments = tuple(example) if isinstance(example, tuple | list) else (example,)
    image = arguments[0] if arguments else None
    if not isinstance(image, Tensor) or image.ndim != 4:
        shape = tuple(image.shape) if isinstance(image, Tensor) else f"a {type(image).__name__}"
        raise UsageError(
            f"the example is {shape}; attentune needs images (N, C, H, W) to run {name} on, such "
            "as torch.zeros(1, 3, 224, 224)"
        )
    trace = _trace(model, name, arguments)
    own_paths = find_own_attention(trace)
    stages = find_stages(trace)
    sites, modules = list_sites(trace, stages), tuple(_module_sites(model, trace, stages))
    if not sites and not modules:
        raise BackboneError(
            f"{name} has no site for an attention: {explain_no_sites(trace, stages)}"
        )
    paths = list_block_paths(stages, sites)
    size = (int(image.shape[2]), int(image.shape[3]))
    own_attention = locate_own_attention(own_paths, trace, stages)
    stripped = list_stripped_sites(model, own_paths, lambda: _trace(model, name, arguments))
    return SiteMap(name, size, sites, own_attention, (), paths, modules, stripped)


@cache
def find_own_sites(
    reference: str,
    image_size: ImageSize | None = None,
    in_chans: int = 3,
) -> SiteMap:
    """All sites of a network of one's own.

    Args:
        reference: `my_module:make_model`.
        image_size: side of square images, or (height, width), in pixels; None: 224.
        in_chans: channels of the images.

    Raises:
        UsageError: the reference cannot be imported.
        BackboneError: it makes no network, or the network cannot be run or has no site.
    """
    height, width = height_and_width(image_size or DEFAULT_SIZE_PIXELS)
    with torch.random.fork_rng(devices=[]):
        model = make_own_network(reference, in_chans=in_chans)
        example = torch.zeros(1, in_chans, height, width)
        try:
            site_map = find_network_sites(model, example)
        except UsageError as error:
            raise BackboneError(str(error)) from error
    return replace(site_map, backbone=reference)


def _trace(model: nn.Module, name: str, arguments: tuple[Any, ...]) -> Trace:
    with _evaluation_mode(model):
        try:
            return trace_model(model, *arguments)
        except Exception as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise BackboneError(f"{name} does not run on the example: {reason}") from error


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Inside the context all modules are in evaluation mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _module_sites(model: nn.Module, trace: Trace, stages: BackboneStages) -> Iterator[Site]:
    """Inputs and outputs of modules that run once."""
    finder = InsertionPointFinder(trace, stages)
    for call in trace.calls:
        if not call.path or trace.times_called[call.path] > 1 or _is_merged(model, call.path):
            continue
        ends = (("pre", "in", call.inputs[:1]), ("post", "out", call.outputs))
        for position, kind, values in ends:
            if len(values) == 1 and trace.is_map(values[0]):
                anchor = finder.make_point(values[0], kind, call.path).anchor
                yield Site(0, 0, position, *trace.map_shape(values[0]), call.path, anchor)


def _is_merged(model: nn.Module, path: str) -> bool:
    """Whether a block around a module merges its layers into one, and so drops attention between
    them. Ultralytics' `Conv` does it before a network is validated."""
    names = path.split(".")
    blocks = (".".join(names[:depth]) for depth in range(1, len(names)))
    return any(hasattr(model.get_submodule(block), "forward_fuse") for block in blocks)
