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
the first trials of a study an error. It is made for scores whose size is one of `USUAL_SIZES`.
"""
USUAL_SIZES = 0.1, 1.0
"""The median sizes of the scores for which `PRIOR_DEVIATION` is meant, those of accuracies among
them. Smaller and larger scores, as those of a user's own metric, have a proportional deviation."""
MIN_SCALE = 0.005
"""The smallest deviation of final scores, as a multiple of the prior one."""


@dataclass(frozen=True)
class Observations:
    """The observations of some trials.

    Attributes:
        trials: (o,) row of the trial of each; ascending.
        channels: (o,) `END` or the epoch of a rung.
        seeds: (o,) of the trial.
        y: (o,) values, standardised in each channel.
        mean, scale: of the final accuracies, fractions: an accuracy is `mean + scale * y`.
        prior_deviation: of final accuracies before any is known.
    """

    trials: Ints
    channels: Ints
    seeds: Ints
    y: Array
    mean: float
    scale: float
    prior_deviation: float = PRIOR_DEVIATION

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
        values = np.array([value for *_, value in observations])
        prior_deviation = _prior_deviation(values[channels == END])
        y, (mean, scale) = _standardise(channels, values, prior_deviation)
        seeds = np.array([history.seed for history in histories], dtype=int)[trials]
        return cls(trials, channels, seeds, y, mean, scale, prior_deviation)

    @cached_property
    def at_end(self) -> npt.NDArray[np.bool_]:
        """(o,) whether each is a final accuracy."""
        at_end: npt.NDArray[np.bool_] = self.channels == END
        return at_end

    @cached_property
    def rungs(self) -> list[int]:
        """The epochs of all rungs that were observed, ascending."""
        return sorted(set(self.channels.tolist()) - {END})


def _prior_deviation(scores: Array) -> float:
    """The standard deviation of final scores before any is known, by their size; see `USUAL_SIZES`.

    Args:
        scores: (n,) final scores.
    """
    if not len(scores):
        return PRIOR_DEVIATION
    size = float(np.median(np.abs(scores)))
    low, high = USUAL_SIZES
    factor = size / low if size < low else max(1.0, size / high)
    return PRIOR_DEVIATION * (factor or 1.0)


def _standardise(
    channels: Ints, values: Array, prior_deviation: float
) -> tuple[Array, tuple[float, float]]:
    """Values with mean 0 and deviation 1 in every channel; mean and deviation of channel `END`.

    Args:
        channels, values: (o,) of the observations.
        prior_deviation: of channel `END`.
    """
    standardised, end = np.zeros(len(values)), (0.0, prior_deviation)
    for channel in np.unique(channels):
        rows = channels == channel
        mean, deviation = float(values[rows].mean()), float(values[rows].std())
        if channel == END:
            scale = max(deviation, MIN_SCALE * prior_deviation)
            count = int(rows.sum())
            squares = PRIOR_TRIALS * prior_deviation**2 + count * scale**2
            scale = math.sqrt(squares / (PRIOR_TRIALS + count))
            end = mean, scale
        else:
            scale = max(deviation, 1e-4)
        standardised[rows] = (values[rows] - mean) / scale
    return standardised, end
