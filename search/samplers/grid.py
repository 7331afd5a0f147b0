"""Grid search: all architectures of the space in shuffled order.

Once all have run, those with the fewest seeds are repeated with another seed.
"""

from __future__ import annotations

import random

from ...errors import SpaceError
from ...studies.text import formatting
from .base import Sampler, SamplerContext, Selection

MAX_GRID_ARCHITECTURES = 200_000


def check_grid_size(architectures: int) -> None:
    """Raise a SpaceError if so many architectures are too many for a grid."""
    if architectures > MAX_GRID_ARCHITECTURES:
        raise SpaceError(
            f"a grid over {formatting.size(architectures)} architectures is too large (at most "
            f"{MAX_GRID_ARCHITECTURES:,}); use --sampler additive, or a smaller space"
        )


class GridSampler(Sampler):
    """Enumerates the space.

    Raises:
        SpaceError: the space has more than `MAX_GRID_ARCHITECTURES`.
    """

    def __init__(self, context: SamplerContext) -> None:
        super().__init__(context)
        size = self.space.count()
        check_grid_size(size)
        self._tried = context.tried
        self._order = list(range(size))
        random.Random(self.seed).shuffle(self._order)

    def select(self, _number: int) -> Selection:
        """The next architecture that has run with the fewest seeds.

        Raises:
            SpaceError: every architecture exceeds a limit.
        """
        fewest: tuple[int, Selection] | None = None
        for index in self._order:
            selection = self.space.selection_at(index)
            key = self.space.architecture_of(selection).key
            if key in self._tried.rejected:
                continue
            seeds = len(self._tried.seeds.get(key, ()))
            if not seeds:
                return selection
            if fewest is None or seeds < fewest[0]:
                fewest = (seeds, selection)
        if fewest is None:
            raise SpaceError("every architecture of the grid exceeds a limit; raise the limit")
        return fewest[1]
