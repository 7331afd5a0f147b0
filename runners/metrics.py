"""The metrics of a classification: their names, keys in JSON, and which way is better.

`classification_metrics` computes them. This module imports no NumPy, since options are made from
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: in JSON and in the database.
        title: as tables and figures print it.
        short_title: where there is little space, on a terminal.
        higher_is_better: False for a loss.
        needs_probabilities: whether predicted classes do not suffice.
        in_percent: whether it is printed in percent.
        is_share: whether it is the share of images that are judged correctly, so that it alone
            tells how much it scatters with the choice of images.
        gain_unit: of a difference: points, or none for a number that has no unit.
    """

    key: str
    title: str
    short_title: str
    higher_is_better: bool = True
    needs_probabilities: bool = False
    in_percent: bool = True
    is_share: bool = False
    gain_unit: str = "points"

    def score_of(self, value: float) -> float:
        """The value as a score, of which more is always better: a loss changes its sign."""
        return value if self.higher_is_better else -value

    def value_of(self, score: float) -> float:
        """The inverse of `score_of`."""
        return score if self.higher_is_better else -score


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("accuracy", "Accuracy", "accuracy", is_share=True),
        Metric("top5", "Top-5 accuracy", "top-5", needs_probabilities=True, is_share=True),
        Metric("balanced_accuracy", "Balanced accuracy", "balanced"),
        Metric("macro_f1", "Macro F1", "macro F1"),
        Metric("auroc", "AUROC", "AUROC", needs_probabilities=True, in_percent=False, gain_unit=""),
        Metric(
            "log_loss",
            "Log loss",
            "log loss",
            higher_is_better=False,
            needs_probabilities=True,
            in_percent=False,
            gain_unit="nats",
        ),
    )
}
"""By key, in the order of tables."""
CALIBRATED_LOG_LOSS = Metric(
    "calibrated_log_loss",
    "Calibrated log loss",
    "calibrated loss",
    higher_is_better=False,
    needs_probabilities=True,
    in_percent=False,
    gain_unit="nats",
)
"""The log loss at the temperature with which it is lowest. Learning rates are tuned by it."""
REPORTED_METRICS = {**METRICS, CALIBRATED_LOG_LOSS.key: CALIBRATED_LOG_LOSS}
"""By key, those whose score a training can report after each epoch."""
TOP = 5
"""The top-5 accuracy has a meaning for more than this many classes."""
UNKNOWN_CLASSES = 1000
"""Assumed where a study does not say how many classes its data have."""


def perfect_score(key: str) -> float:
    """The score of a network that makes no error."""
    return 1.0 if METRICS[key].higher_is_better else 0.0


def chance_score(key: str, num_classes: int | None) -> float:
    """The score of guessing, if all classes are equally frequent.

    Args:
        key: of the metric.
        num_classes: of the data; None if it is not known.
    """
    classes = num_classes or UNKNOWN_CLASSES
    match key:
        case "auroc":
            return 0.5
        case "log_loss":
            return -math.log(classes)
        case "top5":
            return min(1.0, TOP / classes)
    return 0.0 if num_classes is None else 1 / classes
