"""What a page is asked for: whose study, in which state, in which colours."""

from __future__ import annotations

from dataclasses import dataclass

from ..figures.themes import Theme
from ..objectives import BY_KEY, Objective
from .address import Address
from .study_state import StudyState


@dataclass(frozen=True)
class PageContext:
    """`others` are states to compare with; `database` is as people name it."""

    state: StudyState
    address: Address
    theme: Theme
    database: str
    others: tuple[StudyState, ...] = ()

    @property
    def cost(self) -> Objective:
        """The cost that the address names, or the study's first."""
        return self._named(self.address.cost) or self.state.costs[0]

    @property
    def third(self) -> Objective:
        """The third objective: what the address names, or the next cost after the first."""
        rest = (cost for cost in self.state.costs if cost != self.cost)
        return self._named(self.address.third) or next(rest, self.cost)

    def _named(self, key: str) -> Objective | None:
        return next((cost for cost in self.state.costs if cost.key == key), BY_KEY.get(key))
