"""From an architecture to a network: the plain backbone, its weights, then the attention.

The order makes results comparable. The backbone is made first, alone, under its seed, so that two
architectures with one seed share its initial weights bit for bit. Pretrained weights are loaded
into the plain backbone, whose keys they fit. Then the stem is changed, the backbone's own attention
removed, and the attention of the architecture inserted. Each inserted module is seeded separately,
from the seed, its site and its options, so that its weights do not depend on what else is inserted.
The state of torch's global random generator is restored.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import AttentionError, AttentuneError
from ..architecture import Architecture, parse
from ..attentions.registry import get_attention
from ..backbones.discover import discover_sites, find_sites
from ..backbones.own_backbone import is_own_backbone, make_own_network, square_side
from ..backbones.pretrained import FEATURE_ARGUMENTS, pretrained_backbone
from ..backbones.sites import Anchor, ImageSize, OwnAttention, SiteMap
from ..backbones.stem import Stem, shrink_stem
from ..backbones.timm_compat import check_backbone, import_timm, native_size, size_options
from ..backbones.trace_sites import remove_own_attention
from .attended_module import find_slots, visible_name, visible_parameters
from .attention_checks import label_attention
from .feature_extractor import ModuleLocator, requests_features
from .insert import ConvolutionAwareAttention, Remover, connect_convolution, insert_attentions
from .insertion_observer import current_observer
from .placement import Placement, ResolvedOptions, placements
from .scriptable_slots import prepare_slots

_SITE_PRESERVING_ARGUMENTS = {
    *("in_chans", "drop_rate", "drop_path_rate", "global_pool"),
    *FEATURE_ARGUMENTS,
}
"""Arguments of `timm.create_model` that change neither a backbone's modules nor its map sizes."""


@dataclass(frozen=True)
class InsertedAttention:
    """One attention in a network: `module` is its path there (`layer1.0.bn2.attention.se`)."""

    placement: Placement
    module: str


@dataclass(frozen=True)
class InsertedAttentions:
    """The attentions that `insert_all` has inserted into a network.

    Attributes:
        attentions: in the order of the placements, without those behind the last feature of a
            feature extractor.
        removers: functions that remove them, to be called in any order.
    """

    attentions: tuple[InsertedAttention, ...]
    removers: tuple[Remover, ...]

    def remove(self) -> None:
        """Remove all of them from the network."""
        for remove in self.removers:
            remove()


def create_model(
    architecture: str | Architecture,
    *,
    pretrained: bool = False,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    stem: Stem = "native",
    image_size: int | None = None,
    seed: int | None = None,
    **timm_kwargs: Any,
) -> nn.Module:
    """Create a network from an architecture text, such as `resnet50+cbam(r=16)@s3.residual`.

    Works like `timm.create_model`. The weights of the backbone, pretrained or not, are those that
    timm would give it.

    Args:
        architecture: the text, or a parsed `Architecture`.
        pretrained: load timm's published weights of the backbone. Inserted attentions have none.
        weights: a local file with weights of the plain backbone (.safetensors, .pth or .pt), in
            place of the published ones. A head for other classes is left out; what else does not
            fit is logged.
        num_classes: number of outputs of the classifier; default: that of timm for the backbone.
        stem: `native`, or `small` for images much smaller than the backbone was made for.
        image_size: side of the square images in pixels; default: the backbone's own size. It
            matters to backbones and attentions whose weights depend on it.
        seed: seed of all initial weights; None draws them from torch's global generator.
        **timm_kwargs: further arguments of `timm.create_model`. With `features_only=True`,
            attention behind the last feature is left out together with the head.

    Raises:
        ArchitectureError: the text is wrong, or names a site that this backbone does not have.
        BackboneError: timm does not know the backbone, or it has no sites for attention.
        AttentuneError: pretrained weights do not exist, cannot be downloaded, or do not fit.
    """
    if isinstance(architecture, str):
        architecture = parse(architecture)
    return build_network(
        architecture,
        num_classes=num_classes,
        stem=stem,
        image_size=image_size,
        seed=seed,
        pretrained=pretrained,
        weights=None if weights is None else Path(weights),
        **timm_kwargs,
    )


