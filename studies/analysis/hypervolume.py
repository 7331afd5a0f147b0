"""What only Optuna computes well: hypervolumes, and how much each decision mattered.

The one place in this layer that asks Optuna's library; it is given plain numbers, no study.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objectives import Objective
from .analyse import attentions_by_stage, minimised_columns, non_dominated
from .findings import ArchitectureSummary
from .trial_table import COMPLETE, RUNNING, without_seed_effects

STEPS = 200
"""A course is told at so many moments at most."""
ENOUGH = 8
"""Architectures from which on importances are computed."""


@dataclass(frozen=True)
class HypervolumeStep:
    """What a search had found when so many epochs were trained.

    `volume` is the hypervolume of its front, in parts of the box between the best and the worst
    value of every objective that the whole study has seen.
    """

    epochs: int
    seconds: float
    volume: float


def hypervolume_history(
    rows: npt.NDArray[Any], objectives: Sequence[Objective]
) -> tuple[HypervolumeStep, ...]:
    """How the front grew with training, from `TrialTable.rows`; empty while nothing is complete.

    What seeds share is taken out as it is known at the end.
    """
    ended = rows[rows["state"] != RUNNING]
    moment = np.where(np.isnan(ended["finished"]), ended["started"], ended["finished"])
    ended = ended[np.lexsort((ended["number"], moment))]
    means = _Means(without_seed_effects(ended), objectives)
    whole = means.after(len(ended))
    whole = whole[~np.isnan(whole).any(axis=1)]
    if not len(whole):
        return ()
    low, high = whole.min(axis=0), whole.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    every = max(1, len(ended) // STEPS)
    epochs, seconds = np.cumsum(ended["epochs"]), np.cumsum(np.nan_to_num(ended["seconds"]))
    found = []
    front = np.zeros(0, dtype=np.int64)
    last = 0
    for count in sorted({*range(every, len(ended) + 1, every), len(ended)}):
        values = means.after(count)
        touched = np.unique(ended["architecture"][last:count])
        # What is dominated stays so, unless the mean of one that dominates has moved.
        moved = bool(np.isin(front, touched).any())
        able = np.arange(len(values)) if moved else np.union1d(front, touched)
        able = able[~np.isnan(values[able]).any(axis=1)]
        front, last = able[non_dominated(values[able])], count
        volume = hypervolume((values[front] - low) / span)
        found.append(HypervolumeStep(int(epochs[count - 1]), float(seconds[count - 1]), volume))
    return tuple(found)


class _Means:
    """Objectives of every architecture, all to be minimised, after so many trials have ended."""

    def __init__(self, ended: npt.NDArray[Any], objectives: Sequence[Objective]) -> None:
        self.objectives = objectives
        self.which = ended["architecture"]
        self.size = int(self.which.max(initial=-1)) + 1
        self.complete = (ended["state"] == COMPLETE) & ~np.isnan(ended["accuracy"])
        self.values = {o.key: ended[o.key] for o in objectives}

    def after(self, count: int) -> npt.NDArray[np.float64]:
        """(architectures, objectives); NaN where nothing is known."""
        able = self.complete[:count]
        which = self.which[:count][able]
        number = np.bincount(which, minlength=self.size).astype(float)
        number[number == 0] = np.nan
        means = {
            key: np.bincount(which, values[:count][able], self.size) / number
            for key, values in self.values.items()
        }
        return minimised_columns(means, self.objectives)


def hypervolume(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """Of rows in the unit cube, all to be minimised, up to its corner of ones."""
    from optuna._hypervolume import compute_hypervolume

    inside = values[(values < 1.0).all(axis=1)]
    front = inside[non_dominated(inside)]
    return float(compute_hypervolume(front, np.ones(values.shape[1]))) if len(front) else 0.0


def importances(points: Sequence[ArchitectureSummary], stages: int) -> dict[str, float]:
    """How much of the accuracy's variation each stage's attention explains; they add up to 1.

    fANOVA (Hutter et al. 2014) by Optuna, over the architectures' means. Empty for too few, and
    where nothing makes a difference.
    """
    rows = [_attention_by_stage(point, stages) for point in points]
    varied = [s for s in range(stages) if len({row[s] for row in rows}) > 1]
    if len(points) < ENOUGH or not varied or np.ptp([p.accuracy for p in points]) < 1e-9:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    choices = {s: sorted({row[s] for row in rows}) for s in varied}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.create_trial(
                    params={f"s{s + 1}": row[s] for s in varied},
                    distributions={
                        f"s{s + 1}": optuna.distributions.CategoricalDistribution(choices[s])
                        for s in varied
                    },
                    value=point.accuracy,
                )
                for point, row in zip(points, rows, strict=True)
            ]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except RuntimeError:  # no tree found a split: nothing matters
            return {}
    return {name: float(share) for name, share in shares.items()}


def _attention_by_stage(point: ArchitectureSummary, stages: int) -> list[str]:
    return ["+".join(names) or "none" for names in attentions_by_stage(point.architecture, stages)]
