"""Predictions in words: what is kept of them, and what follows from them."""

from __future__ import annotations

from ...runners.metrics import Metric
from ...runners.predictions import probabilities_mib, what_is_kept
from ..analysis.classification import Calibration
from ..analysis.image_comparison import ImageComparison
from ..config import RunPlan
from ..objectives import objective_of
from .confirmation import p_value
from .formatting import integer, percent, plural
from .metric_format import MetricFormat

SIGNIFICANT = 0.05
WITHOUT_PROBABILITIES = "without top-5, AUROC, log loss and calibration"


def describe_unkept_predictions(plan: RunPlan, num_images: int, num_classes: int) -> str | None:
    """What is not kept of each trial's predictions and why, as a sentence; None if all is kept.

    Args:
        plan: of the study.
        num_images: images that a trial is judged on.
        num_classes: of the data.
    """
    limit = plan.predictions_limit_mib
    kept = what_is_kept(plan.keep_predictions, num_images, num_classes, limit)
    if kept == "all":
        return None
    if kept == "none":
        return "No predictions are kept (--keep-predictions none), only accuracies."
    if plan.keep_predictions == "classes":
        reason = "(--keep-predictions classes)"
    else:
        size = probabilities_mib(num_images, num_classes)
        reason = (
            f"because the probabilities of {integer(num_images)} images and {integer(num_classes)} "
            f"classes take {size:.3g} MiB a trial, more than the {limit:.3g} MiB of "
            "--max-predictions-size"
        )
    return (
        f"Of each trial's predictions only the predicted classes are kept, {reason}; metrics are "
        f"shown {WITHOUT_PROBABILITIES}."
    )


def metric_value(metric: Metric, value: float | None) -> str:
    """A metric as tables print it: fractions of images in percent, AUROC and losses as numbers."""
    form = MetricFormat(objective_of(metric))
    return form.value(None if value is None else metric.score_of(value))


def describe_calibration(calibration: Calibration, accuracy: float) -> str:
    """Whether the probabilities of the predicted classes can be believed, as a sentence.

    Args:
        calibration: of a trial.
        accuracy: of the same trial, a fraction.
    """
    direction = "overconfident" if calibration.confidence > accuracy else "underconfident"
    return (
        f"Expected calibration error {percent(calibration.error)}: the network is {direction}; its "
        f"mean confidence is {percent(calibration.confidence)}, and its accuracy "
        f"{percent(accuracy)}."
    )


def describe_comparison(comparison: ImageComparison, split: str) -> str:
    """How many images an attention fixes and breaks, as a sentence.

    Args:
        comparison: with the bare backbone; its pairs have one seed each.
        split: `validation` or `test`.
    """
    images = f"of {integer(len(comparison))} {split} images"
    if comparison.pairs == 1:
        fixed, broken = integer(comparison.fixed_images), integer(comparison.broken_images)
        head = f"With one common seed it fixes {fixed}"
    else:
        fixed, broken = f"{comparison.mean_fixed:.1f}", f"{comparison.mean_broken:.1f}"
        head = f"Over {plural(comparison.pairs, 'common seed')} it fixes on average {fixed}"
    return f"{head} {images} and breaks {broken}, compared with the bare backbone."


def describe_pair(comparison: ImageComparison) -> str:
    """How many images only one of two architectures recognises, as a sentence."""
    if comparison.pairs == 1:
        first, second = integer(comparison.fixed_images), integer(comparison.broken_images)
        head = "With one common seed"
    else:
        first, second = f"{comparison.mean_fixed:.1f}", f"{comparison.mean_broken:.1f}"
        head = f"Over {plural(comparison.pairs, 'common seed')}, on average"
    return (
        f"{head} {first} of {integer(len(comparison))} validation images are recognised by the "
        f"first only, and {second} by the second only."
    )


def describe_test(comparison: ImageComparison) -> str:
    """Whether chance could have made such a difference, by McNemar's test, as a sentence."""
    if not comparison.fixed_images + comparison.broken_images:
        return "No image is judged differently."
    if not comparison.above_chance:
        return "Neither network is above chance, so these differences are noise."
    p = p_value(comparison.p)
    if comparison.p < SIGNIFICANT:
        verdict = f"So uneven a split is unlikely to be chance (McNemar's test, {p})"
    else:
        verdict = f"Chance alone could split them so (McNemar's test, {p})"
    return (
        f"{verdict}; the test asks about other images of this kind, for these trained networks, "
        "and not about other seeds."
    )