def build_network(
    architecture: Architecture,
    *,
    num_classes: int | None,
    image_size: ImageSize | None,
    seed: int | None,
    stem: Stem = "native",
    in_chans: int = 3,
    pretrained: bool = False,
    weights: Path | None = None,
    **timm_kwargs: Any,
) -> nn.Module:
    """The network of `architecture`, in training mode.

    Args:
        architecture: backbone and insertions.
        num_classes: number of outputs of the classifier; None: timm's number for the backbone. A
            network of one's own has its own number, unless its function takes `num_classes`.
        image_size: side of the square images in pixels; None: the backbone's own size.
        seed: seed of all initial weights; None draws them from torch's global generator.
        stem: `native`, `small` or `stride1`.
        in_chans: channels of the images (N, in_chans, image_size, image_size).
        pretrained: load timm's published weights of the backbone.
        weights: a local file with weights of the plain backbone, instead of the published ones.
        **timm_kwargs: further arguments of `timm.create_model`.

    Raises:
        ArchitectureError, BackboneError: as `create_model`.
        AttentuneError: weights cannot be loaded; or the number of parameters of an insertion
            differs from its formula, which would be a bug.
    """
    if is_own_backbone(architecture.backbone):
        return _build_own_network(architecture, num_classes, image_size, in_chans, seed)
    check_backbone(architecture.backbone)
    side = square_side(image_size, architecture.backbone)
    image_size = side or native_size(architecture.backbone)
    site_map = _required_site_map(architecture, image_size, stem, timm_kwargs)
    placed = placements(architecture, site_map) if site_map else []
    with _seeded_generator(seed):
        name = architecture.backbone
        options = {"in_chans": in_chans, **size_options(name, image_size), **timm_kwargs}
        if num_classes is not None and not requests_features(timm_kwargs):
            options["num_classes"] = num_classes
        if pretrained or weights is not None:
            model = pretrained_backbone(name, weights, **options)
        else:
            model = import_timm().create_model(name, **options)
    if site_map is None:
        return model
    locator = ModuleLocator(model, name, timm_kwargs)
    if stem != "native":
        strides = locator.find_paths(site_map.stem_strides)
        keep_kernels = stem == "stride1" or pretrained or weights is not None
        shrink_stem(model, strides, keep_kernels=keep_kernels)
    remove_own(model, locator, site_map.own_attention_at(architecture.removed))
    insert_all(model, locator, placed, seed)
    return model


def _build_own_network(
    architecture: Architecture,
    num_classes: int | None,
    image_size: ImageSize | None,
    in_chans: int,
    seed: int | None,
) -> nn.Module:
    """The network of an architecture whose backbone is a network of one's own.

    Args:
        architecture: its backbone is a reference such as `my_module:make_model`.
        num_classes: passed to the function if it takes them.
        image_size: side of the images, or (height, width), in pixels.
        in_chans: channels of the images; passed to the function if it takes them.
        seed: of all initial weights.
    """
    site_map = find_sites(architecture.backbone, image_size=image_size, in_chans=in_chans)
    placed = placements(architecture, site_map)
    with _seeded_generator(seed):
        model = make_own_network(architecture.backbone, num_classes=num_classes, in_chans=in_chans)
    locator = ModuleLocator(model, architecture.backbone)
    remove_own(model, locator, site_map.own_attention_at(architecture.removed))
    insert_all(model, locator, placed, seed)
    return model


def _required_site_map(
    architecture: Architecture, image_size: int, stem: Stem, timm_kwargs: dict[str, Any]
) -> SiteMap | None:
    """The backbone's site map; None if the network is the plain backbone."""
    if architecture.bare and stem == "native":
        return None
    special = {
        name: value for name, value in timm_kwargs.items() if name not in _SITE_PRESERVING_ARGUMENTS
    }
    find = discover_sites if special else find_sites
    return find(architecture.backbone, image_size=image_size, stem=stem, **special)


def remove_own(
    model: nn.Module, locator: ModuleLocator, removed: Sequence[OwnAttention]
) -> Remover:
    """Remove attention of the backbone itself, in place.

    Args:
        model: the backbone.
        locator: finds the modules of the backbone's site map in `model`.
        removed: what to remove; what is behind the last feature of a feature extractor is absent.

    Returns:
        A function that puts it back.

    Raises:
        AttentuneError: the number of parameters did not fall by that of the site map.
    """
    before = _count_parameters(model) if removed else 0
    paths = {path: own for own in removed for path in locator.find_paths((own.module,))}
    restore = remove_own_attention(model, paths)
    if removed and before - _count_parameters(model) != sum(o.parameters for o in paths.values()):
        raise AttentuneError(
            "removing the backbone's own attention changed the rest of it; please report the "
            "architecture"
        )
    return restore


