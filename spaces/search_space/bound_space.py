"""A search space on one backbone: counted, indexed, and walked by whoever makes decisions.

    bound = bind_space(load_space("quick"), find_sites("resnet18"))
    bound.choose_architecture(lambda name, choices: trial.suggest_categorical(name, choices))

Binding drops positions that do not exist there, and ratios that exceed the channels or repeat
another ratio's hidden widths, so that every choice is a different network. Decisions are
conditional: an attention without a ratio asks for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeVar

from ...errors import SpaceError
from ..architecture import ALL, Architecture, Insertion, Place
from ..attentions.entry import Value
from ..attentions.registry import attention
from ..backbones.sites import SiteMap
from ..networks.canonical import canonicalise
from .space import NONE, Space

Chooser = Callable[[str, Sequence[Value]], Value]
Column = list[dict[str, Value]]
T = TypeVar("T")


def bind_space(space: Space, site_map: SiteMap) -> BoundSpace:
    """A space on one backbone; SpaceError if nothing is left to choose there."""
    scopes = tuple(
        scope for place in _places(space, site_map) if (scope := _scope(space, place, site_map))
    )
    if not scopes:
        raise SpaceError(_why_empty(space, site_map))
    return BoundSpace(space, site_map, scopes)


def _why_empty(space: Space, site_map: SiteMap) -> str:
    nothing = f"the space {space.name!r} has nothing to choose on {site_map.backbone}"
    if space.stages and not {*space.stages} & {*site_map.blocks}:
        there = ", ".join(map(str, site_map.blocks))
        return (
            f"{nothing}: it asks for stages {', '.join(map(str, space.stages))}; there are {there}"
        )
    if not {*space.positions, *space.fallback_positions} & set(site_map.positions):
        return (
            f"{nothing}: it asks for {', '.join(space.positions)}; "
            f"there are {', '.join(site_map.positions)}"
        )
    channels = [site.channels for site in site_map.sites]
    ratios = ", ".join(map(str, space.ratios))
    there = f"{min(channels)} to {max(channels)} channels"
    return f"{nothing}: no ratio of {ratios} fits its {there}"


def _places(space: Space, site_map: SiteMap) -> Iterator[Place]:
    if space.granularity == "network":
        yield ALL
    for stage, blocks in site_map.blocks.items() if space.granularity != "network" else ():
        if space.stages and stage not in space.stages:
            continue
        if space.granularity == "stage":
            yield Place(stage, stage)
        else:
            yield from (Place(stage, stage, block) for block in range(1, blocks + 1))


def _scope(space: Space, place: Place, site_map: SiteMap) -> Scope | None:
    wanted = [p for p in space.positions if site_map.sites_at(place, p)]
    wanted = wanted or [p for p in space.fallback_positions if site_map.sites_at(place, p)][:1]
    positions, seen = [], set()
    for position in wanted:
        anchors = tuple(site.anchor for site in site_map.sites_at(place, position))
        if anchors not in seen:
            seen.add(anchors)
            positions.append(position)
    channels = [s.channels for p in positions for s in site_map.sites_at(place, p)]
    ratios: dict[str, tuple[int, ...]] = {}
    meaningful: dict[str, tuple[str, ...]] = {}
    for name in space.attentions:
        if name == NONE:
            continue
        meant = tuple(
            p for p in positions if all(s.accepts(name) for s in site_map.sites_at(place, p))
        )
        choices = _distinct_ratios(name, space.ratios, channels)
        if meant and (choices or not attention(name).has_ratio):
            ratios[name], meaningful[name] = choices, meant
    return Scope(place, tuple(positions), meaningful, ratios, min(channels)) if ratios else None


def _distinct_ratios(name: str, ratios: Sequence[int], channels: Sequence[int]) -> tuple[int, ...]:
    """The ratios that fit these channels and differ in their hidden widths."""
    if not attention(name).has_ratio or not channels:
        return ()
    by_widths: dict[tuple[int, ...], int] = {}
    for r in ratios:
        if r <= min(channels):
            by_widths.setdefault(tuple(attention(name).width(c, r) for c in channels), r)
    return tuple(by_widths.values())


@dataclass(frozen=True)
class _Module:
    """An attention with its settings, not yet anywhere."""

    name: str
    settings: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Scope:
    """One place that decides for itself.

    `meaningful` and `ratios` hold the attentions that fit there, each with those of the positions
    where it has a meaning, and with its different ratios; `narrowest` is the least number of
    channels at its sites.
    """

    place: Place
    positions: tuple[str, ...]
    meaningful: Mapping[str, tuple[str, ...]]
    ratios: Mapping[str, tuple[int, ...]]
    narrowest: int

    def accepts(self, module: _Module) -> bool:
        """Whether a module chosen elsewhere fits here."""
        r = dict(module.settings).get("r", 1)
        return module.name in self.ratios and int(r) <= self.narrowest


@dataclass(frozen=True)
class BoundSpace:
    """A space on one backbone. Architectures come out canonical."""

    space: Space
    site_map: SiteMap
    scopes: tuple[Scope, ...]

    def choose_architecture(self, pick: Chooser) -> Architecture:
        """The architecture that the decisions of `pick(name, choices)` lead to."""
        shared = self._module(self._shared_scope, "", pick) if self.space.shared else None
        chosen = [self._insertion(scope, shared, pick) for scope in self.scopes]
        return self._canonical([insertion for insertion in chosen if insertion])

    def count(self) -> int:
        """How many architectures the space holds.

        All different, except where two scopes share a point of the network (the end of one stage
        and the input of the next), or a shared module's ratios fall together at its places.
        """
        return sum(prod(map(len, columns)) for _, columns in self._tables)

    def selection_at(self, index: int) -> dict[str, Value]:
        """The decisions that lead to architecture `index` of `count()`.

        Counted like a mixed-radix number. IndexError beyond the size.
        """
        if not 0 <= index < self.count():
            raise IndexError(f"the space has {self.count()} architectures; there is no {index}")
        decisions: dict[str, Value] = {}
        for shared_path, columns in self._tables:
            count = prod(map(len, columns))
            if index >= count:
                index -= count
                continue
            decisions |= shared_path
            for column in columns:
                index, digit = divmod(index, len(column))
                decisions |= column[digit]
            break
        return decisions

    def architecture_at(self, index: int) -> Architecture:
        """Architecture `index` of `count()`; IndexError beyond it."""
        return self.architecture_of(self.selection_at(index))

    def architecture_of(self, selection: Mapping[str, Value]) -> Architecture:
        """The architecture that these decisions lead to."""
        return self.choose_architecture(lambda name, _: selection[name])

    def selection_of(self, architecture: Architecture) -> dict[str, Value] | None:
        """Decisions that lead to this architecture, or None if the space does not hold it."""
        for shared_path, shared in self._shared_leaves():
            answer = dict(shared_path)
            for scope in self.scopes:
                here = self._restricted(architecture, scope)
                for path, insertion in self._outcomes(scope, shared):
                    if self._canonical([insertion] if insertion else []) == here:
                        answer.update(path)
                        break
                else:
                    break
            else:
                if self.architecture_of(answer) == architecture:
                    return answer
        return None

    @cached_property
    def _tables(self) -> list[tuple[dict[str, Value], list[Column]]]:
        """For every shared module its decisions and, scope by scope, those that differ there."""
        tables = []
        for shared_path, shared in self._shared_leaves():
            columns = []
            for scope in self.scopes:
                different: dict[str, dict[str, Value]] = {}
                for path, insertion in self._outcomes(scope, shared):
                    text = str(self._canonical([insertion] if insertion else []))
                    different.setdefault(text, path)
                columns.append(list(different.values()))
            tables.append((shared_path, columns))
        return self._nowhere_once(tables) if self.space.shared else tables

    def _nowhere_once(
        self, tables: list[tuple[dict[str, Value], list[Column]]]
    ) -> list[tuple[dict[str, Value], list[Column]]]:
        # "Nowhere" is one architecture, whichever shared module is not inserted: the first table
        # keeps it alone, and every other is cut along the first scope that inserts.
        nowhere: list[Column] = [
            [c for c in column if not _inserts(c)][:1] or [{}] for column in tables[0][1]
        ]
        cut = [(tables[0][0], nowhere)]
        for shared_path, columns in tables:
            for index, column in enumerate(columns):
                if inserted := [path for path in column if _inserts(path)]:
                    before = [[p for p in c if not _inserts(p)] for c in columns[:index]]
                    cut.append((shared_path, [*before, inserted, *columns[index + 1 :]]))
        return cut

    def _outcomes(
        self, scope: Scope, shared: _Module | None
    ) -> list[tuple[dict[str, Value], Insertion | None]]:
        return _leaves(lambda pick: self._insertion(scope, shared, pick))

    @property
    def _shared_scope(self) -> Scope:
        names = {name for scope in self.scopes for name in scope.ratios}
        ratios = {
            name: tuple(
                r
                for r in self.space.ratios
                if any(r in s.ratios.get(name, ()) for s in self.scopes)
            )
            for name in self.space.attentions
            if name in names
        }
        return Scope(ALL, (), {}, ratios, max(scope.narrowest for scope in self.scopes))

    def _shared_leaves(self) -> list[tuple[dict[str, Value], _Module | None]]:
        if not self.space.shared:
            return [({}, None)]
        return _leaves(lambda pick: self._module(self._shared_scope, "", pick))

    def _module(
        self, scope: Scope, prefix: str, pick: Chooser, *, none: bool = False
    ) -> _Module | None:
        names: list[str] = [NONE, *scope.ratios] if none else list(scope.ratios)
        name = str(_decide(pick, f"{prefix}attention", names))
        if name == NONE:
            return None
        settings: dict[str, Value] = {"start": self.space.start}
        if ratios := scope.ratios[name]:
            settings["r"] = _decide(pick, f"{prefix}{name}.r", ratios)
        for key, choices in self.space.options.get(name, {}).items():
            settings[key] = _decide(pick, f"{prefix}{name}.{key}", choices)
        return _Module(name, tuple(settings.items()))

    def _insertion(self, scope: Scope, shared: _Module | None, pick: Chooser) -> Insertion | None:
        prefix = "" if scope.place == ALL else f"{scope.place}."
        module: _Module | None
        if shared is None:
            module = self._module(scope, prefix, pick, none=NONE in self.space.attentions)
        else:
            fits = scope.accepts(shared)
            module = shared if fits and _decide(pick, f"{prefix}insert", (False, True)) else None
        if module is None:
            return None
        position = str(_decide(pick, f"{prefix}position", scope.meaningful[module.name]))
        return Insertion.of(module.name, position, (scope.place,), **dict(module.settings))

    def _restricted(self, architecture: Architecture, scope: Scope) -> Architecture:
        """What of an architecture lies inside one scope."""
        kept = []
        for insertion in architecture.insertions:
            places = {
                Place(site.stage, site.stage, site.block)
                for site in self.site_map.select_sites(insertion)
                if scope.place.covers(site.stage, site.block)
            }
            if places:
                settings = dict(insertion.options)
                kept.append(
                    Insertion.of(insertion.attention, insertion.position, places, **settings)
                )
        return self._canonical(kept)

    def _canonical(self, insertions: Sequence[Insertion]) -> Architecture:
        plain = Architecture(self.site_map.backbone, tuple(insertions), self.space.strip_attention)
        return canonicalise(plain, self.site_map)


def _inserts(path: Mapping[str, Value]) -> bool:
    """Whether these decisions of one scope, under a shared module, insert it."""
    return any(name.rpartition(".")[2] == "insert" and value for name, value in path.items())


def _decide(pick: Chooser, name: str, choices: Sequence[Value]) -> Value:
    """Ask only where there is a choice."""
    return pick(name, tuple(choices)) if len(choices) > 1 else choices[0]


def _leaves(decide: Callable[[Chooser], T]) -> list[tuple[dict[str, Value], T]]:
    """Every outcome of a decision procedure, with the decisions that lead to it."""
    leaves: list[tuple[dict[str, Value], T]] = []
    stack: list[dict[str, Value]] = [{}]
    while stack:
        script = stack.pop()
        path: dict[str, Value] = {}

        def pick(
            name: str,
            choices: Sequence[Value],
            script: dict[str, Value] = script,
            path: dict[str, Value] = path,
        ) -> Value:
            if name not in script:
                stack.extend({**path, name: other} for other in reversed(choices[1:]))
                path[name] = choices[0]
            else:
                path[name] = script[name]
            return path[name]

        leaves.append((path, decide(pick)))
    return leaves
