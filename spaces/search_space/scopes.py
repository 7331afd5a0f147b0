"""The places of a backbone for which a space chooses separately, and what can be chosen there.

Positions that the backbone does not have are dropped, and so are ratios that exceed the channels or
lead to the same hidden widths as another ratio, so that all choices are different networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...errors import SpaceError, did_you_mean
from ..architecture import ALL, Place
from ..attentions.entry import Value
from ..attentions.registry import get_attention
from ..backbones.sites import SiteMap
from .space import NONE, Space

MODULE_POSITIONS = ("post", "pre")
"""Where attention goes at a module that is named by its path, if the space asks for neither."""


@dataclass(frozen=True)
class AttentionChoice:
    """An attention with its options, without a place and a position."""

    name: str
    options: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Scope:
    """What can be chosen at one place.

    Attributes:
        place: the blocks that share the choice.
        positions: the positions that exist there.
        attention_positions: by attention that fits there, the positions that it is defined for.
        ratios: by attention that fits there, its reduction ratios; empty if it has none.
        min_channels: the smallest number of channels at the sites of the place.
        has_own: whether it is chosen there if the backbone's own attention is removed.
    """

    place: Place
    positions: tuple[str, ...]
    attention_positions: Mapping[str, tuple[str, ...]]
    ratios: Mapping[str, tuple[int, ...]]
    min_channels: int
    has_own: bool = False

    def accepts(self, choice: AttentionChoice) -> bool:
        """Whether an attention that was chosen for the whole network fits here."""
        r = dict(choice.options).get("r", 1)
        return choice.name in self.ratios and int(r) <= self.min_channels


def make_scopes(space: Space, site_map: SiteMap) -> tuple[Scope, ...]:
    """What can be chosen at each place of a space on a backbone.

    Args:
        space: the space.
        site_map: of the backbone.

    Raises:
        SpaceError: nothing can, or a module of the space does not exist.
    """
    _check_modules(space, site_map)
    scopes = tuple(
        scope
        for place in _list_places(space, site_map)
        if (scope := _make_scope(space, place, site_map))
    )
    searches_own = space.own_attention == "search"
    if searches_own and not any(scope.has_own for scope in scopes):
        raise SpaceError(_explain_no_own_attention(space, site_map))
    if not scopes:
        raise SpaceError(_explain_empty(space, site_map))
    return scopes


def _list_places(space: Space, site_map: SiteMap) -> Iterator[Place]:
    """The places for which the space chooses separately."""
    if space.modules:
        yield from (Place(module=module) for module in space.modules)
        return
    if space.granularity == "network":
        yield ALL
    for stage, blocks in site_map.blocks.items() if space.granularity != "network" else ():
        if space.stages and stage not in space.stages:
            continue
        if space.granularity == "stage":
            yield Place(stage, stage)
        else:
            yield from (Place(stage, stage, block) for block in range(1, blocks + 1))


def _make_scope(space: Space, place: Place, site_map: SiteMap) -> Scope | None:
    """What can be chosen at a place; None if nothing can."""
    own = [own for own in site_map.own_attention if place.covers(own.stage, own.block)]
    has_own = space.own_attention == "search" and bool(own)
    maps = [site_map] if space.own_attention != "remove" else []
    if has_own or space.own_attention == "remove":
        maps.append(site_map.without_own_attention((place,) if has_own else (ALL,)))

    def exists(position: str) -> bool:
        return all(sites.sites_at(place, position) for sites in maps)

    existing = [p for p in space.positions if exists(p)]
    if not existing and place.module:
        existing = [p for p in MODULE_POSITIONS if exists(p)][:1]
    if not existing:
        existing = [p for p in space.fallback_positions if exists(p)][:1]
    positions, seen = [], set()
    for position in existing:  # Of several names for the same points, keep the first.
        anchors = tuple(site.anchor for site in maps[0].sites_at(place, position))
        if anchors not in seen:
            seen.add(anchors)
            positions.append(position)
    channels = [s.channels for p in positions for s in maps[0].sites_at(place, p)]
    ratios: dict[str, tuple[int, ...]] = {}
    attention_positions: dict[str, tuple[str, ...]] = {}
    for name in space.attentions:
        if name == NONE:
            continue
        accepting = tuple(
            p
            for p in positions
            if all(s.accepts(name) for sites in maps for s in sites.sites_at(place, p))
        )
        choices = _distinct_ratios(name, space.ratios, channels)
        if accepting and (choices or not get_attention(name).has_ratio):
            ratios[name], attention_positions[name] = choices, accepting
    if not ratios and not has_own:
        return None
    least = min(channels, default=0)
    return Scope(place, tuple(positions), attention_positions, ratios, least, has_own)


def _distinct_ratios(name: str, ratios: Sequence[int], channels: Sequence[int]) -> tuple[int, ...]:
    """The ratios of an attention that fit these channels and lead to different hidden widths."""
    if not get_attention(name).has_ratio or not channels:
        return ()
    by_widths: dict[tuple[int, ...], int] = {}
    for r in ratios:
        if r <= min(channels):
            by_widths.setdefault(tuple(get_attention(name).width(c, r) for c in channels), r)
    return tuple(by_widths.values())


def _check_modules(space: Space, site_map: SiteMap) -> None:
    """Raise SpaceError if a module of a space does not exist, or has no map to attend to."""
    known = {site.module for site in site_map.module_sites}
    if space.modules and not known:
        raise SpaceError(
            f"modules are named in a network of your own, and {site_map.backbone} is one of timm; "
            "leave them out, and choose stages or blocks"
        )
    for module in space.modules:
        if module not in known:
            raise SpaceError(
                f"{site_map.backbone} has no module {module} that runs once in a pass, and "
                f"receives and returns maps{did_you_mean(module, sorted(known))}"
            )


def _explain_no_own_attention(space: Space, site_map: SiteMap) -> str:
    if not site_map.own_attention:
        return (
            f"{site_map.backbone} has no attention of its own that could be removed; leave out "
            "--own-attention search"
        )
    there = ", ".join(map(str, site_map.name_own_attention(site_map.own_attention)))
    return (
        f"the space {space.name!r} cannot remove the attention that {site_map.backbone} itself has "
        f"({there}) by {space.granularity}; choose another --granularity, or other stages"
    )


def _explain_empty(space: Space, site_map: SiteMap) -> str:
    empty = f"the space {space.name!r} has nothing to choose on {site_map.backbone}"
    if space.stages and not {*space.stages} & {*site_map.blocks}:
        stages = ", ".join(map(str, site_map.blocks))
        return (
            f"{empty}: it asks for stages {', '.join(map(str, space.stages))}; there are {stages}"
        )
    if not site_map.sites:
        return (
            f"{empty}: it has no stages and blocks in which attention could be inserted; see "
            f"`attentune sites {site_map.backbone}`"
        )
    if not {*space.positions, *space.fallback_positions} & set(site_map.positions):
        return (
            f"{empty}: it asks for {', '.join(space.positions)}; "
            f"there are {', '.join(site_map.positions)}"
        )
    channels = [site.channels for site in site_map.sites]
    ratios = ", ".join(map(str, space.ratios))
    return f"{empty}: no ratio of {ratios} fits its {min(channels)} to {max(channels)} channels"
