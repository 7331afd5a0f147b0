"""What a study may choose: search spaces as data.

A `Space` is a small validated document (TOML, or a preset). `Space.bind` holds it against the sites
of one backbone: positions that do not exist there, and ratios that exceed the channels or repeat
another ratio's hidden widths, fall away. The `BoundSpace` can then be counted, indexed, and walked
by anybody who makes decisions:

    bound.choose(lambda name, choices: trial.suggest_categorical(name, choices))

Decisions are conditional: an attention without a ratio asks for none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from ..errors import ArchitectureError, SpaceError, did_you_mean
from .architecture import ALL, POSITIONS, Architecture, Insertion, Place
from .attentions.catalogue import ATTENTIONS, Value, attention
from .canonical import canonical
from .sites import SiteMap

NONE = "none"
Pick = Callable[[str, Sequence[Value]], Value]
Column = list[dict[str, Value]]
T = TypeVar("T")


class Space(BaseModel):
    """What may be chosen.

    Attributes:
        granularity: one choice for the whole network, one a stage, or one a block.
        attentions: names of the catalogue, and `none`.
        ratios: reduction ratios for the attentions that have one.
        positions: where in a block; those a backbone lacks fall away.
        fallback_positions: used where none of `positions` exists.
        shared: what is chosen once for the whole network, while each stage or block only decides
            whether (and at which position) it takes part.
        start: how every module begins; see DESIGN's vocabulary.
        options: further settings by attention, each with its choices.
        strip_attention: remove the attention that the backbone itself carries first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    about: str = ""
    granularity: Literal["network", "stage", "block"] = "stage"
    attentions: tuple[str, ...]
    ratios: tuple[int, ...] = (4, 8, 16)
    positions: tuple[str, ...] = ("residual",)
    fallback_positions: tuple[str, ...] = ()
    shared: tuple[Literal["attention"], ...] = ()
    start: Literal["paper", "identity"] = "identity"
    options: dict[str, dict[str, tuple[bool | int | str, ...]]] = {}
    strip_attention: bool = False

    @field_validator("attentions")
    @classmethod
    def _known_attentions(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name != NONE:
                attention(name)
        if not set(names) - {NONE}:
            raise ValueError("needs at least one attention beside none")
        return tuple(dict.fromkeys(names))

    @field_validator("ratios")
    @classmethod
    def _positive_ratios(cls, ratios: tuple[int, ...]) -> tuple[int, ...]:
        if any(r < 1 for r in ratios):
            raise ValueError("a reduction ratio is a whole number ≥ 1")
        return tuple(dict.fromkeys(ratios))

    @field_validator("positions", "fallback_positions")
    @classmethod
    def _known_positions(cls, positions: tuple[str, ...]) -> tuple[str, ...]:
        for position in positions:
            if position not in POSITIONS:
                raise ValueError(
                    f"unknown position {position!r}{did_you_mean(position, POSITIONS)}"
                )
        return tuple(dict.fromkeys(positions))

    @field_validator("options")
    @classmethod
    def _legal_options(
        cls, options: dict[str, dict[str, tuple[Value, ...]]]
    ) -> dict[str, dict[str, tuple[Value, ...]]]:
        for name, settings in options.items():
            for key, choices in settings.items():
                if key in ("r", "start"):
                    raise ValueError(f"{name}.{key}: use `ratios` and `start` for these")
                for choice in choices:
                    attention(name).option(key).parse(str(choice).lower())
        return options

    @classmethod
    def of(cls, **fields: Any) -> Space:
        """A space; SpaceError in one sentence for what is wrong."""
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            raise SpaceError(f"search space: {where}: {message}") from None

    def bind(self, site_map: SiteMap) -> BoundSpace:
        """This space on one backbone; SpaceError if nothing is left to choose there."""
        scopes = tuple(
            scope for place in self._places(site_map) if (scope := self._scope(place, site_map))
        )
        if not scopes:
            raise SpaceError(self._why_empty(site_map))
        return BoundSpace(self, site_map, scopes)

    def _why_empty(self, site_map: SiteMap) -> str:
        nothing = f"the space {self.name!r} has nothing to choose on {site_map.backbone}"
        if not {*self.positions, *self.fallback_positions} & set(site_map.positions):
            return (
                f"{nothing}: it asks for {', '.join(self.positions)}; "
                f"there are {', '.join(site_map.positions)}"
            )
        channels = [site.channels for site in site_map.sites]
        ratios = ", ".join(map(str, self.ratios))
        there = f"{min(channels)} to {max(channels)} channels"
        return f"{nothing}: no ratio of {ratios} fits its {there}"

    def _places(self, site_map: SiteMap) -> Iterator[Place]:
        if self.granularity == "network":
            yield ALL
        for stage, blocks in site_map.blocks.items() if self.granularity != "network" else ():
            if self.granularity == "stage":
                yield Place(stage, stage)
            else:
                yield from (Place(stage, stage, block) for block in range(1, blocks + 1))

    def _scope(self, place: Place, site_map: SiteMap) -> Scope | None:
        wanted = [p for p in self.positions if site_map.at(place, p)]
        wanted = wanted or [p for p in self.fallback_positions if site_map.at(place, p)][:1]
        positions, seen = [], set()
        for position in wanted:
            anchors = tuple(site.anchor for site in site_map.at(place, position))
            if anchors not in seen:
                seen.add(anchors)
                positions.append(position)
        channels = [s.channels for p in positions for s in site_map.at(place, p)]
        ratios: dict[str, tuple[int, ...]] = {}
        for name in self.attentions:
            if name == NONE:
                continue
            choices = _distinct_ratios(name, self.ratios, channels)
            if choices or not ATTENTIONS[name].has_ratio:
                ratios[name] = choices
        if not positions or not ratios:
            return None
        return Scope(place, tuple(positions), ratios, min(channels))


def _distinct_ratios(name: str, ratios: Sequence[int], channels: Sequence[int]) -> tuple[int, ...]:
    """The ratios that fit these channels and differ in their hidden widths."""
    if not ATTENTIONS[name].has_ratio or not channels:
        return ()
    by_widths: dict[tuple[int, ...], int] = {}
    for r in ratios:
        if r <= min(channels):
            by_widths.setdefault(tuple(ATTENTIONS[name].width(c, r) for c in channels), r)
    return tuple(by_widths.values())


@dataclass(frozen=True)
class _Module:
    """An attention with its settings, not yet anywhere."""

    name: str
    settings: tuple[tuple[str, Value], ...]


@dataclass(frozen=True)
class Scope:
    """One place that decides for itself.

    `ratios` holds the attentions that fit there, each with its different ratios; `narrowest` is
    the least number of channels at its sites.
    """

    place: Place
    positions: tuple[str, ...]
    ratios: Mapping[str, tuple[int, ...]]
    narrowest: int

    def takes(self, module: _Module) -> bool:
        """Whether a module chosen elsewhere fits here."""
        r = dict(module.settings).get("r", 1)
        return module.name in self.ratios and int(r) <= self.narrowest


@dataclass(frozen=True)
class BoundSpace:
    """A space on one backbone. Architectures come out canonical."""

    space: Space
    site_map: SiteMap
    scopes: tuple[Scope, ...]

    def choose(self, pick: Pick) -> Architecture:
        """The architecture that the decisions of `pick(name, choices)` lead to."""
        shared = self._module(self._shared_scope, "", pick) if self.space.shared else None
        chosen = [self._insertion(scope, shared, pick) for scope in self.scopes]
        return self._canonical([insertion for insertion in chosen if insertion])

    def size(self) -> int:
        """How many architectures the space holds.

        All different, except where two scopes share a point of the network (the end of one stage
        and the input of the next), or a shared module's ratios fall together at its places.
        """
        return sum(prod(map(len, columns)) for _, columns in self._tables)

    def at(self, index: int) -> dict[str, Value]:
        """The decisions that lead to architecture `index` of `size()`, for `choose`.

        Counted like a mixed-radix number. IndexError beyond the size.
        """
        if not 0 <= index < self.size():
            raise IndexError(f"the space has {self.size()} architectures; there is no {index}")
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

    def decide(self, decisions: Mapping[str, Value]) -> Architecture:
        """The architecture that these decisions lead to."""
        return self.choose(lambda name, _: decisions[name])

    def decisions(self, architecture: Architecture) -> dict[str, Value] | None:
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
                if self.decide(answer) == architecture:
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
        return Scope(ALL, (), ratios, max(scope.narrowest for scope in self.scopes))

    def _shared_leaves(self) -> list[tuple[dict[str, Value], _Module | None]]:
        if not self.space.shared:
            return [({}, None)]
        return _leaves(lambda pick: self._module(self._shared_scope, "", pick))

    def _module(
        self, scope: Scope, prefix: str, pick: Pick, *, none: bool = False
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

    def _insertion(self, scope: Scope, shared: _Module | None, pick: Pick) -> Insertion | None:
        prefix = "" if scope.place == ALL else f"{scope.place}."
        module: _Module | None
        if shared is None:
            module = self._module(scope, prefix, pick, none=NONE in self.space.attentions)
        else:
            fits = scope.takes(shared)
            module = shared if fits and _decide(pick, f"{prefix}insert", (False, True)) else None
        if module is None:
            return None
        position = str(_decide(pick, f"{prefix}position", scope.positions))
        return Insertion.of(module.name, position, (scope.place,), **dict(module.settings))

    def _restricted(self, architecture: Architecture, scope: Scope) -> Architecture:
        """What of an architecture lies inside one scope."""
        kept = []
        for insertion in architecture.insertions:
            places = {
                Place(site.stage, site.stage, site.block)
                for site in self.site_map.select(insertion)
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
        return canonical(plain, self.site_map)


def _inserts(path: Mapping[str, Value]) -> bool:
    """Whether these decisions of one scope, under a shared module, insert it."""
    return any(name.rpartition(".")[2] == "insert" and value for name, value in path.items())


def _decide(pick: Pick, name: str, choices: Sequence[Value]) -> Value:
    """Ask only where there is a choice."""
    return pick(name, tuple(choices)) if len(choices) > 1 else choices[0]


def _leaves(decide: Callable[[Pick], T]) -> list[tuple[dict[str, Value], T]]:
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


def preset_names() -> list[str]:
    """The presets that come with attentune."""
    folder = resources.files(f"{__package__}.presets")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_space(source: str, **overrides: Any) -> Space:
    """A preset by name, or a TOML file by path, with some fields replaced.

    SpaceError if there is no such preset or file, or if its contents are wrong.
    """
    if source in preset_names():
        text = (resources.files(f"{__package__}.presets") / f"{source}.toml").read_text("utf-8")
    elif source.endswith(".toml") or Path(source).is_file():
        try:
            text = Path(source).read_text("utf-8")
        except OSError as error:
            raise SpaceError(f"cannot read the search space {source}: {error.strerror}") from None
    else:
        hint = did_you_mean(source, preset_names())
        raise SpaceError(f"unknown search space {source!r}{hint} — or give a .toml file")
    try:
        fields = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpaceError(f"{source} is not valid TOML: {error}") from None
    fields.setdefault("name", Path(source).stem)
    try:
        return Space.of(**{**fields, **{k: v for k, v in overrides.items() if v is not None}})
    except ArchitectureError as error:
        raise SpaceError(f"search space {source}: {error}") from None
