"""The canonical form: architectures that build the same network become equal.

`canonicalise` reduces an architecture to its network: at each anchor of the site map, a sequence of
attentions with resolved options (hidden widths instead of `r`, numbers instead of `auto`). From
that alone it writes a short text:

1. Layers. A layer holds the first attention of all anchors, the next one the second, and so on.
   Because attentions are applied in the order of the text, layer by layer keeps every sequence.
2. Options. For each attention of a layer, choose the options that resolve correctly at the most
   anchors, then those for the remaining anchors. Ties go to `auto`, then to the smallest power of
   two for `r`, then to the smallest `r`.
3. Places. Anchors that no block has are written as modules, at `post` or else at `pre`. For the
   other anchors of one set of options, choose the position that covers the most of them,
   at the least cost (`all` 1, stages 2, a block 3), then one for the remaining anchors. Ties go to
   the order of POSITIONS.
4. Order. Insertions are sorted by layer, then by their first anchor in the network.

Own attention that is removed is written like the places of a position that every block with own
attention has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product

from ..architecture import ALL, POSITIONS, Architecture, Insertion, Place, parse
from ..attentions.entry import Attention, Value
from ..attentions.registry import get_attention
from ..backbones.discover import find_sites
from ..backbones.sites import Anchor, ImageSize, Site, SiteMap, write_places
from ..backbones.stem import Stem
from .placement import ResolvedOptions, placements, resolve_options

Settings = dict[str, Value]
"""Options of an attention, defaults included."""


def canonicalise(architecture: Architecture, site_map: SiteMap) -> Architecture:
    """The canonical form, which is equal for all architectures that build the same network.

    Args:
        architecture: backbone and insertions.
        site_map: of the backbone as timm builds it.

    Raises:
        ArchitectureError: an insertion names a site that the backbone does not have, or a removal
            a place without own attention.
    """
    removed = site_map.own_attention_at(architecture.removed)
    layers: dict[tuple[int, str], dict[Anchor, ResolvedOptions]] = {}
    for placement in placements(architecture, site_map):
        layer = layers.setdefault((placement.order, placement.insertion.attention), {})
        layer[placement.site.anchor] = placement.resolved_options
    writer = _place_writer(site_map.without_own_attention(architecture.removed))
    insertions = []
    for (order, name), options in layers.items():
        for settings, anchors in _group_by_settings(get_attention(name), options, writer.channels):
            for position, covered, places in writer.cover(anchors, get_attention(name).positions):
                rank = (order, min(writer.rank[anchor] for anchor in covered))
                insertions.append((rank, Insertion.of(name, position, places, **settings)))
    insertions.sort(key=lambda ranked: ranked[0])
    return replace(
        architecture,
        insertions=tuple(insertion for _, insertion in insertions),
        removed=site_map.name_own_attention(removed) if removed else (),
    )


def resolve_architecture(
    architecture: str | Architecture,
    *,
    image_size: ImageSize | None = None,
    stem: Stem = "native",
    in_chans: int = 3,
) -> tuple[Architecture, SiteMap]:
    """The canonical form of an architecture, and the site map of its backbone.

    Args:
        architecture: a text, or a parsed `Architecture`.
        image_size: side of the square images in pixels; default: the backbone's own size.
        stem: `native` or `small`.
        in_chans: channels of the images, for a network of one's own.

    Raises:
        ArchitectureError: the text is wrong, or names a site that the backbone does not have.
        BackboneError: as `find_sites`.
    """
    if isinstance(architecture, str):
        architecture = parse(architecture)
    site_map = find_sites(
        architecture.backbone, image_size=image_size, stem=stem, in_chans=in_chans
    )
    return canonicalise(architecture, site_map), site_map


def _group_by_settings(
    entry: Attention, resolved: dict[Anchor, ResolvedOptions], channels: dict[Anchor, int]
) -> Iterator[tuple[Settings, set[Anchor]]]:
    """Settings that together give every anchor its resolved options.

    Yields:
        Settings, and the anchors at which they resolve to the options in `resolved`.
    """
    rest = dict(resolved)
    while rest:
        by_rank: dict[tuple[object, ...], tuple[Settings, set[Anchor]]] = {}
        for settings in _candidate_settings(entry, rest, channels):
            insertion = _make_insertion(entry, tuple(settings.items()))
            anchors = {
                anchor
                for anchor, options in rest.items()
                if _ratio_fits(settings, channels[anchor])
                and resolve_options(insertion, channels[anchor]) == options
            }
            by_rank[-len(anchors), *_tie_break(settings)] = settings, anchors
        settings, anchors = by_rank[min(by_rank)]
        yield settings, anchors
        rest = {anchor: options for anchor, options in rest.items() if anchor not in anchors}


def _candidate_settings(
    entry: Attention, resolved: dict[Anchor, ResolvedOptions], channels: dict[Anchor, int]
) -> Iterator[Settings]:
    """All combinations of option values that could be the best for one of the anchors."""
    values: dict[str, set[Value]] = {option.name: set() for option in entry.options}
    for anchor, options in resolved.items():
        for name, value in options:
            if name == "width":
                values["r"] |= _ratios(entry, channels[anchor], int(value))
            else:
                values[name].add(value)
    for option in entry.options:
        if option.auto is not None or not values[option.name]:
            values[option.name].add(option.default)
    for chosen in product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def _ratios(entry: Attention, channels: int, width: int) -> set[Value]:
    """The smallest ratio that gives the hidden width, and all powers of two that do."""
    powers = [r for r in _powers_of_two(channels) if entry.width(channels, r) == width]
    return {channels // (width + 1) + 1, *powers}


def _powers_of_two(limit: int) -> Iterator[int]:
    r = 1
    while r <= limit:
        yield r
        r *= 2


def _ratio_fits(settings: Settings, channels: int) -> bool:
    return int(settings.get("r", 1)) <= channels


@lru_cache(maxsize=10_000)
def _make_insertion(entry: Attention, settings: tuple[tuple[str, Value], ...]) -> Insertion:
    # Only the options of this insertion are used.
    return Insertion.of(entry.name, POSITIONS[0], (ALL,), **dict(settings))


def _tie_break(settings: Settings) -> tuple[object, ...]:
    """Sort key of settings that resolve correctly at equally many anchors; see rule 2 above."""
    r = int(settings.get("r", 1))
    explicit = sum(value != "auto" for value in settings.values())
    return (explicit, r.bit_count() != 1, r, tuple(map(str, settings.values())))


@lru_cache(maxsize=16)
def _place_writer(site_map: SiteMap) -> _PlaceWriter:
    return _PlaceWriter(site_map)


class _PlaceWriter:
    """Expresses sets of anchors as positions and places."""

    def __init__(self, site_map: SiteMap) -> None:
        self.channels = {site.anchor: site.channels for site in site_map.sites}
        self.rank: dict[Anchor, int] = {}
        self.sites_at: dict[str, list[Site]] = {position: [] for position in POSITIONS}
        for site in site_map.sites:
            self.rank.setdefault(site.anchor, len(self.rank))
            self.sites_at[site.position].append(site)
        self.modules_at: dict[str, dict[Anchor, Place]] = {"post": {}, "pre": {}}
        for site in sorted(site_map.module_sites, key=lambda site: len(site.module)):
            if site.anchor not in self.rank:
                place = Place(module=site.module)
                self.modules_at[site.position].setdefault(site.anchor, place)
        for site in site_map.module_sites:
            self.channels.setdefault(site.anchor, site.channels)
            self.rank.setdefault(site.anchor, len(self.rank))

    def cover(
        self, anchors: set[Anchor], allowed_positions: tuple[str, ...]
    ) -> Iterator[tuple[str, set[Anchor], tuple[Place, ...]]]:
        """Cover all anchors, none of them twice.

        Args:
            anchors: to be covered.
            allowed_positions: those that the attention is defined for; empty for all.

        Yields:
            A position, the anchors that it covers, and their places.
        """
        rest = set(anchors)
        for position, places_of in self.modules_at.items():  # Of those that no block has.
            if covered := places_of.keys() & rest:
                yield position, covered, tuple(places_of[anchor] for anchor in covered)
                rest -= covered
        while rest:
            options = [
                (-len(covered), _cost(places), index, places, covered)
                for index, position in enumerate(POSITIONS)
                if (not allowed_positions or position in allowed_positions)
                and (covered := {s.anchor for s in self.sites_at[position]} & rest)
                and (places := self._write_places(position, covered))
            ]
            _, _, index, places, covered = min(options, key=lambda option: option[:3])
            yield POSITIONS[index], covered, places
            rest -= covered

    def _write_places(self, position: str, anchors: set[Anchor]) -> tuple[Place, ...]:
        """The places that hold exactly these anchors at a position."""
        sites = self.sites_at[position]
        chosen = {(site.stage, site.block) for site in sites if site.anchor in anchors}
        return write_places([(site.stage, site.block) for site in sites], chosen)


def _cost(places: Iterable[Place]) -> int:
    return sum(1 if place == ALL else 3 if place.block else 2 for place in places)
