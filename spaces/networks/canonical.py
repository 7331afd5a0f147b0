"""The canonical text: two architectures that build one network become equal.

`canonicalise` first forgets the text. What remains is the network itself: at every anchor of the
site map a sequence of (attention, resolved options): hidden widths instead of `r`, and numbers
instead of `auto`. From that alone it writes the shortest text it can:

1. Layers. The first attention of every anchor, then the second, and so on; a text applies what it
   names first, so a layer at a time keeps every sequence.
2. Options. Within a layer and an attention, the options that give the right effect at the most
   anchors, then those for the rest. Ties go to `auto`, then to the smallest power of two for `r`,
   then to the smallest `r`.
3. Places. Of the anchors of one option set, as many as one position covers, at the least cost
   (`all` 1, stages 2, a block 3), ties in the order of POSITIONS; and again for the rest.
4. Order. By layer, then by the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import product

from ..architecture import ALL, POSITIONS, Architecture, Insertion, Place, parse
from ..attentions.entry import Attention, Value
from ..attentions.registry import attention
from ..backbones.discover import find_sites
from ..backbones.sites import Anchor, Site, SiteMap
from ..backbones.stem import Stem
from .placement import ResolvedOptions, placements, resolve_options

Settings = dict[str, Value]


def canonicalise(architecture: Architecture, sites: SiteMap) -> Architecture:
    """The one architecture that stands for all that build this network.

    `sites` is the backbone's site map, with its own attention stripped if the architecture strips
    it. ArchitectureError if an insertion has no site there.
    """
    layers: dict[tuple[int, str], dict[Anchor, ResolvedOptions]] = {}
    for placement in placements(architecture, sites):
        layer = layers.setdefault((placement.order, placement.insertion.attention), {})
        layer[placement.site.anchor] = placement.resolved_options
    places = _places(sites)
    insertions = []
    for (order, name), effects in layers.items():
        for settings, anchors in _option_sets(attention(name), effects, places.channels):
            for position, covered, chosen in places.cover(anchors, attention(name).positions):
                rank = (order, min(places.rank[anchor] for anchor in covered))
                insertions.append((rank, Insertion.of(name, position, chosen, **settings)))
    insertions.sort(key=lambda ranked: ranked[0])
    return replace(
        architecture,
        insertions=tuple(insertion for _, insertion in insertions),
        strip_attention=architecture.strip_attention and bool(sites.own_attention),
    )


def resolve_architecture(
    architecture: str | Architecture, *, image_size: int | None = None, stem: Stem = "native"
) -> tuple[Architecture, SiteMap]:
    """The canonical architecture of a text, and the site map it was read against.

    `image_size` as for `find_sites`.
    """
    if isinstance(architecture, str):
        architecture = parse(architecture)
    sites = find_sites(
        architecture.backbone,
        image_size=image_size,
        stem=stem,
        strip_attention=architecture.strip_attention,
    )
    return canonicalise(architecture, sites), sites


def _option_sets(
    entry: Attention, effects: dict[Anchor, ResolvedOptions], channels: dict[Anchor, int]
) -> Iterator[tuple[Settings, set[Anchor]]]:
    """Options and the anchors where they have the wanted effect, until all anchors are served."""
    rest = dict(effects)
    while rest:
        served: dict[tuple[object, ...], tuple[Settings, set[Anchor]]] = {}
        for settings in _candidates(entry, rest, channels):
            insertion = _with(entry, tuple(settings.items()))
            anchors = {
                anchor
                for anchor, wanted in rest.items()
                if _allowed(settings, channels[anchor])
                and resolve_options(insertion, channels[anchor]) == wanted
            }
            served[-len(anchors), *_preference(settings)] = settings, anchors
        settings, anchors = served[min(served)]
        yield settings, anchors
        rest = {anchor: wanted for anchor, wanted in rest.items() if anchor not in anchors}


def _candidates(
    entry: Attention, effects: dict[Anchor, ResolvedOptions], channels: dict[Anchor, int]
) -> Iterator[Settings]:
    """Every combination of option values that could serve one of the anchors best."""
    values: dict[str, set[Value]] = {option.name: set() for option in entry.options}
    for anchor, wanted in effects.items():
        for name, value in wanted:
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
    """The least ratio that gives the hidden width, and all powers of two that do."""
    chosen = [r for r in _powers_of_two(channels) if entry.width(channels, r) == width]
    return {channels // (width + 1) + 1, *chosen}


def _powers_of_two(limit: int) -> Iterator[int]:
    r = 1
    while r <= limit:
        yield r
        r *= 2


def _allowed(settings: Settings, channels: int) -> bool:
    return int(settings.get("r", 1)) <= channels


@lru_cache(maxsize=10_000)
def _with(entry: Attention, settings: tuple[tuple[str, Value], ...]) -> Insertion:
    return Insertion.of(entry.name, POSITIONS[0], (ALL,), **dict(settings))


def _preference(settings: Settings) -> tuple[object, ...]:
    r = int(settings.get("r", 1))
    explicit = sum(value != "auto" for value in settings.values())
    return (explicit, r.bit_count() != 1, r, tuple(map(str, settings.values())))


@lru_cache(maxsize=16)
def _places(sites: SiteMap) -> _Places:
    return _Places(sites)


class _Places:
    """Anchors in the words of a text: positions and places."""

    def __init__(self, sites: SiteMap) -> None:
        self.channels = {site.anchor: site.channels for site in sites.sites}
        self.rank: dict[Anchor, int] = {}
        self.at: dict[str, list[Site]] = {position: [] for position in POSITIONS}
        for site in sites.sites:
            self.rank.setdefault(site.anchor, len(self.rank))
            self.at[site.position].append(site)

    def cover(
        self, anchors: set[Anchor], only: tuple[str, ...]
    ) -> Iterator[tuple[str, set[Anchor], tuple[Place, ...]]]:
        """(position, anchors covered, places) until all anchors are covered, none twice.

        `only` are the positions that the attention has a meaning at; empty for all.
        """
        rest = set(anchors)
        while rest:
            ways = [
                (-len(covered), _cost(places), index, places, covered)
                for index, position in enumerate(POSITIONS)
                if (not only or position in only)
                and (covered := {s.anchor for s in self.at[position]} & rest)
                and (places := self._spell(position, covered))
            ]
            _, _, index, places, covered = min(ways, key=lambda way: way[:3])
            yield POSITIONS[index], covered, places
            rest -= covered

    def _spell(self, position: str, anchors: set[Anchor]) -> tuple[Place, ...]:
        """The places of exactly these anchors at a position."""
        sites = self.at[position]
        if all(site.anchor in anchors for site in sites):
            return (ALL,)
        partial = {site.stage for site in sites if site.anchor not in anchors}
        whole = sorted({site.stage for site in sites} - partial)
        single = [
            Place(site.stage, site.stage, site.block)
            for site in sites
            if site.stage in partial and site.anchor in anchors
        ]
        return (*_runs(whole, partial), *single)


def _runs(stages: Iterable[int], partial: set[int]) -> Iterator[Place]:
    """Ranges over whole stages; one may bridge stages that do not have the position at all."""
    first = last = 0
    for stage in stages:
        if first and not any(last < between < stage for between in partial):
            last = stage
            continue
        if first:
            yield Place(first, last)
        first = last = stage
    if first:
        yield Place(first, last)


def _cost(places: Iterable[Place]) -> int:
    return sum(1 if place == ALL else 3 if place.block else 2 for place in places)
