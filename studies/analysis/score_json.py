"""Scores as programs read them: in the unit of the metric, and the accuracy beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..objectives import ACCURACY, Objective
from .evaluation_images import EvaluationImages


def score_json(
    metric: Objective, score: float | None, scores: Sequence[float], accuracies: Sequence[float]
) -> dict[str, Any]:
    """The values of one architecture or alternative, all None or empty before a complete trial.

    `value` is in the unit of the metric, so that a loss is positive, and `measured` holds it by
    seed. `accuracy` equals `value` if the accuracy is searched for; otherwise it is the mean of the
    recorded accuracies.

    Args:
        metric: of the study.
        score: the estimate, or the mean.
        scores, accuracies: of the complete trials.
    """
    mean = float(np.mean(accuracies)) if accuracies else None
    return {
        "measured": [metric.value_of(each) for each in scores],
        "value": None if score is None else metric.value_of(score),
        "accuracy": score if metric == ACCURACY else mean,
    }


def images_json(images: EvaluationImages, metric: Objective) -> dict[str, Any]:
    """The images of a split: their number, the classes, and what guessing reaches on them.

    Without `majority_is_counted`, the share of the most frequent class is assumed to be that of
    every class. `chance` is in the unit of the metric, or None.
    """
    chance = images.chance_level(metric.key)
    return {**vars(images), "chance": None if chance is None else metric.value_of(chance)}
