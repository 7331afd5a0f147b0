"""From an architecture to a network: the plain backbone, its weights, then the attention.

The order is what makes results comparable. The backbone is made first and alone under its seed, so
that two architectures with one seed share its initial weights bit for bit; pretrained weights go
into the plain backbone, whose keys they fit; then the stem is changed, the backbone's own attention
removed, and ours inserted. Every inserted module is seeded by itself, from the seed, its place and
its kind, so that it does not depend on what else is inserted. The caller's random generator is left
as it was.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import AttentuneError
from ..architecture import Architecture, parse
from ..attentions.catalogue import attention
from ..backbones.discover import Stem, choose_stem, discover_sites, find_sites, strip_own_attention
from ..backbones.pretrained import pretrained_backbone
from ..backbones.sites import Anchor, SiteMap
from ..backbones.stem import shrink_stem
from ..backbones.timm_compat import check_backbone, import_timm, native_size, size_options
from .feature_extractor import Relocation, wanted
from .insert import Beside, Undo, insert, watch
from .placement import Placement, ResolvedOptions, placements

__all__ = ["build", "choose_stem", "create_model"]

# Arguments of timm that leave a backbone's modules and map sizes as they are.
_SAME_SITES = {
    *("in_chans", "drop_rate", "drop_path_rate", "global_pool"),
    *("features_only", "out_indices", "feature_cls"),
}


def create_model(
    architecture: str | Architecture,
    *,
    pretrained: bool = False,
    num_classes: int = 1000,
    stem: Stem = "native",
    image_size: int | None = None,
    seed: int | None = None,
    **timm_kwargs: Any,
) -> nn.Module:
    """A network from an architecture text, such as `resnet50+cbam(r=16)@s3.residual`.

    Like `timm.create_model`, whose further arguments it takes; `pretrained` weights of the backbone
    are kept. With `features_only=True` attention behind the last feature goes with the head.
    `image_size` (pixels, the backbone's own if not given) matters to attention and to backbones
    whose weights depend on the map's size. With `seed` the initial weights are reproducible;
    without, they come from torch's generator as usual.

    Raises ArchitectureError for a text or a place that means nothing here, BackboneError for a
    backbone that cannot be used, AttentuneError if weights cannot be had.
    """
    if isinstance(architecture, str):
        architecture = parse(architecture)
    return build(
        architecture,
        num_classes=num_classes,
        stem=stem,
        image_size=image_size,
        seed=seed,
        pretrained=pretrained,
        **timm_kwargs,
    )


def build(
    architecture: Architecture,
    *,
    num_classes: int,
    image_size: int | None,
    seed: int | None,
    stem: Stem = "native",
    in_chans: int = 3,
    pretrained: bool = False,
    weights: Path | None = None,
    **timm_kwargs: Any,
) -> nn.Module:
    """The network of `architecture` for pictures (N, in_chans, image_size, image_size).

    `pretrained` takes timm's published weights, `weights` a local file of the plain backbone
    instead. Raises as `create_model`, and AttentuneError naming the insertion whose parameters
    differ from its formula, which would be a bug.
    """
    check_backbone(architecture.backbone)
    image_size = image_size or native_size(architecture.backbone)
    sites = _sites(architecture, image_size, stem, timm_kwargs)
    fitted = placements(architecture, sites) if sites else []
    with _seeded(seed):
        name = architecture.backbone
        options = {"in_chans": in_chans, **size_options(name, image_size), **timm_kwargs}
        if not wanted(timm_kwargs):
            options["num_classes"] = num_classes
        if pretrained or weights is not None:
            model = pretrained_backbone(name, weights, **options)
        else:
            model = import_timm().create_model(name, **options)
    if sites:
        here = Relocation(model, name, timm_kwargs)
        if stem == "small":
            strides = here.paths(sites.stem_strides)
            shrink_stem(model, strides, keep_kernels=pretrained or weights is not None)
        if architecture.strip_attention:
            strip_own_attention(model, here.paths(sites.own_attention))
        insert_all(model, here, fitted, seed)
    return model


def _sites(
    architecture: Architecture, image_size: int, stem: Stem, timm_kwargs: dict[str, Any]
) -> SiteMap | None:
    """The site map, if anything has to be done to the plain backbone."""
    if architecture.bare and stem == "native":
        return None
    special = {name: v for name, v in timm_kwargs.items() if name not in _SAME_SITES}
    find = discover_sites if special else find_sites
    return find(
        architecture.backbone,
        image_size=image_size,
        stem=stem,
        strip_attention=architecture.strip_attention,
        **special,
    )


def insert_all(
    model: nn.Module, here: Relocation, fitted: list[Placement], seed: int | None
) -> list[Undo]:
    """Insert what was fitted into a prepared backbone; what is returned takes it out again.

    AttentuneError if the parameters differ from the formulas, or the backbone's keys change.
    """
    undo: list[Undo] = []
    before = _sizes(model)
    count = sum(before.values())
    groups: dict[Anchor, dict[str, nn.Module]] = {}
    named: Counter[tuple[Anchor, str]] = Counter()
    same: Counter[tuple[Anchor, str, ResolvedOptions]] = Counter()
    for placement in fitted:
        anchor, name = placement.site.anchor, placement.insertion.attention
        named[anchor, name] += 1
        same[anchor, name, placement.resolved_options] += 1
        child = name if named[anchor, name] == 1 else f"{name}_{named[anchor, name]}"
        module = _attention(placement, same[anchor, name, placement.resolved_options], seed)
        if attention(name).joins_convolution and placement.site.convolution:
            module = Beside(module)
            for path in here.paths((placement.site.convolution.module,)):
                undo += watch(model, path, module)
        groups.setdefault(anchor, {})[child] = module
    for anchor, group in groups.items():
        if place := here.anchor(anchor):
            undo += insert(model, place, group)
            count += sum(map(_count, group.values()))  # each of them by its formula
    after = _sizes(model)
    if sum(after.values()) != count or not before.keys() <= after.keys():
        raise AttentuneError(
            "inserting attention changed the backbone itself; please report the architecture"
        )
    return undo


def _attention(placement: Placement, copy: int, seed: int | None) -> nn.Module:
    entry = attention(placement.insertion.attention)
    with _seeded(seed, placement.site.anchor, entry.name, placement.resolved_options, copy):
        module = entry.load()(placement.site.channels, **placement.arguments)
    if (count := _count(module)) != placement.parameters:
        if entry.origin:
            raise AttentuneError(
                f"{placement} has {count:,} parameters where the formula of the attention "
                f"{entry.name!r} of {entry.origin} gives {placement.parameters:,}; correct its "
                "`parameters`, or leave them out to have them counted."
            )
        raise AttentuneError(
            f"{placement} has {count:,} parameters where its formula gives "
            f"{placement.parameters:,}; please report the architecture"
        )
    return module


@contextmanager
def _seeded(seed: int | None, *what: object) -> Iterator[None]:
    """Torch's CPU generator at a state of its own, the caller's put back after; None: nothing."""
    if seed is None:
        yield
        return
    if what:
        digest = hashlib.sha256(repr((seed, *what)).encode()).digest()
        seed = int.from_bytes(digest[:7])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _sizes(model: nn.Module) -> dict[str, int]:
    """Values of every parameter, by name, and 0 for every buffer."""
    sizes = dict.fromkeys((name for name, _ in model.named_buffers()), 0)
    return sizes | {name: parameter.numel() for name, parameter in model.named_parameters()}


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