def insert_all(
    model: nn.Module, locator: ModuleLocator, placed: list[Placement], seed: int | None
) -> InsertedAttentions:
    """Insert the attentions of an architecture into a prepared backbone, in place.

    Args:
        model: the backbone, with its stem changed and its own attention removed already.
        locator: finds the anchors of the backbone's site map in `model`.
        placed: the attentions and their sites, see `placements`.
        seed: seed of their weights; None draws them from torch's global generator.

    Raises:
        AttentuneError: numbers of parameters differ from their formulas, or the keys of the
            backbone have changed.
    """
    removers: list[Remover] = []
    slots = find_slots(model)
    sizes_before = _state_sizes(model)
    expected = sum(sizes_before.values())
    groups: dict[Anchor, dict[str, nn.Module]] = {}
    names = name_attentions(placed)
    for placement, name, copy in zip(placed, names, _number_copies(placed), strict=True):
        module = _make_attention(placement, copy, seed)
        convolution = placement.site.convolution
        if get_attention(placement.insertion.attention).needs_convolution and convolution:
            module = ConvolutionAwareAttention(module)
            for path in locator.find_paths((convolution.module,)):
                removers.append(connect_convolution(model, path, module, slots))
        groups.setdefault(placement.site.anchor, {})[name] = module
    containers: dict[Anchor, str] = {}
    for anchor, group in groups.items():
        if model_anchor := locator.find_anchor(anchor):
            containers[anchor], group_removers = insert_attentions(
                model, model_anchor, group, slots
            )
            removers += group_removers
            expected += sum(map(_count_parameters, group.values()))
    removers.append(prepare_slots(model))
    sizes_after = _state_sizes(model)
    if sum(sizes_after.values()) != expected or not sizes_before.keys() <= sizes_after.keys():
        raise AttentuneError(
            "inserting attention changed the backbone itself; please report the architecture"
        )
    inserted = [
        InsertedAttention(placement, f"{containers[placement.site.anchor]}.{name}")
        for placement, name in zip(placed, names, strict=True)
        if placement.site.anchor in containers
    ]
    if inserted and (observer := current_observer()):
        observer.on_insert(model)
    return InsertedAttentions(tuple(inserted), tuple(removers))


def name_attentions(placed: list[Placement]) -> list[str]:
    """The name of each attention among those at its anchor: `se`, and `se_2` for a second one."""
    counts: Counter[tuple[Anchor, str]] = Counter()
    names = []
    for placement in placed:
        anchor, name = placement.site.anchor, placement.insertion.attention
        counts[anchor, name] += 1
        number = counts[anchor, name]
        names.append(name if number == 1 else f"{name}_{number}")
    return names


def _number_copies(placed: list[Placement]) -> list[int]:
    """The number of each attention among the equal ones at its anchor, counted from 1."""
    counts: Counter[tuple[Anchor, str, ResolvedOptions]] = Counter()
    copies = []
    for placement in placed:
        key = placement.site.anchor, placement.insertion.attention, placement.resolved_options
        counts[key] += 1
        copies.append(counts[key])
    return copies


def _make_attention(placement: Placement, copy: int, seed: int | None) -> nn.Module:
    """The module of a placement; `copy` counts equal ones at one anchor from 1."""
    entry = get_attention(placement.insertion.attention)
    key = (placement.site.anchor, entry.name, placement.resolved_options, copy)
    try:
        with _seeded_generator(seed, *key):
            module = entry.load()(placement.site.channels, **placement.arguments)
    except AttentionError as error:
        raise AttentionError(f"{placement.label} cannot be used: {error}") from error
    label_attention(module, placement.label, of_user=bool(entry.origin))
    if (count := _count_parameters(module)) != placement.parameters:
        if entry.origin:
            raise AttentionError(
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
def _seeded_generator(seed: int | None, *key: object) -> Iterator[None]:
    """Seed torch's CPU generator with `seed` and `key`, and restore its state afterwards.

    Without a seed the generator stays as it is.
    """
    if seed is None:
        yield
        return
    if key:
        digest = hashlib.sha256(repr((seed, *key)).encode()).digest()
        seed = int.from_bytes(digest[:7])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _state_sizes(model: nn.Module) -> dict[str, int]:
    """Number of values of all parameters by their keys in a state dict, and 0 for all buffers."""
    sizes = {visible_name(name): 0 for name, _ in model.named_buffers()}
    return sizes | {name: parameter.numel() for name, parameter in visible_parameters(model)}


def _count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
