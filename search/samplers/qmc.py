"""Quasi-random search with scrambled Sobol' points (Sobol', doi 10.1016/0041-5553(67)90144-9).

They cover a space more evenly than random points. Optuna's own QMCSampler draws categorical
decisions at random, and all decisions here are categorical.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import scipy

from ...spaces.attentions.entry import Value
from .base import Sampler, Selection

MAX_DECISIONS = 1024
"""Coordinates of a point. An architecture with more decisions starts again with the first one."""


class SobolSampler(Sampler):
    """Trial `number` takes point `number`: the k-th coordinate makes the k-th decision."""

    def select(self, number: int) -> Selection:
        """The selection that follows from the point's coordinates."""
        sequence = scipy.stats.qmc.Sobol(MAX_DECISIONS, rng=self.seed)
        sequence.fast_forward(number)
        point = sequence.random(1)[0]
        selection: Selection = {}

        def pick(name: str, choices: Sequence[Value]) -> Value:
            coordinate = float(point[len(selection) % MAX_DECISIONS])
            index = min(math.floor(coordinate * len(choices)), len(choices) - 1)
            selection[name] = choices[index]
            return selection[name]

        self.space.choose_architecture(pick)
        return selection
