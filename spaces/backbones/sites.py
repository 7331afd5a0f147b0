"""Sites as values: where an attention can be inserted, and the size of the map there.

A `SiteMap` holds all sites of a backbone, as `discover.py` finds them by running it once. It is
plain data: canonical texts, search spaces and the `sites` command use it without torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from ...errors import ArchitectureError, did_you_mean
from ..architecture import ALL, POSITIONS, Architecture, Insertion, Place, merge_places
from ..attentions.entry import Convolution
from ..attentions.registry import get_attention

ImageSize = int | tuple[int, int]
"""Side of square images, or (height, width), in pixels; timm's backbones take square ones."""
Anchor = tuple[str, ...]
"""How to reach a point of the network; see `positions.py`."""


def height_and_width(image_size: ImageSize) -> tuple[int, int]:
    """The height and the width of images of a size, in pixels."""
    return image_size if isinstance(image_size, tuple) else (image_size, image_size)


@dataclass(frozen=True)
class Site:
    """A point of a backbone where an attention can be inserted.

    Attributes:
        stage, block: counted from 1; a site at position `stage` has its stage's last block. Both
            are 0 for a module that is named by its path.
        position: one of `POSITIONS`.
        channels, height, width: size of the map (C, H, W) there, at the site map's image size.
        module: path of the module whose output or input is attended to.
        anchor: how to reach the point. Sites with equal anchors are aliases of one point (`post` of
            a block without addition is its `residual`, the last `post` of a stage is its `stage`).
        convolution: the layer whose output, after norm and activation, the map is; only at `mid`,
            and only where there is a single such layer.
    """

    stage: int
    block: int
    position: str
    channels: int
    height: int
    width: int
    module: str
    anchor: Anchor
    convolution: Convolution | None = None

    def accepts(self, name: str) -> bool:
        """Whether the attention `name` can be inserted at this position.

        Some attentions are defined for certain positions only, or need a convolution to replace.
        """
        entry = get_attention(name)
        if entry.needs_convolution and self.convolution is None:
            return False
        return not entry.positions or self.position in entry.positions

    @property
    def degenerate(self) -> bool:
        """Whether the map is 1×1, so that spatial attention has no effect."""
        return self.height * self.width == 1

    @property
    def label(self) -> str:
        """`s3b2.residual`, as in an architecture text; `{model.6}.post` for a module."""
        where = f"s{self.stage}b{self.block}" if self.stage else f"{{{self.module}}}"
        return f"{where}.{self.position}"

    def to_json(self) -> dict[str, Any]:
        """One entry of `attentune sites --json`: all but `anchor` and `convolution`."""
        fields = asdict(self)
        del fields["anchor"], fields["convolution"]
        return fields


@dataclass(frozen=True)
class OwnAttention:
    """An attention that the backbone itself has, such as the SE of EfficientNet.

    Attributes:
        stage, block: where it is, counted from 1. `block` is 0 if it belongs to its stage but to no
            block, and both are 0 outside the stages.
        module: its path.
        parameters: their number.
    """

    stage: int
    block: int
    module: str
    parameters: int


