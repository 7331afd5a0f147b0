"""What a page is asked for: whose study, in which state, in which colours."""

from __future__ import annotations

from dataclasses import dataclass

from ..figures.themes import Theme
from ..objectives import BY_KEY, Objective
from .address import View
from .study_state import Board


@dataclass(frozen=True)
class Scene:
    """`others` are boards to compare with; `database` is as people name it."""

    board: Board
    view: View
    theme: Theme
    database: str
    others: tuple[Board, ...] = ()

    @property
    def cost(self) -> Objective:
        """The cost that the view names, or the study's first."""
        return self._named(self.view.cost) or self.board.costs[0]

    @property
    def third(self) -> Objective:
        """The third objective: what the view names, or the next cost after the first."""
        rest = (cost for cost in self.board.costs if cost != self.cost)
        return self._named(self.view.third) or next(rest, self.cost)

    def _named(self, key: str) -> Objective | None:
        return next((cost for cost in self.board.costs if cost.key == key), BY_KEY.get(key))
