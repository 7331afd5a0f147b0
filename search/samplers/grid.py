"""Grid search: all architectures of the space in shuffled order.

Once all have run, those with the fewest seeds are repeated with another seed.
"""

from __future__ import annotations

import heapq
import random
from typing import NamedTuple

from ...errors import AttentionError, SpaceError
from ...spaces.architecture import Architecture
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


class GridEntry(NamedTuple):
    """An architecture of the grid that can be used within all limits.

    Attributes:
        seeds: how many it had run with when that was last counted.
        place: in the order of the grid.
        space_index: its index in the space.
    """

    seeds: int
    place: int
    space_index: int
    architecture: Architecture


class GridSampler(Sampler):
    """Enumerates the space.

    Raises:
        SpaceError: the space has more than `MAX_GRID_ARCHITECTURES`.
    """

    def __init__(self, context: SamplerContext) -> None:
        super().__init__(context)
        size = self.space.count()
        check_grid_size(size)
        self._tried, self._costs = context.tried, context.costs
        self._limits = context.config.limits
        order = list(range(size))
        random.Random(self.seed).shuffle(order)
        self._unseen = enumerate(order)
        self._seen: list[GridEntry] = []
        """A heap."""

    def select(self, _number: int) -> Selection:
        """The next architecture that has run with the fewest seeds.

        Raises:
            SpaceError: no architecture but the bare backbone can be used within the limits.
        """
        excluded: list[GridEntry] = []
        try:
            while (entry := self._fewest_seeds()) is not None:
                if self._tried.reason_against(entry.architecture) is None:
                    return self.space.selection_at(entry.space_index)
                excluded.append(heapq.heappop(self._seen))
        finally:
            for entry in excluded:
                heapq.heappush(self._seen, entry)
        raise SpaceError(
            "every architecture of the grid exceeds a limit or has failed; raise the limit, or "
            "search another space"
        )

    def _fewest_seeds(self) -> GridEntry | None:
        """The first of the architectures with the fewest seeds; None if no further one is usable.

        It stays on the heap. An architecture that has not run at all comes before all others.
        """
        while True:
            if self._seen:
                first = self._seen[0]
                seeds = len(self._tried.seeds.get(first.architecture.key, ()))
                if seeds != first.seeds:
                    heapq.heapreplace(self._seen, first._replace(seeds=seeds))
                    continue
                if not seeds:
                    return first
            if not self._reach_next():
                return self._seen[0] if self._seen else None

    def _reach_next(self) -> bool:
        """Put the next architecture of the grid that is within all limits on the heap.

        It is built and priced here, once.

        Returns:
            Whether there is one.
        """
        for place, index in self._unseen:
            architecture = self.space.architecture_at(index)
            try:
                costs = self._costs.price(architecture)
            except AttentionError:
                continue
            if not costs.exceeded_limit(self._limits):
                heapq.heappush(self._seen, GridEntry(0, place, index, architecture))
                return True
        return False