@dataclass(frozen=True)
class SiteMap:
    """All sites of one backbone at one image size.

    Attributes:
        backbone: a timm model.
        image_size: (height, width) of the images in pixels.
        sites: in the order of the network.
        own_attention: the backbone's own attention modules, in the order of the network.
        stripped_sites: the sites once all own attention is removed; empty if there is none, or if
            the backbone does not run without it.
        stem_strides: paths of the layers before the first block that shrink the map.
        block_paths: paths of all blocks, stage after stage.
        module_sites: the inputs (`pre`) and outputs (`post`) of modules, in a network that is not
            one of timm's by name.
    """

    backbone: str
    image_size: tuple[int, int]
    sites: tuple[Site, ...]
    own_attention: tuple[OwnAttention, ...] = ()
    stem_strides: tuple[str, ...] = ()
    block_paths: tuple[str, ...] = ()
    module_sites: tuple[Site, ...] = ()
    stripped_sites: tuple[Site, ...] = ()

    @cached_property
    def blocks(self) -> dict[int, int]:
        """By stage, its number of blocks."""
        counts: dict[int, int] = {}
        for site in self.sites:
            counts[site.stage] = max(counts.get(site.stage, 0), site.block)
        return counts

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions that exist in at least one block, in canonical order."""
        present = {site.position for site in self.sites}
        return tuple(position for position in POSITIONS if position in present)

    def block_path(self, stage: int, block: int) -> str:
        """Path of the module of a block."""
        preceding = sum(count for number, count in self.blocks.items() if number < stage)
        return self.block_paths[preceding + block - 1]

    def own_attention_at(self, places: Iterable[Place]) -> tuple[OwnAttention, ...]:
        """The backbone's own attention at some places, in the order of the network.

        Raises:
            ArchitectureError: a place does not exist in this backbone, or has no attention of its
                own. That `ALL` has none is no error.
        """
        chosen: set[OwnAttention] = set()
        for place in places:
            there = {own for own in self.own_attention if place.covers(own.stage, own.block)}
            if not there and place != ALL:
                raise ArchitectureError(self._explain_no_own_attention(place))
            chosen |= there
        return tuple(own for own in self.own_attention if own in chosen)

    def without_own_attention(self, places: tuple[Place, ...]) -> SiteMap:
        """The site map of the backbone whose own attention at some places is removed.

        Removing an attention changes the sites of its own block only. For an attention outside
        blocks, these are the sites of its stage.

        Raises:
            ArchitectureError: as `own_attention_at`, or the backbone does not run without it.
        """
        removed = self.own_attention_at(places)
        if not removed:
            return self
        if not self.stripped_sites:
            raise ArchitectureError(f"{self.backbone} does not run without its own attention")
        changed = frozenset((own.stage, own.block) for own in removed)
        if changed not in self._maps_after_removal:
            self._maps_after_removal[changed] = replace(self, sites=self._sites_after(changed))
        return self._maps_after_removal[changed]

    @cached_property
    def _maps_after_removal(self) -> dict[frozenset[tuple[int, int]], SiteMap]:
        return {}

    def _sites_after(self, changed: frozenset[tuple[int, int]]) -> tuple[Site, ...]:
        """The sites once own attention is removed from blocks, or from stages with the block 0."""
        stripped = _group_by_block(self.stripped_sites)
        is_changed = {*changed, *((stage, n) for stage, n in stripped if (stage, 0) in changed)}
        return tuple(
            site
            for block, sites in _group_by_block(self.sites).items()
            for site in (stripped.get(block, ()) if block in is_changed else sites)
        )

    def sites_at(self, place: Place, position: str) -> list[Site]:
        """The sites of one place and position; empty if there are none."""
        if place.module:
            sites = (site for site in self.module_sites if site.module == place.module)
            return [site for site in sites if site.position == position]
        return [
            s for s in self._sites_by_position.get(position, ()) if place.covers(s.stage, s.block)
        ]

    @cached_property
    def _sites_by_position(self) -> dict[str, list[Site]]:
        by_position: dict[str, list[Site]] = {}
        for site in self.sites:
            by_position.setdefault(site.position, []).append(site)
        return by_position

    @cached_property
    def _order(self) -> dict[Anchor, int]:
        modules = {site.anchor: index for index, site in enumerate(self.module_sites)}
        return modules | {site.anchor: index for index, site in enumerate(self.sites)}

    def select_sites(self, insertion: Insertion) -> list[Site]:
        """The sites that an insertion names, in the order of the network.

        Raises:
            ArchitectureError: a place does not exist in this backbone or does not have the
                position, the attention is defined for other positions only, or its reduction ratio
                exceeds the channels of a site, unless its paper sets a least hidden width.
        """
        selected: dict[Anchor, Site] = {}
        for place in insertion.places:
            sites = self.sites_at(place, insertion.position)
            if not sites:
                raise ArchitectureError(self._explain_missing(place, insertion.position))
            selected.update({site.anchor: self._accepting_alias(insertion, site) for site in sites})
        r = insertion.settings.get("r")
        narrowest = min(selected.values(), key=lambda site: site.channels)
        has_floor = get_attention(insertion.attention).floor > 1
        if type(r) is int and r > narrowest.channels and not has_floor:
            raise ArchitectureError(
                f"{insertion.attention}(r={r}) needs at least {r} channels, but "
                f"{narrowest.label} of {self.backbone} has {narrowest.channels}; "
                f"use r ≤ {narrowest.channels}"
            )
        return sorted(selected.values(), key=lambda site: self._order[site.anchor])

    def _accepting_alias(self, insertion: Insertion, site: Site) -> Site:
        """The site, or an alias of it, that accepts the attention; else ArchitectureError."""
        if site.accepts(insertion.attention):
            return site
        for alias in self.sites:
            if alias.anchor == site.anchor and alias.accepts(insertion.attention):
                return alias
        allowed = get_attention(insertion.attention).positions
        where = f"not at {site.label} of {self.backbone}"
        if site.position in allowed:
            where += ", which follows no single convolution"
        raise ArchitectureError(
            f"{insertion.attention} has a meaning only at {' or '.join(allowed)}, {where}"
        )

    def check_architecture(self, architecture: Architecture) -> None:
        """Raise ArchitectureError if an insertion names a site that this backbone does not have, or
        a removal a place without own attention."""
        sites = self.without_own_attention(architecture.removed)
        for insertion in architecture.insertions:
            sites.select_sites(insertion)

    def _explain_missing(self, place: Place, position: str) -> str:
        if place.module:
            return self._explain_missing_module(place, position)
        if not self.sites:
            module = self.module_sites[0].module if self.module_sites else "stem"
            return (
                f"{self.backbone} has no stages and blocks; name its modules by their paths, such "
                f"as @{{{module}}}.post"
            )
        if missing := self._explain_missing_place(place):
            return missing
        existing = {s.position for s in self.sites if place.covers(s.stage, s.block)}
        positions = [p for p in POSITIONS if p in existing]
        return f"{self.backbone} has no {position} at {place}{did_you_mean(position, positions)}"

    def _explain_missing_place(self, place: Place) -> str | None:
        """What is wrong with a place that names a stage or block that does not exist; else None."""
        stages = self.blocks
        if place.first and (place.first not in stages or place.last not in stages):
            return f"{self.backbone} has no {place}; its stages are s1 to s{max(stages)}"
        if place.block and place.block > stages[place.first]:
            return (
                f"{self.backbone} has no {place}; its s{place.first} has blocks "
                f"b1 to b{stages[place.first]}"
            )
        return None

    def _explain_no_own_attention(self, place: Place) -> str:
        if not self.own_attention:
            return f"{self.backbone} has no attention of its own to remove"
        if missing := self._explain_missing_place(place):
            return missing
        stages = dict.fromkeys(f"s{own.stage}" for own in self.own_attention if own.stage)
        blocks = dict.fromkeys(
            f"s{own.stage}b{own.block}"
            for own in self.own_attention
            if own.stage == place.first and own.block and place.block
        )
        there = "outside its stages, where attention=none removes it"
        if names := blocks or stages:
            there = f"in {', '.join(names)}"
        return f"{self.backbone} has no attention of its own in {place}, but {there}"

    def name_own_attention(self, removed: Iterable[OwnAttention]) -> tuple[Place, ...]:
        """The places that hold exactly this own attention of the backbone, as few as possible."""
        chosen = {(own.stage, own.block) for own in removed}
        blocks = [(own.stage, own.block) for own in self.own_attention]
        return merge_places(write_places(blocks, chosen))

    def _explain_missing_module(self, place: Place, position: str) -> str:
        if not self.module_sites:
            return (
                f"{place} names a module, which only attentune.insert can look up; name stages or "
                f"blocks of {self.backbone}, such as s1 or s1b1"
            )
        paths = {site.module for site in self.module_sites}
        if place.module in paths:
            return f"modules have the positions pre and post, so there is no {place}.{position}"
        hint = did_you_mean(place.module, sorted(paths))
        return (
            f"{self.backbone} has no module {place.module} that runs once in a pass, and receives "
            f"and returns maps{hint}"
        )


def _group_by_block(sites: Iterable[Site]) -> dict[tuple[int, int], list[Site]]:
    groups: dict[tuple[int, int], list[Site]] = {}
    for site in sites:
        groups.setdefault((site.stage, site.block), []).append(site)
    return groups


def write_places(
    blocks: Sequence[tuple[int, int]], chosen: Collection[tuple[int, int]]
) -> tuple[Place, ...]:
    """The places that hold exactly the chosen ones of some blocks, as few as possible.

    Args:
        blocks: (stage, block) of all that could be chosen, in the order of the network.
        chosen: some of them.
    """
    if all(block in chosen for block in blocks):
        return (ALL,)
    partial = {stage for stage, block in blocks if (stage, block) not in chosen}
    whole = sorted({stage for stage, _ in blocks} - partial)
    single = [
        Place(stage, stage, block)
        for stage, block in dict.fromkeys(blocks)
        if stage in partial and (stage, block) in chosen
    ]
    return (*_stage_ranges(whole, partial), *single)


def _stage_ranges(stages: Iterable[int], partial: set[int]) -> Iterator[Place]:
    """Merge stages into ranges. A range may include stages that have none of the blocks, but none
    of `partial`, of which some blocks are not chosen."""
    first = last = 0
    for stage in stages:
        if first and not any(last < other < stage for other in partial):
            last = stage
            continue
        if first:
            yield Place(first, last)
        first = last = stage
    if first:
        yield Place(first, last)


def site_map_to_json(site_map: SiteMap) -> dict[str, Any]:
    """A site map as JSON, for the cache on disk."""
    return asdict(site_map)


def site_map_from_json(data: dict[str, Any]) -> SiteMap:
    """The inverse of `site_map_to_json`."""
    sites: Iterable[dict[str, Any]] = data["sites"]
    return SiteMap(
        data["backbone"],
        (data["image_size"][0], data["image_size"][1]),
        tuple(map(_site_from_json, sites)),
        tuple(OwnAttention(**own) for own in data["own_attention"]),
        tuple(data["stem_strides"]),
        tuple(data["block_paths"]),
        stripped_sites=tuple(map(_site_from_json, data["stripped_sites"])),
    )


def _site_from_json(data: dict[str, Any]) -> Site:
    convolution = data["convolution"] and Convolution(**data["convolution"])
    return Site(**{**data, "anchor": tuple(data["anchor"]), "convolution": convolution})
