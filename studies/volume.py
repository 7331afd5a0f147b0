"""What only Optuna computes well: hypervolumes, and how much each decision mattered.

The one place in this layer that asks Optuna's library; it is given plain numbers, no study.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .analysis import architecture_points, attentions_by_stage, minimised, non_dominated
from .findings import Point
from .objectives import Objective
from .records import TrialRecord

STEPS = 200
"""A course is told at so many moments at most."""
ENOUGH = 8
"""Architectures from which on importances are computed."""


@dataclass(frozen=True)
class Step:
    """What a search had found when so many epochs were trained.

    `volume` is the hypervolume of its front, in parts of the box between the best and the worst
    value of every objective that the whole study has seen.
    """

    epochs: int
    seconds: float
    volume: float


def course(trials: Sequence[TrialRecord], objectives: Sequence[Objective]) -> tuple[Step, ...]:
    """How the front grew with training; empty while nothing is complete."""
    ended = [trial for trial in trials if trial.state != "running"]
    ended.sort(key=lambda trial: (trial.finished_at or trial.started_at, trial.number))
    whole = _values(architecture_points(ended), objectives)
    if not len(whole):
        return ()
    low, high = whole.min(axis=0), whole.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    every = max(1, len(ended) // STEPS)
    epochs = np.cumsum([trial.epochs for trial in ended])
    seconds = np.cumsum([trial.seconds or 0.0 for trial in ended])
    found = []
    for count in sorted({*range(every, len(ended) + 1, every), len(ended)}):
        values = _values(architecture_points(ended[:count]), objectives)
        volume = hypervolume((values - low) / span) if len(values) else 0.0
        found.append(Step(int(epochs[count - 1]), float(seconds[count - 1]), volume))
    return tuple(found)


def hypervolume(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """Of rows in the unit cube, all to be minimised, up to its corner of ones."""
    from optuna._hypervolume import compute_hypervolume

    inside = values[(values < 1.0).all(axis=1)]
    front = inside[non_dominated(inside)]
    return float(compute_hypervolume(front, np.ones(values.shape[1]))) if len(front) else 0.0


def importances(points: Sequence[Point], stages: int) -> dict[str, float]:
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


def _attention_by_stage(point: Point, stages: int) -> list[str]:
    return ["+".join(names) or "none" for names in attentions_by_stage(point.architecture, stages)]


def _values(
    points: Sequence[Point], objectives: Sequence[Objective]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    able = [p for p in points if all(o.key in p.values for o in objectives)]
    return minimised(able, objectives)
