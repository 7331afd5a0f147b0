"""Insertion points as values: where a backbone can take an attention, and how large the map is.

A `SiteMap` is what running a backbone once has shown (`discover.py` does the running). It is plain
data: canonical texts, search spaces and the `sites` command work on it without torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ...errors import ArchitectureError, did_you_mean
from ..architecture import POSITIONS, Architecture, Insertion, Place
from ..attentions.entry import Convolution
from ..attentions.registry import attention

Anchor = tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """One insertion point.

    Attributes:
        stage, block: counted from 1; a `stage` site carries its stage's last block.
        position: one of `POSITIONS`.
        channels, height, width: the map (C, H, W) there, at the site map's image size.
        module: path of the module at whose border the attention goes.
        anchor: what makes two sites one point of the network: sites with equal anchors are
            aliases (`post` of a block without addition is its `residual`, the last `post` of a
            stage is its `stage`).
        convolution: the one whose output the map is, norm and activation aside; only at `mid`.
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
        """Whether the attention of that name has a meaning at this site, by any of its names."""
        entry = attention(name)
        if entry.joins_convolution and self.convolution is None:
            return False
        return not entry.positions or self.position in entry.positions

    @property
    def degenerate(self) -> bool:
        """A 1×1 map, where spatial attention means nothing."""
        return self.height * self.width == 1

    @property
    def label(self) -> str:
        """`s3b2.residual`, as in an architecture text."""
        return f"s{self.stage}b{self.block}.{self.position}"

    def to_json(self) -> dict[str, Any]:
        """The contract of `attentune sites --json`."""
        fields = asdict(self)
        del fields["anchor"], fields["convolution"]
        return fields


@dataclass(frozen=True)
class SiteMap:
    """All sites of one backbone at one image size, in the order of the network.

    `own_attention` names the modules of the attention that the backbone itself carries,
    `stem_strides` the layers before the first block that make the picture smaller, `block_paths`
    the modules of all blocks in the order of the network.
    """

    backbone: str
    image_size: tuple[int, int]
    sites: tuple[Site, ...]
    own_attention: tuple[str, ...] = ()
    stem_strides: tuple[str, ...] = ()
    block_paths: tuple[str, ...] = ()

    @cached_property
    def blocks(self) -> dict[int, int]:
        """Number of blocks of every stage."""
        counts: dict[int, int] = {}
        for site in self.sites:
            counts[site.stage] = max(counts.get(site.stage, 0), site.block)
        return counts

    @property
    def positions(self) -> tuple[str, ...]:
        """The positions that exist somewhere here, in canonical order."""
        present = {site.position for site in self.sites}
        return tuple(position for position in POSITIONS if position in present)

    def block_path(self, stage: int, block: int) -> str:
        """The module of a block."""
        before = sum(number for other, number in self.blocks.items() if other < stage)
        return self.block_paths[before + block - 1]

    def sites_at(self, place: Place, position: str) -> list[Site]:
        """The sites of one place and position; empty if there are none."""
        return [s for s in self._at.get(position, ()) if place.covers(s.stage, s.block)]

    @cached_property
    def _at(self) -> dict[str, list[Site]]:
        """The sites of every position, in network order."""
        found: dict[str, list[Site]] = {}
        for site in self.sites:
            found.setdefault(site.position, []).append(site)
        return found

    @cached_property
    def _order(self) -> dict[Anchor, int]:
        return {site.anchor: index for index, site in enumerate(self.sites)}

    def select_sites(self, insertion: Insertion) -> list[Site]:
        """The sites that an insertion means, in network order.

        ArchitectureError if one of its places does not exist here or has no such position, if the
        attention is for other positions only, or if its reduction ratio exceeds the channels of a
        site.
        """
        chosen: dict[Anchor, Site] = {}
        for place in insertion.places:
            sites = self.sites_at(place, insertion.position)
            if not sites:
                raise ArchitectureError(self._missing(place, insertion.position))
            chosen.update({site.anchor: self._named(insertion, site) for site in sites})
        r = insertion.settings.get("r")
        narrow = min(chosen.values(), key=lambda site: site.channels)
        if isinstance(r, int) and not isinstance(r, bool) and r > narrow.channels:
            raise ArchitectureError(
                f"{insertion.attention}(r={r}) needs at least {r} channels, but "
                f"{narrow.label} of {self.backbone} has {narrow.channels}; "
                f"use r ≤ {narrow.channels}"
            )
        return sorted(chosen.values(), key=lambda site: self._order[site.anchor])

    def _named(self, insertion: Insertion, site: Site) -> Site:
        """The site under a name (one point of the network can have several) that is for this."""
        if site.accepts(insertion.attention):
            return site
        for other in self.sites:
            if other.anchor == site.anchor and other.accepts(insertion.attention):
                return other
        only = attention(insertion.attention).positions
        where = f"not at {site.label} of {self.backbone}"
        if site.position in only:
            where += ", which follows no single convolution"
        raise ArchitectureError(
            f"{insertion.attention} has a meaning only at {' or '.join(only)}, {where}"
        )

    def check_architecture(self, architecture: Architecture) -> None:
        """Raise ArchitectureError if an insertion has no site here."""
        for insertion in architecture.insertions:
            self.select_sites(insertion)

    def _missing(self, place: Place, position: str) -> str:
        stages = self.blocks
        if place.first and (place.first not in stages or place.last not in stages):
            return f"{self.backbone} has no {place}; its stages are s1 to s{max(stages)}"
        if place.block and place.block > stages[place.first]:
            return (
                f"{self.backbone} has no {place}; its s{place.first} has blocks "
                f"b1 to b{stages[place.first]}"
            )
        here = {s.position for s in self.sites if place.covers(s.stage, s.block)}
        known = [p for p in POSITIONS if p in here]
        return f"{self.backbone} has no {position} at {place}{did_you_mean(position, known)}"


def site_map_to_json(site_map: SiteMap) -> dict[str, Any]:
    """For the cache on disk."""
    return asdict(site_map)


def site_map_from_json(data: dict[str, Any]) -> SiteMap:
    """The inverse of `site_map_to_json`."""
    sites: Iterable[dict[str, Any]] = data["sites"]
    return SiteMap(
        data["backbone"],
        (data["image_size"][0], data["image_size"][1]),
        tuple(map(_site_from_json, sites)),
        tuple(data["own_attention"]),
        tuple(data["stem_strides"]),
        tuple(data["block_paths"]),
    )


def _site_from_json(data: dict[str, Any]) -> Site:
    joined = data["convolution"]
    read = {"anchor": tuple(data["anchor"]), "convolution": joined and Convolution(**joined)}
    return Site(**{**data, **read})
