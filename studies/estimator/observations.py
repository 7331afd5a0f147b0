"""What a mixed model observes: the final accuracies of trials and their signals at rungs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .history import TrialHistory

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int_]

END = 0
"""The channel of the final accuracy. The channel of a rung is its epoch."""
PRIOR_DEVIATION, PRIOR_TRIALS = 0.02, 2
"""The standard deviation of final accuracies, a fraction, before any is known, and the number of
trials that it counts as. It lies between those of the two tables in `benchmarks/tables`, and gives
the first trials of a study an error.
"""


@dataclass(frozen=True)
class Observations:
    """The observations of some trials.

    Attributes:
        trials: (o,) row of the trial of each; ascending.
        channels: (o,) `END` or the epoch of a rung.
        seeds: (o,) of the trial.
        y: (o,) values, standardised in each channel.
        mean, scale: of the final accuracies, fractions: an accuracy is `mean + scale * y`.
    """

    trials: Ints
    channels: Ints
    seeds: Ints
    y: Array
    mean: float
    scale: float

    @classmethod
    def of(cls, histories: Sequence[TrialHistory]) -> Observations:
        """The finite observations of trials; a trial without any has none."""
        observations = [
            (row, channel, value)
            for row, history in enumerate(histories)
            for channel, value in ({} if history.end is None else {END: history.end}).items()
            | history.rungs.items()
            if math.isfinite(value)
        ]
        trials = np.array([row for row, _, _ in observations], dtype=int)
        channels = np.array([channel for _, channel, _ in observations], dtype=int)
        y, (mean, scale) = _standardise(channels, np.array([value for *_, value in observations]))
        seeds = np.array([history.seed for history in histories], dtype=int)[trials]
        return cls(trials, channels, seeds, y, mean, scale)

    @cached_property
    def at_end(self) -> npt.NDArray[np.bool_]:
        """(o,) whether each is a final accuracy."""
        at_end: npt.NDArray[np.bool_] = self.channels == END
        return at_end

    @cached_property
    def rungs(self) -> list[int]:
        """The epochs of all rungs that were observed, ascending."""
        return sorted(set(self.channels.tolist()) - {END})


def _standardise(channels: Ints, values: Array) -> tuple[Array, tuple[float, float]]:
    """Values with mean 0 and deviation 1 in every channel; mean and deviation of channel `END`."""
    standardised, end = np.zeros(len(values)), (0.0, PRIOR_DEVIATION)
    for channel in np.unique(channels):
        rows = channels == channel
        mean, scale = float(values[rows].mean()), max(float(values[rows].std()), 1e-4)
        if channel == END:
            count = int(rows.sum())
            squares = PRIOR_TRIALS * PRIOR_DEVIATION**2 + count * scale**2
            scale = math.sqrt(squares / (PRIOR_TRIALS + count))
            end = mean, scale
        standardised[rows] = (values[rows] - mean) / scale
    return standardised, end
