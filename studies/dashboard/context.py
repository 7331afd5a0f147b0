"""What a page is drawn from: the study, the address, the theme."""

from __future__ import annotations

from dataclasses import dataclass

from ..figures.themes import Theme
from ..objectives import BY_KEY, Objective
from .address import Address
from .study_state import StudyState


@dataclass(frozen=True)
class PageContext:
    """All that a page needs.

    Attributes:
        state: the study.
        address: filters and selection.
        theme: colours of figures.
        compared: other studies to show beside it.
    """

    state: StudyState
    address: Address
    theme: Theme
    compared: tuple[StudyState, ...] = ()

    @property
    def database(self) -> str:
        """The database as its user names it."""
        return self.state.store.name

    @property
    def study_names(self) -> list[str]:
        """All studies of the database, the newest first."""
        return [study.name for study in self.state.store.studies.read_all()][::-1]

    @property
    def cost(self) -> Objective:
        """The cost that the address names, or the study's first."""
        return self._named(self.address.cost) or self.state.analysis.costs[0]

    @property
    def third(self) -> Objective:
        """The third objective that the address names, or the next cost after the first."""
        remaining = (cost for cost in self.state.analysis.costs if cost != self.cost)
        return self._named(self.address.third) or next(remaining, self.cost)

    def _named(self, key: str | None) -> Objective | None:
        if key is None:
            return None
        costs = self.state.analysis.costs
        return next((cost for cost in costs if cost.key == key), BY_KEY.get(key))
