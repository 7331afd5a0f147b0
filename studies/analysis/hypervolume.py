"""The hypervolume of a study's Pareto front, and how it grew during the search.

The hypervolume of a front is the volume that it dominates, up to a reference point that is worse
than all of it (Zitzler & Thiele 1998, doi 10.1007/BFb0056872). It is computed exactly: for up to
three objectives on the grid that the points span, for more by slices along the last objective.

It is measured as a share of a box whose corners follow from what a study declares, and not from its
results. So it never exceeds 1, and never changes because a result has moved a corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runners.metrics import Metric, chance_score, perfect_score
from ..objectives import SCORE, Objective
from ..records import recorded_architecture
from ..stored_config import StoredConfig
from .architecture_table import ArchitectureTable
from .pareto import comparison_errors, minimised_columns, non_dominated
from .trial_table import COMPLETE, RUNNING, complete_rows

MAX_STEPS = 200
"""About how many steps a history has at most."""
DRAWS = 200
"""Draws from the posterior from which the band of the hypervolume is read."""
BAND = (0.025, 0.975)
"""Quantiles of the hypervolume over draws from the posterior, between which its band is."""
DEFAULT_COST_RANGE = 2.0
"""The worst cost of the box as a multiple of that of the bare backbone, where neither a limit nor
the most expensive architecture of the space says what it is."""

Matrix = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class HypervolumeBox:
    """The corners of the box of which a hypervolume is a share.

    Attributes:
        best: (k,) the value of each objective, to be minimised, at the best corner.
        worst: (k,) at the worst corner, the reference point.
    """

    best: Matrix
    worst: Matrix

    @classmethod
    def of(
        cls,
        config: StoredConfig,
        objectives: Sequence[Objective],
        bare: npt.NDArray[Any],
        *stripped: npt.NDArray[Any],
    ) -> HypervolumeBox:
        """The box of a study.

        The metric goes from chance to a perfect result; where a user's own metric has none, as far
        above and below the bare backbone as that is from zero. A cost goes from that of the bare
        backbone to its limit, or to that of the most expensive architecture of the space if this
        is less. If the backbone's own attention can be removed, a cost begins at that of the
        backbone without it, and ends no closer to that of the bare backbone.

        Args:
            config: of the study.
            objectives: of the study.
            bare: the row of the first complete trial of the bare backbone.
            *stripped: the row of that of the backbone without its own attention, if there is one.
        """
        best, worst = [], []
        for objective in objectives:
            if objective.metric is not None:
                low, high = _metric_range(objective.metric, config.num_classes, float(bare[SCORE]))
                best.append(-high)
                worst.append(-low)
                continue
            cost = float(bare[objective.key])
            least = min([cost, *(float(row[objective.key]) for row in stripped)])
            ceiling = config.cost_ceilings.get(objective.key, DEFAULT_COST_RANGE * cost)
            best.append(least)
            worst.append(max(ceiling, 2 * cost - least) if least < cost else ceiling)
        return cls(np.array(best), np.array(worst))

    def scale(self, values: Matrix) -> Matrix:
        """(n, k) values as shares of the box: 0 at the best corner or beyond, 1 at the worst."""
        columns = [self.scale_column(values[:, i], i) for i in range(len(self.best))]
        return np.stack(columns, axis=1)

    def scale_errors(self, errors: Matrix) -> Matrix:
        """(n, k) standard errors of values as shares of the box."""
        span = self.worst - self.best
        scaled: Matrix = errors / np.where(span > 0, span, 1.0)
        return scaled

    def scale_column(self, values: Matrix, column: int) -> Matrix:
        """Values of one objective, in any shape, as shares of the box."""
        span = self.worst[column] - self.best[column]
        scaled: Matrix = (values - self.best[column]) / (span if span > 0 else 1.0)
        return np.maximum(scaled, 0.0)


def _metric_range(metric: Metric, num_classes: int | None, bare: float) -> tuple[float, float]:
    """The scores at the worst and at the best corner of the box.

    Args:
        metric: of the study.
        num_classes: of its data; None if it is not known.
        bare: the score of the first complete trial of the bare backbone.
    """
    low, high = chance_score(metric, num_classes), perfect_score(metric)
    return (
        low if np.isfinite(low) else bare - abs(bare),
        high if np.isfinite(high) else bare + abs(bare),
    )


@dataclass(frozen=True)
class HypervolumeStep:
    """The state of a search at one moment.

    Attributes:
        epochs: trained until then, by all trials together.
        seconds: spent until then, by all trials together.
        volume: hypervolume of the front, as a share of the box.
        low, high: its 95 % interval.
    """

    epochs: int
    seconds: float
    volume: float
    low: float
    high: float


@dataclass(frozen=True)
class FrontHistory:
    """The front of a search as it proceeded.

    Attributes:
        epochs, seconds: (s,) spent until each step, by all trials together.
        fronts: (s,) the architectures on the front of each step, as rows of `values`.
        architectures: (m,) those that were ever on the front, as indices of `TrialTable.texts`.
        values: (m, objectives) their objectives, to be minimised, as shares of the box.
        metric_column: the objective that is the metric.
        box: of the study.
    """

    epochs: Ints
    seconds: Matrix
    fronts: tuple[Ints, ...]
    architectures: Ints
    values: Matrix
    metric_column: int
    box: HypervolumeBox

    def steps(self, draws: Matrix) -> tuple[HypervolumeStep, ...]:
        """The hypervolume of every step.

        Args:
            draws: (draws, m) scores of the architectures from their joint posterior.
        """
        volumes: dict[bytes, tuple[float, float, float]] = {}
        for front in self.fronts:
            if front.tobytes() not in volumes:
                volumes[front.tobytes()] = self._volumes(front, draws[:, front])
        return tuple(
            HypervolumeStep(int(epochs), float(seconds), *volumes[front.tobytes()])
            for epochs, seconds, front in zip(self.epochs, self.seconds, self.fronts, strict=True)
        )

    def _volumes(self, front: Ints, draws: Matrix) -> tuple[float, float, float]:
        """The hypervolume of a front, and the ends of its interval."""
        values = self.values[front]
        volume, drawn = hypervolume(values), []
        for scores in self.box.scale_column(-draws, self.metric_column):
            values[:, self.metric_column] = scores
            drawn.append(hypervolume(values))
        low, high = np.quantile(drawn, BAND)
        return volume, float(low), float(high)


def analyse_hypervolume(
    table: ArchitectureTable,
    rows: npt.NDArray[Any],
    objectives: Sequence[Objective],
    config: StoredConfig,
) -> tuple[HypervolumeStep, ...]:
    """How the hypervolume grew with training; empty while the bare backbone is not complete.

    It is that of the metric that is searched for and of the costs, without further metrics.

    Args:
        table: the architectures of the study.
        rows: its trials, `TrialTable.rows`.
        objectives: of the study.
        config: of the study, which determines the box.
    """
    objectives = [o for o in objectives if not o.is_further]
    box = study_box(table, objectives, config)
    if box is None:
        return ()
    history = find_front_history(rows, objectives, accuracies_by_text(table), box)
    architectures = [recorded_architecture(table.texts[i]) for i in history.architectures]
    return history.steps(table.model.draw_accuracies(architectures, DRAWS))


def study_box(
    table: ArchitectureTable, objectives: Sequence[Objective], config: StoredConfig
) -> HypervolumeBox | None:
    """The box of a study; None while the bare backbone is not complete.

    Args:
        table: the architectures of the study.
        objectives: of the study.
        config: of the study.
    """
    if table.bare is None:
        return None
    baselines = np.flatnonzero(table.baseline).tolist()
    plain = [i for i in baselines if i != table.bare and not table.architecture(i).insertions]
    bare, *stripped = (table.rows[table.first_rows[index]] for index in (table.bare, *plain))
    return HypervolumeBox.of(config, objectives, bare, *stripped)


def accuracies_by_text(table: ArchitectureTable) -> Matrix:
    """(texts,) the estimated accuracy of every architecture; NaN without a complete trial."""
    accuracies = np.full(len(table.texts), np.nan)
    accuracies[table.text_indices] = table.score
    return accuracies


def find_front_history(
    rows: npt.NDArray[Any], objectives: Sequence[Objective], accuracies: Matrix, box: HypervolumeBox
) -> FrontHistory:
    """The front of every step of a search: of the architectures that were complete by then.

    All accuracies are those that all trials say now, so the hypervolume never falls.

    Args:
        rows: of the study's trials, `TrialTable.rows`.
        objectives: of the study.
        accuracies: (texts,) of its architectures as they are estimated now, fractions; NaN without
            a complete trial.
        box: of the study.
    """
    values = box.scale(_values(rows, objectives, accuracies))
    errors = box.scale_errors(_errors(rows, objectives, len(accuracies)))
    known = np.asarray(~np.isnan(values).any(axis=1))
    complete = np.zeros(0, dtype=np.int64)
    ended = _in_order(rows[rows["state"] != RUNNING])
    stride = max(1, len(ended) // MAX_STEPS)
    counts = np.array(sorted({*range(stride, len(ended) + 1, stride), len(ended)}), dtype=int)
    counts = counts[counts > 0]
    fronts, front, last = [], np.zeros(0, dtype=np.int64), 0
    for count in counts.tolist():
        new = np.unique(ended["architecture"][last:count][ended["state"][last:count] == COMPLETE])
        new, last = new[known[new]], count
        # A dominated architecture stays dominated. With noisy costs it may not, because a new one
        # may dominate the one that did.
        complete = np.union1d(complete if errors.any() else front, new)
        better = complete[non_dominated(values[complete], errors[complete])]
        # With noisy costs, another front may be smaller; then the earlier one remains the best.
        if hypervolume(values[better]) >= hypervolume(values[front]):
            front = better
        fronts.append(front)
    architectures = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *fronts]))
    return FrontHistory(
        np.cumsum(ended["epochs"])[counts - 1],
        np.cumsum(np.nan_to_num(ended["seconds"]))[counts - 1],
        tuple(np.searchsorted(architectures, front) for front in fronts),
        architectures,
        values[architectures],
        [objective.column for objective in objectives].index(SCORE),
        box,
    )


def _values(rows: npt.NDArray[Any], objectives: Sequence[Objective], accuracies: Matrix) -> Matrix:
    """(texts, objectives) the objectives of every architecture, to be minimised; NaN if unknown."""
    complete = rows[complete_rows(rows)]
    architecture, size = complete["architecture"], len(accuracies)
    trials = np.bincount(architecture, minlength=size).astype(float)
    trials[trials == 0] = np.nan
    means = {
        o.key: np.bincount(architecture, complete[o.key], size) / trials
        for o in objectives
        if o.is_cost
    }
    return minimised_columns({**means, SCORE: accuracies}, objectives)


def _errors(rows: npt.NDArray[Any], objectives: Sequence[Objective], count: int) -> Matrix:
    """(count, objectives) standard errors of the costs, 0 where a value is exact.

    All trials of an architecture share one measurement.

    Args:
        rows: of the study's trials.
        objectives: of the study.
        count: the number of architectures.
    """
    complete = rows[complete_rows(rows)]
    errors = np.zeros((count, len(objectives)))
    keys = [objective.key for objective in objectives]
    errors[complete["architecture"]] = comparison_errors(lambda key: complete[key], keys)
    return errors


def _in_order(ended: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Trials in the order in which they ended."""
    moment = np.where(np.isnan(ended["finished"]), ended["started"], ended["finished"])
    return ended[np.lexsort((ended["number"], moment))]


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
