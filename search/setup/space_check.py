"""Check a search space before anything slow: whether its attentions work, and fit the limits.

Costs add up, so the cheapest architecture of a space follows from the cheapest choice of each
scope, however many architectures the space has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...errors import AttentionError, SpaceError
from ...runners.results import Costs
from ...spaces.architecture import Architecture, merge_places
from ...spaces.attentions.catalogue import ATTENTIONS
from ...spaces.search_space.bound_space import BoundSpace
from ..trial_source import CostLookup

COUNTED_LIMITS = {"params": "--max-params", "macs": "--max-macs"}
"""The limits on costs that add up, with their options."""
MAX_FRONT_POINTS = 2000
"""Trade-offs between two costs that are followed; of more, only the cheapest are."""

logger = logging.getLogger(__name__)
Values = tuple[float, ...]


@dataclass(frozen=True)
class _Partial:
    """A choice in each of the first scopes of a space.

    Attributes:
        values: the added costs, by limit.
        changes: the choices that insert or remove something.
    """

    values: Values
    changes: tuple[Architecture, ...] = ()


def check_space(space: BoundSpace, costs: CostLookup, limits: Mapping[str, float]) -> None:
    """Log which attentions cannot be used, and check that something is left within the limits.

    Args:
        space: the search space on its backbone.
        costs: parameters and MACs of any architecture.
        limits: upper bounds on costs by their key. Those that have to be measured are ignored.

    Raises:
        SpaceError: no attention can be used, or no architecture with one is within the limits.
    """
    counted = {key: limits[key] for key in COUNTED_LIMITS if key in limits}
    prices = _Prices(space, costs, tuple(counted))
    shared_choices = list(space.scope_choices())
    prices.price_all(shared_choices)
    for limited in [(key,) for key in counted] + [tuple(counted)]:
        positions = [list(counted).index(key) for key in limited]
        complete = [
            partial
            for columns in shared_choices
            for partial in prices.cheapest(columns, positions)
            if partial.changes
        ]
        if not complete:
            raise SpaceError(_nothing_usable(space, prices.unusable))
        bounds = [counted[key] - prices.bare[key] for key in limited]
        if not any(_is_within(partial.values, bounds) for partial in complete):
            raise SpaceError(_nothing_within(space, counted, limited, prices, complete))


def largest_costs(space: BoundSpace, costs: CostLookup) -> dict[str, float]:
    """By key, the parameters and MACs of an architecture with the most expensive choices.

    Args:
        space: the search space on its backbone.
        costs: parameters and MACs of any architecture.
    """
    keys = tuple(COUNTED_LIMITS)
    prices = _Prices(space, costs, keys)
    totals = [prices.most_expensive(columns) for columns in space.scope_choices()]
    return {
        key: prices.bare[key] + max(values)
        for key, values in zip(keys, zip(*totals, strict=True), strict=True)
    }


class _Prices:
    """What the choices of a space add to the costs of the backbone."""

    def __init__(self, space: BoundSpace, costs: CostLookup, keys: tuple[str, ...]) -> None:
        self._costs, self._keys = costs, keys
        self._plain = space.plain
        self.bare = self._by_key(costs.price(self._plain))
        self._added: dict[Architecture, Values | None] = {}
        self.unusable: list[str] = []

    def _by_key(self, costs: Costs) -> dict[str, float]:
        return {key: getattr(costs, key) for key in self._keys}

    def price_all(self, shared_choices: Iterable[Iterable[Iterable[Architecture]]]) -> None:
        """Price every choice, and log why some cannot be used."""
        for columns in shared_choices:
            for column in columns:
                for choice in column:
                    self._price(choice)
        for reason in self.unusable:
            logger.warning("%s", reason)
        if self.unusable:
            logger.warning("architectures with one of these are rejected before training")

    def _price(self, choice: Architecture) -> None:
        if choice in self._added:
            return
        if not self._keys and not _has_plugin(choice):
            self._added[choice] = ()
            return
        try:
            values = self._by_key(self._costs.price(choice))
        except AttentionError as error:
            self._added[choice] = None
            if str(error) not in self.unusable:
                self.unusable.append(str(error))
            return
        self._added[choice] = tuple(values[key] - self.bare[key] for key in self._keys)

    def total(self, partial: _Partial) -> Costs:
        """The costs of an architecture with these changes."""
        return self._costs.price(self.architecture(partial))

    def architecture(self, partial: _Partial) -> Architecture:
        """The architecture with these changes."""
        insertions = tuple(i for choice in partial.changes for i in choice.insertions)
        removed = (*self._plain.removed, *(p for choice in partial.changes for p in choice.removed))
        return Architecture(self._plain.backbone, insertions, merge_places(removed))

    def cheapest(
        self, columns: Sequence[Sequence[Architecture]], positions: Sequence[int]
    ) -> list[_Partial]:
        """The architectures that are cheapest in some trade-off of costs, with and without any
        change; none if a scope has no choice that can be used.

        Args:
            columns: the choices of every scope.
            positions: which of the costs are compared.
        """
        start = _Partial((0.0,) * len(positions))
        unchanged, changed = [start], list[_Partial]()
        for column in columns:
            choices = list(self._choices(column, positions))
            nothing = [choice for choice in choices if not choice.changes]
            something = [choice for choice in choices if choice.changes]
            changed = _front([*_sums(changed, choices), *_sums(unchanged, something)])
            unchanged = _front(_sums(unchanged, nothing))
        return [*unchanged, *changed]

    def most_expensive(self, columns: Iterable[Sequence[Architecture]]) -> Values:
        """What the most expensive choice of every scope adds to each cost, all together."""
        totals = [0.0] * len(self._keys)
        for column in columns:
            added = [self._priced(choice) for choice in column]
            usable = [values for values in added if values is not None]
            for position in range(len(totals)):
                totals[position] += max((values[position] for values in usable), default=0.0)
        return tuple(totals)

    def _priced(self, choice: Architecture) -> Values | None:
        self._price(choice)
        return self._added[choice]

    def _choices(
        self, column: Iterable[Architecture], positions: Sequence[int]
    ) -> Iterator[_Partial]:
        for choice in column:
            added = self._added[choice]
            if added is not None:
                values = tuple(added[position] for position in positions)
                yield _Partial(values, (choice,) if choice != self._plain else ())


def _has_plugin(architecture: Architecture) -> bool:
    return any(insertion.attention not in ATTENTIONS for insertion in architecture.insertions)


def _sums(partials: Iterable[_Partial], choices: Sequence[_Partial]) -> Iterator[_Partial]:
    for partial in partials:
        for choice in choices:
            values = tuple(a + b for a, b in zip(partial.values, choice.values, strict=True))
            yield _Partial(values, (*partial.changes, *choice.changes))


def _front(partials: Iterable[_Partial]) -> list[_Partial]:
    """Those of one or two costs that no other is cheaper than in both."""
    front: list[_Partial] = []
    for partial in sorted(partials, key=lambda partial: partial.values):
        if not front or partial.values[-1:] < front[-1].values[-1:]:
            front.append(partial)
    return front[:MAX_FRONT_POINTS]


def _is_within(values: Values, bounds: Sequence[float]) -> bool:
    return all(value <= bound for value, bound in zip(values, bounds, strict=True))


def _nothing_usable(space: BoundSpace, unusable: Sequence[str]) -> str:
    reason = f"; {unusable[0]}" if unusable else ""
    return (
        f"no attention of the space {space.space.name} can be used on "
        f"{space.site_map.backbone}{reason}"
    )


def _nothing_within(
    space: BoundSpace,
    limits: Mapping[str, float],
    limited: Sequence[str],
    prices: _Prices,
    complete: Sequence[_Partial],
) -> str:
    """A sentence with the limits, and what the cheapest architecture needs."""
    cheapest = min(complete, key=lambda partial: partial.values)
    costs = prices.total(cheapest)
    words = " and ".join(f"{COUNTED_LIMITS[key]} {limits[key]:,.12g}" for key in limited)
    needs = " and ".join(f"{getattr(costs, key):,} {_NOUNS[key]}" for key in limited)
    return (
        f"no architecture of the space {space.space.name} is within {words}; the cheapest, "
        f"{prices.architecture(cheapest)}, needs {needs}. Raise the limit, or choose another space."
    )


_NOUNS = {"params": "parameters", "macs": "MACs"}
