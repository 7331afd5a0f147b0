"""Scores as programs read them: in the unit of the metric, and the accuracy beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..objectives import Objective
from .evaluation_images import EvaluationImages


def accuracy_beside(
    score: float | None, scores: Sequence[float], accuracies: Sequence[float]
) -> float | None:
    """The accuracy that stands beside a score; None before a complete trial, or if it is unknown.

    If the accuracy is searched for, the scores are accuracies, and it is the score itself.
    Otherwise it is the mean of the recorded accuracies.

    Args:
        score: the estimate, or the mean.
        scores, accuracies: of the complete trials.
    """
    if tuple(scores) == tuple(accuracies):
        return score
    mean = float(np.mean(accuracies))
    return None if math.isnan(mean) else mean


def score_json(
    metric: Objective, score: float | None, scores: Sequence[float], accuracies: Sequence[float]
) -> dict[str, Any]:
    """The values of one architecture or alternative, all None or empty before a complete trial.

    `value` is in the unit of the metric, so that a loss is positive, and `measured` holds it by
    seed. `accuracy` follows from `accuracy_beside`.

    Args:
        metric: of the study.
        score: the estimate, or the mean.
        scores, accuracies: of the complete trials.
    """
    return {
        "measured": [metric.value_of(each) for each in scores],
        "value": None if score is None else metric.value_of(score),
        "accuracy": accuracy_beside(score, scores, accuracies),
    }


def images_json(images: EvaluationImages, metric: Objective) -> dict[str, Any]:
    """The images of a split: their number, the classes, and what guessing reaches on them.

    Without `majority_is_counted`, the share of the most frequent class is assumed to be that of
    every class. `chance` is in the unit of the metric, or None.
    """
    chance = images.chance_level(metric.key)
    return {**vars(images), "chance": None if chance is None else metric.value_of(chance)}
