"""What guessing reaches, which stands beside what a study reaches."""

from __future__ import annotations

from ..analysis.evaluation_images import EvaluationImages
from ..objectives import ACCURACY, Objective
from . import formatting
from .metric_format import MetricFormat


def chance_and_reason(
    images: EvaluationImages, split: str, metric: Objective
) -> tuple[str, str] | None:
    """What guessing reaches, and how: `95.0 %` and `always naming the most frequent class, …`.

    Args:
        images: on which the metric is measured.
        split: `validation` or `test`.
        metric: of the study.

    Returns:
        None if the frequencies of the classes are not known.
    """
    if not images.majority_is_counted or images.majority_share is None:
        return None
    chance = images.chance_level(metric.key)
    if chance is None:
        return None
    share = formatting.percent(images.majority_share)
    sample = formatting.plural(images.count or 0, f"{split} image")
    reason = f"the most frequent class has {share} of {sample}"
    if metric == ACCURACY:
        reason = f"always naming the most frequent class, which has {share} of {sample}"
    return MetricFormat(metric).value(chance), reason


def chance_line(images: EvaluationImages, split: str, metric: Objective) -> str | None:
    """The same in one sentence; None if it is not known.

    Args:
        images: on which the metric is measured.
        split: `validation` or `test`.
        metric: of the study.
    """
    chance = chance_and_reason(images, split, metric)
    return None if chance is None else f"Guessing reaches {chance[0]}: {chance[1]}."
