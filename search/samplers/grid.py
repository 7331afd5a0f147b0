"""Grid search: all architectures of the space in shuffled order.

Once all have run, those with the fewest seeds are repeated with another seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

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
        self._unseen = iter(order)
        self._usable: dict[int, Architecture] = {}

    def select(self, _number: int) -> Selection:
        """The next architecture that has run with the fewest seeds.

        Raises:
            SpaceError: no architecture but the bare backbone can be used within the limits.
        """
        seeds = self._tried.seeds
        fewest: tuple[int, int] | None = None
        for index, architecture in self._usable_architectures():
            if self._tried.reason_against(architecture) is not None:
                continue
            count = len(seeds.get(architecture.key, ()))
            if not count:
                return self.space.selection_at(index)
            if fewest is None or count < fewest[0]:
                fewest = count, index
        if fewest is None:
            raise SpaceError(
                "every architecture of the grid exceeds a limit or has failed; raise the limit, or "
                "search another space"
            )
        return self.space.selection_at(fewest[1])

    def _usable_architectures(self) -> Iterator[tuple[int, Architecture]]:
        """The architectures within all limits in the order of the grid, with their numbers.

        An architecture is built and priced once, when it is first reached.
        """
        yield from list(self._usable.items())
        for index in self._unseen:
            architecture = self.space.architecture_at(index)
            try:
                costs = self._costs.price(architecture)
            except AttentionError:
                continue
            if not costs.exceeded_limit(self._limits):
                self._usable[index] = architecture
                yield index, architecture
