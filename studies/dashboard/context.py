"""What a page is drawn from: the study, the address, the theme; made for each request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from dash.exceptions import PreventUpdate

from ...errors import StudyError
from ..database.store import Store
from ..figures.themes import DARK, LIGHT, Theme
from ..objectives import BY_KEY, Objective
from .address import Address
from .background import BackgroundProcess
from .base_path import ROOT, BasePath
from .study_state import StudyState

MAX_COMPARED = 4
"""Studies beside the selected one."""


@dataclass(frozen=True)
class PageContext:
    """All that a page needs.

    Attributes:
        state: the study.
        address: filters and selection.
        theme: colours of figures.
        compared: other studies to show beside it.
        base: the path before those of all pages in the browser.
        may_edit: whether the reader may change stars, tags and notes.
    """

    state: StudyState
    address: Address
    theme: Theme
    compared: tuple[StudyState, ...] = ()
    base: BasePath = ROOT
    may_edit: bool = False

    @property
    def database(self) -> str:
        """The path or URL of the database, as the user gave it."""
        return self.state.store.name

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
        known = next((cost for cost in costs if cost.key == key), BY_KEY.get(key))
        return known if known is not None and known.is_cost else None


class StudyStates:
    """The states of a database's studies, each made when it is first asked for.

    Args:
        store: the database.
        first: the study of an address that names none.
        base: the path before those of all pages in the browser.
        may_edit: whether the reader of the present request may change stars, tags and notes.
    """

    def __init__(
        self,
        store: Store,
        first: str | None,
        base: BasePath = ROOT,
        may_edit: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.first, self.base, self.may_edit = store, first, base, may_edit
        self._states: dict[int, StudyState] = {}
        self._process = BackgroundProcess()
        self._lock = threading.Lock()

    def get(self, name: str | None) -> StudyState | None:
        """The state of a study; None if there is no such study.

        Without a name it is the study that the dashboard opens first, or else the newest one.
        """
        name = name or self.first or next(iter(study_names(self.store)), "")
        try:
            study = self.store.studies.get(name)
        except StudyError:
            return None
        with self._lock:
            if study.id not in self._states:
                self._states[study.id] = StudyState(self.store, study, self._process)
            return self._states[study.id]

    def context(self, query: str | None, theme: str | None) -> PageContext:
        """What a page is drawn from.

        Args:
            query: the query string of the address.
            theme: the name of the theme; None until the browser has sent it.

        Raises:
            PreventUpdate: there is nothing to show, or no theme yet.
        """
        address = Address.from_query(query)
        state = self.get(address.study)
        if state is None or theme is None:
            raise PreventUpdate
        named = (self.get(name) for name in address.compared[:MAX_COMPARED])
        compared = tuple(s for s in named if s is not None and s is not state)
        colours = DARK if theme == DARK.name else LIGHT
        return PageContext(state, address, colours, compared, self.base, self.may_edit())


def study_names(store: Store) -> list[str]:
    """All studies of a database, the newest first."""
    return [study.name for study in store.studies.read_all()][::-1]
