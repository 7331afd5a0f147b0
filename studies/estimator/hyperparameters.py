"""The variances of a study's model, as the study grows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .features import ArchitectureFeatures
from .mixed_model import ENOUGH, MixedModel, Powers, TrialHistory

MOST = 300
"""Trials that variances are fitted to at most: a dozen numbers need no more, and the time grows
with the third power."""
ALIKE = 10
"""Of those, trials of one architecture at most."""


class HyperparameterFits:
    """Variances of a study that grows, fitted anew each time it has grown by a quarter.

    To fit them for every trial anew would take longer than all else and change little.
    """

    def __init__(self, effects: ArchitectureFeatures) -> None:
        self.effects = effects
        self._known: dict[int, Powers] = {}

    def of(self, seen: Sequence[TrialHistory], trials: int | None = None) -> Powers:
        """As fitted when the study had grown to so many trials; by default, to those seen."""
        first = fitted_to(len(seen) if trials is None else trials)
        if first not in self._known:
            some = _some(seen[:first])
            self._known[first] = MixedModel(self.effects, some, []).powers if first else {}
        return self._known[first]


def _some(seen: Sequence[TrialHistory]) -> list[TrialHistory]:
    """About `MOST` trials at most, whole architectures by chance: noise is told from effects by
    those that were trained several times."""
    if len(seen) <= MOST:
        return list(seen)
    rows: dict[str, list[int]] = {}
    for row, history in enumerate(seen):
        rows.setdefault(history.architecture.key, []).append(row)
    taken: list[int] = []
    for key in np.random.default_rng(len(seen)).permutation(list(rows)).tolist():
        taken += rows[key][:ALIKE]
        if len(taken) >= MOST:
            break
    return [seen[row] for row in sorted(taken)]


def fitted_to(trials: int) -> int:
    """How many of so many trials variances are fitted to: the last step of a growth by a quarter.

    A study that is resumed finds the same: it depends on how many there are, not on when they came.
    """
    first = 0
    step = ENOUGH
    while step <= trials:
        first, step = step, step + max(1, step // 4)
    return first
