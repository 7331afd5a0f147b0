"""The hypervolume of a study's Pareto front, and how it grew during the search.

The hypervolume of a front is the volume that it dominates, up to a reference point that is worse
than all of it (Zitzler & Thiele 1998, doi 10.1007/BFb0056872). It is computed exactly: for up to
three objectives on the grid that the points span, for more by slices along the last objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objectives import Objective
from .pareto import comparison_errors, minimised_columns, non_dominated
from .trial_table import COMPLETE, RUNNING

MAX_STEPS = 200
"""About how many steps a history has at most."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HypervolumeStep:
    """The state of a search at one moment.

    Attributes:
        epochs: trained until then, by all trials together.
        seconds: spent until then, by all trials together.
        volume: hypervolume of the front, as a share of the box between the best and the worst value
            of every objective in the whole study.
    """

    epochs: int
    seconds: float
    volume: float


def hypervolume_history(
    rows: npt.NDArray[Any], objectives: Sequence[Objective]
) -> tuple[HypervolumeStep, ...]:
    """How the hypervolume grew with training; empty while no trial is complete.

    Args:
        rows: of the study's trials, `TrialTable.rows`.
        objectives: of the study.
    """
    ended = rows[rows["state"] != RUNNING]
    moment = np.where(np.isnan(ended["finished"]), ended["started"], ended["finished"])
    ended = ended[np.lexsort((ended["number"], moment))]
    means = _RunningMeans(ended, objectives)
    errors = means.errors
    noisy = bool(errors.any())
    final = means.after(len(ended))
    final = final[~np.isnan(final).any(axis=1)]
    if not len(final):
        return ()
    low, high = final.min(axis=0), final.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    stride = max(1, len(ended) // MAX_STEPS)
    epochs, seconds = np.cumsum(ended["epochs"]), np.cumsum(np.nan_to_num(ended["seconds"]))
    steps = []
    front = np.zeros(0, dtype=np.int64)
    last = 0
    for count in sorted({*range(stride, len(ended) + 1, stride), len(ended)}):
        values = means.after(count)
        touched = np.unique(ended["architecture"][last:count])
        # A dominated architecture stays dominated unless the mean of one on the front has changed.
        # With noisy costs it also may not, because a new one may dominate the one that did.
        moved = noisy or bool(np.isin(front, touched).any())
        candidates = np.arange(len(values)) if moved else np.union1d(front, touched)
        candidates = candidates[~np.isnan(values[candidates]).any(axis=1)]
        front, last = candidates[non_dominated(values[candidates], errors[candidates])], count
        volume = hypervolume((values[front] - low) / span)
        steps.append(HypervolumeStep(int(epochs[count - 1]), float(seconds[count - 1]), volume))
    return tuple(steps)


class _RunningMeans:
    """The mean objectives of every architecture after a number of trials, to be minimised."""

    def __init__(self, ended: npt.NDArray[Any], objectives: Sequence[Objective]) -> None:
        self.objectives = objectives
        self.architecture = ended["architecture"]
        self.size = int(self.architecture.max(initial=-1)) + 1
        self.complete = (ended["state"] == COMPLETE) & ~np.isnan(ended["accuracy"])
        self.values = {o.key: ended[o.key] for o in objectives}
        self._ended = ended

    @property
    def errors(self) -> Matrix:
        """(architectures, objectives) standard errors of their costs, 0 where a value is exact.

        All trials of an architecture share one measurement.
        """
        rows = self._ended[self.complete]
        errors = np.zeros((self.size, len(self.objectives)))
        keys = [objective.key for objective in self.objectives]
        errors[rows["architecture"]] = comparison_errors(lambda key: rows[key], keys)
        return errors

    def after(self, count: int) -> Matrix:
        """(architectures, objectives) over the first `count` trials; NaN where none is complete."""
        chosen = self.complete[:count]
        architecture = self.architecture[:count][chosen]
        trials = np.bincount(architecture, minlength=self.size).astype(float)
        trials[trials == 0] = np.nan
        means = {
            key: np.bincount(architecture, values[:count][chosen], self.size) / trials
            for key, values in self.values.items()
        }
        return minimised_columns(means, self.objectives)


def hypervolume(values: Matrix) -> float:
    """The hypervolume of (n, k) values to be minimised, up to the reference point (1, …, 1).

    Values should be scaled to the unit cube. Rows beyond the reference point do not count.
    """
    inside = values[(values < 1.0).all(axis=1)]
    front = inside[non_dominated(inside)]
    return _volume(front) if len(front) else 0.0


def _volume(front: Matrix) -> float:
    """The hypervolume of (n, k) rows below 1."""
    objectives = front.shape[1]
    if objectives == 1:
        return float(1.0 - front.min())
    if objectives == 2:
        x, y = front[np.argsort(front[:, 0], kind="stable")].T
        return float(np.maximum.accumulate(1.0 - y) @ _widths(x))
    if objectives == 3:
        return _volume_on_grid(front)
    front = front[np.argsort(front[:, -1], kind="stable")]
    total = 0.0
    for count, depth in enumerate(_widths(front[:, -1]).tolist(), 1):
        if depth > 0:
            section = front[:count, :-1]
            total += depth * _volume(section[non_dominated(section)])
    return total


def _volume_on_grid(front: Matrix) -> float:
    """The hypervolume of (n, 3) rows: the sum of the greatest heights over the (x, y) grid.

    A cell is dominated by all points with a smaller x and y, so its height is a running maximum.
    """
    front = front[np.argsort(front[:, 0], kind="stable")]
    by_y = np.argsort(front[:, 1], kind="stable")
    heights = np.zeros((len(front), len(front)))
    heights[by_y, np.arange(len(front))] = 1.0 - front[by_y, 2]
    heights = np.maximum.accumulate(np.maximum.accumulate(heights, axis=0), axis=1)
    return float(_widths(front[:, 0]) @ heights @ _widths(front[by_y, 1]))


def _widths(ascending: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) the distance from each ascending value to the next, and from the last to 1."""
    widths: npt.NDArray[np.float64] = np.diff(ascending, append=1.0)
    return widths
