"""A search space on one backbone: its architectures, counted and numbered.

    bound = bind_space(load_space("quick"), find_sites("resnet18"))
    bound.choose_architecture(lambda name, choices: trial.suggest_categorical(name, choices))

Binding drops positions that the backbone does not have, and ratios that exceed the channels or lead
to the same hidden widths as another ratio, so that all choices are different networks.

A *selection* holds the value chosen for each named parameter of the space, such as
`{"s1.attention": "se", "s1.se.r": 4}`, as Optuna's `trial.params` does. Which parameters exist
depends on earlier choices: an attention without a ratio has no parameter for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeVar

from ..architecture import ALL, Architecture, Insertion, Place, merge_places
from ..attentions.entry import Value
from ..backbones.sites import OwnAttention, Site, SiteMap
from ..networks.canonical import canonicalise
from .scopes import AttentionChoice, Scope, make_scopes
from .space import KEEP, NONE, REMOVE, Space

Chooser = Callable[[str, Sequence[Value]], Value]
"""Chooses a value: called with the name of a parameter and its possible values."""
Selection = dict[str, Value]
"""Chosen values by name of their parameter, in the order in which they were chosen."""
T = TypeVar("T")


def bind_space(space: Space, site_map: SiteMap) -> BoundSpace:
    """Bind a space to a backbone, by the backbone's site map.

    Raises:
        SpaceError: the space has no choice that fits the backbone.
    """
    scopes = make_scopes(space, site_map)
    return BoundSpace(space, site_map, scopes)


@dataclass(frozen=True)
class _Change:
    """What is chosen in one scope.

    Attributes:
        removed: where the backbone's own attention is removed.
        insertion: what is inserted; None for nothing.
    """

    removed: tuple[Place, ...] = ()
    insertion: Insertion | None = None


@dataclass(frozen=True)
class _Product:
    """Some architectures of a space, as a Cartesian product: `shared` applies to all of them, and
    they differ by one item of each column, which holds the selections of one scope."""

    shared: Selection
    columns: list[list[Selection]]

    def count(self) -> int:
        return prod(map(len, self.columns))


@dataclass(frozen=True)
class BoundSpace:
    """A space on one backbone. All architectures that it returns are canonical."""

    space: Space
    site_map: SiteMap
    scopes: tuple[Scope, ...]

    def choose_architecture(self, choose: Chooser) -> Architecture:
        """The architecture that results from calling `choose` for each parameter in turn.

        It is not called for parameters with a single possible value.
        """
        shared = None
        if self._is_shared:
            shared = self._choose_attention(self._shared_scope, "", choose)
        return self._canonicalise(
            [self._choose_change(scope, shared, choose) for scope in self.scopes]
        )

    @property
    def plain(self) -> Architecture:
        """What the space changes: the backbone, or the backbone without its own attention."""
        return self._canonicalise(())

    @property
    def first_position(self) -> str | None:
        """The first position at which anything can be inserted; None if nothing can."""
        return next((scope.positions[0] for scope in self.scopes if scope.ratios), None)

    def count(self) -> int:
        """The number of architectures in the space.

        They are all different, with two exceptions: two scopes can share a point of the network
        (the end of one stage and the input of the next), and two ratios of a shared attention can
        lead to the same hidden widths at all places.
        """
        return sum(product.count() for product in self._products)

    def selection_at(self, index: int) -> Selection:
        """The selection of architecture `index`, from 0 to `count()` - 1.

        Raises:
            IndexError: there is no such architecture.
        """
        if not 0 <= index < self.count():
            raise IndexError(f"{index} is not the number of an architecture of this space")
        selection: Selection = {}
        for product in self._products:
            if index >= product.count():
                index -= product.count()
                continue
            selection |= product.shared
            for column in product.columns:  # Digits of a mixed-radix number, the lowest first.
                index, digit = divmod(index, len(column))
                selection |= column[digit]
            break
        return selection

    def architecture_at(self, index: int) -> Architecture:
        """Architecture `index`, see `selection_at`."""
        return self.architecture_of(self.selection_at(index))

    def architecture_of(self, selection: Mapping[str, Value]) -> Architecture:
        """The architecture of a selection; KeyError if the selection lacks a parameter."""
        return self.choose_architecture(lambda name, _: selection[name])

    def selection_of(self, architecture: Architecture) -> Selection | None:
        """A selection that leads to this architecture; None if the space does not hold it."""
        for shared_selection, shared in self._shared_outcomes():
            selection = dict(shared_selection)
            for scope in self.scopes:
                wanted = self._restrict(architecture, scope)
                for scope_selection, change in self._scope_outcomes(scope, shared):
                    if self._canonicalise([change]) == wanted:
                        selection.update(scope_selection)
                        break
                else:
                    break
            else:
                if self.architecture_of(selection) == architecture:
                    return selection
        return None

    def scope_choices(self) -> Iterator[list[list[Architecture]]]:
        """For each attention that can be shared (once if none can), the choices of every scope.

        A choice is an architecture that has the change of that scope alone. The costs of an
        architecture are those of its choices, one of each scope, with the backbone counted once.
        """
        for _, shared in self._shared_outcomes():
            columns = []
            for scope in self.scopes:
                outcomes = [change for _, change in self._scope_outcomes(scope, shared)]
                architectures = (self._canonicalise([change]) for change in outcomes)
                columns.append(list(dict.fromkeys(architectures)))
            yield columns

    @cached_property
    def _products(self) -> list[_Product]:
        """All architectures: one product for each attention that can be shared."""
        products = []
        for shared_selection, shared in self._shared_outcomes():
            columns = []
            for scope in self.scopes:
                by_text: dict[str, Selection] = {}
                for selection, change in self._scope_outcomes(scope, shared):
                    text = str(self._canonicalise([change]))
                    by_text.setdefault(text, selection)
                columns.append(list(by_text.values()))
            products.append(_Product(shared_selection, columns))
        return _count_bare_once(products) if self._is_shared else products

    def _scope_outcomes(
        self, scope: Scope, shared: AttentionChoice | None
    ) -> list[tuple[Selection, _Change]]:
        return _enumerate_outcomes(lambda choose: self._choose_change(scope, shared, choose))

    @property
    def _is_shared(self) -> bool:
        return bool(self.space.shared) and any(scope.ratios for scope in self.scopes)

    def _shared_outcomes(self) -> list[tuple[Selection, AttentionChoice | None]]:
        if not self._is_shared:
            return [({}, None)]
        return _enumerate_outcomes(
            lambda choose: self._choose_attention(self._shared_scope, "", choose)
        )

    @property
    def _shared_scope(self) -> Scope:
        """What can be chosen for the whole network: whatever fits in at least one scope."""
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
        return Scope(ALL, (), {}, ratios, max(scope.min_channels for scope in self.scopes))

    def _choose_attention(
        self, scope: Scope, prefix: str, choose: Chooser, *, allow_none: bool = False
    ) -> AttentionChoice | None:
        names: list[str] = [NONE, *scope.ratios] if allow_none else list(scope.ratios)
        name = str(_choose_value(choose, f"{prefix}attention", names))
        if name == NONE:
            return None
        options: dict[str, Value] = {"start": self.space.start}
        if ratios := scope.ratios[name]:
            options["r"] = _choose_value(choose, f"{prefix}{name}.r", ratios)
        for key, choices in self.space.options.get(name, {}).items():
            options[key] = _choose_value(choose, f"{prefix}{name}.{key}", choices)
        return AttentionChoice(name, tuple(options.items()))

    def _choose_change(
        self, scope: Scope, shared: AttentionChoice | None, choose: Chooser
    ) -> _Change:
        prefix = "" if scope.place == ALL else f"{scope.place}."
        is_removed = scope.has_own and choose(f"{prefix}own", (KEEP, REMOVE)) == REMOVE
        insertion = self._choose_insertion(scope, prefix, shared, choose) if scope.ratios else None
        return _Change((scope.place,) if is_removed else (), insertion)

    def _choose_insertion(
        self, scope: Scope, prefix: str, shared: AttentionChoice | None, choose: Chooser
    ) -> Insertion | None:
        choice: AttentionChoice | None = None
        if shared is None:
            allow_none = NONE in self.space.attentions
            choice = self._choose_attention(scope, prefix, choose, allow_none=allow_none)
        elif scope.accepts(shared) and _choose_value(choose, f"{prefix}insert", (False, True)):
            choice = shared
        if choice is None:
            return None
        positions = scope.attention_positions[choice.name]
        position = str(_choose_value(choose, f"{prefix}position", positions))
        return Insertion.of(choice.name, position, (scope.place,), **dict(choice.options))

    def _restrict(self, architecture: Architecture, scope: Scope) -> Architecture:
        """The part of an architecture that lies inside one scope."""
        own = self.site_map.own_attention_at(architecture.removed)
        changes = [_Change(tuple(_places_inside(scope, own)))]
        sites = self.site_map.without_own_attention(architecture.removed)
        for insertion in architecture.insertions:
            selected = sites.select_sites(insertion)
            places = set(
                self._modules_inside(scope, selected)
                if scope.place.module
                else _places_inside(scope, selected)
            )
            if places:
                options = dict(insertion.options)
                part = Insertion.of(insertion.attention, insertion.position, places, **options)
                changes.append(_Change((), part))
        return self._canonicalise(changes)

    def _modules_inside(self, scope: Scope, sites: Iterable[Site]) -> Iterator[Place]:
        """The places of sites at the module of a scope, under whichever name they go."""
        points = (self.site_map.sites_at(scope.place, position) for position in scope.positions)
        anchors = {site.anchor for group in points for site in group}
        for site in sites:
            if site.anchor in anchors:
                block = Place(site.stage, site.stage, site.block)
                yield block if site.stage else Place(module=site.module)

    def _canonicalise(self, changes: Sequence[_Change]) -> Architecture:
        removed = [place for change in changes for place in change.removed]
        if self.space.own_attention == "remove":
            removed = [ALL]
        insertions = tuple(change.insertion for change in changes if change.insertion)
        architecture = Architecture(self.site_map.backbone, insertions, merge_places(removed))
        return canonicalise(architecture, self.site_map)


def _places_inside(scope: Scope, points: Iterable[Site | OwnAttention]) -> Iterator[Place]:
    """The blocks of sites, or of own attention, that lie inside a scope."""
    for point in points:
        if scope.place.covers(point.stage, point.block):
            yield Place(point.stage, point.stage, point.block)


def _count_bare_once(products: list[_Product]) -> list[_Product]:
    """Remove repetitions of the architectures without insertions.

    Every product contains them: no scope inserts the shared attention. The first product of the
    result contains them alone. The others are split by the first scope that inserts the attention.
    """
    bare_columns: list[list[Selection]] = [
        [selection for selection in column if not _inserts(selection)] or [{}]
        for column in products[0].columns
    ]
    split = [_Product(products[0].shared, bare_columns)]
    for product in products:
        for index, column in enumerate(product.columns):
            if inserting := [selection for selection in column if _inserts(selection)]:
                before = [
                    [selection for selection in earlier if not _inserts(selection)]
                    for earlier in product.columns[:index]
                ]
                columns = [*before, inserting, *product.columns[index + 1 :]]
                split.append(_Product(product.shared, columns))
    return split


def _inserts(selection: Selection) -> bool:
    """Whether this selection of one scope inserts the shared attention."""
    return any(name.rpartition(".")[2] == "insert" and value for name, value in selection.items())


def _choose_value(choose: Chooser, name: str, choices: Sequence[Value]) -> Value:
    """Call `choose` if there is more than one possible value."""
    return choose(name, tuple(choices)) if len(choices) > 1 else choices[0]


def _enumerate_outcomes(procedure: Callable[[Chooser], T]) -> list[tuple[Selection, T]]:
    """All possible results of a procedure, with the selections that lead to them.

    The procedure is run once for each. A run follows a prefix of values from the stack, then takes
    the first value of each parameter, and pushes the alternatives for later runs.
    """
    outcomes: list[tuple[Selection, T]] = []
    stack: list[Selection] = [{}]
    while stack:
        prefix = stack.pop()
        selection: Selection = {}

        def choose(
            name: str,
            choices: Sequence[Value],
            prefix: Selection = prefix,
            selection: Selection = selection,
        ) -> Value:
            if name not in prefix:
                stack.extend({**selection, name: value} for value in reversed(choices[1:]))
                selection[name] = choices[0]
            else:
                selection[name] = prefix[name]
            return selection[name]

        outcomes.append((selection, procedure(choose)))
    return outcomes
