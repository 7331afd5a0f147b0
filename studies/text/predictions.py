"""What is kept of a study's predictions, in words."""

from __future__ import annotations

from ...runners.predictions import probabilities_mib, what_is_kept
from ..config import RunPlan
from .formatting import integer

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
