"""What each image adds to a metric: the score of a trial as a mean over its images.

The accuracy is the mean over images of whether they are judged correctly, and so is its error when
images are sampled anew. For other metrics, the score of an image i of n is its pseudo-value

    score[i] = M + dM/dw[i]

where M is the score of the trial and w[i] the weight of the image, 1/n at first (the infinitesimal
jackknife: Jaeckel 1972; Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans",
chapter 6). The derivatives sum to zero, so the mean over images is M, and the variance over images
divided by n is that of M to first order. For the AUROC it is the variance of DeLong, DeLong and
Clarke-Pearson (1988, Biometrics 44:837).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .classification_metrics import (
    average_ranks,
    class_counts,
    judged_classes,
    log_losses,
    ranks_of_labels,
)
from .metrics import METRICS, TOP
from .predictions import Predictions

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class JudgedImages:
    """How one trial judges the images of a split.

    Attributes:
        scores: (n,) of each image; their mean is the score of the trial.
        correct: (n,) whether each image is judged correctly; None for a metric of probabilities,
            to which an image that is judged correctly by both of two networks adds as well.
    """

    scores: Floats
    correct: Bools | None

    @classmethod
    def of_correct(cls, correct: Bools) -> JudgedImages:
        """How a trial judges images if its score is the share of those that it judges correctly."""
        return cls(correct.astype(np.float64), correct)

    def __len__(self) -> int:
        return len(self.scores)


def judge_images(predictions: Predictions, key: str) -> JudgedImages | None:
    """How a trial judges the images of a split.

    Args:
        predictions: of the trial.
        key: of the metric.

    Returns:
        None if the predictions do not suffice for this metric.
    """
    scores = _FUNCTIONS[key](predictions)
    if scores is None:
        return None
    if METRICS[key].is_share:
        return JudgedImages.of_correct(scores > 0)
    correct = None if METRICS[key].needs_probabilities else predictions.correct
    return JudgedImages(scores, correct)


def _accuracy(predictions: Predictions) -> Floats:
    return predictions.correct.astype(np.float64)


def _top5(predictions: Predictions) -> Floats | None:
    ranks = ranks_of_labels(predictions)
    return None if ranks is None else ((ranks < TOP) | predictions.correct).astype(np.float64)


def _balanced_accuracy(predictions: Predictions) -> Floats:
    """With K classes, n_c images and recall R_c: score = M + n (correct − R_c) / (K n_c)."""
    images, correct, _ = class_counts(predictions)
    present = images > 0
    recall = np.divide(correct, images, where=present, out=np.zeros_like(images))
    labels = predictions.labels
    weight = len(predictions) / (present.sum() * images[labels])
    mean = recall[present].mean()
    return np.asarray(mean + weight * (predictions.correct - recall[labels]))


def _macro_f1(predictions: Predictions) -> Floats:
    """F1_c = N_c / D_c with N = 2 TP and D = images + predictions, so dF1 = (dN − F1 dD) / D."""
    images, correct, predicted = class_counts(predictions)
    present = images > 0
    sizes = np.where(present, images + predicted, 1.0)
    f1 = np.where(present, 2 * correct / sizes, 0.0)
    labels, chosen = predictions.labels, predictions.predicted
    change = 2 * predictions.correct / sizes[labels] - f1[labels] / sizes[labels]
    # A prediction of a class without images changes no F1: its weight is 0.
    change -= np.where(present, f1 / sizes, 0.0)[chosen]
    return np.asarray(f1[present].mean() + len(predictions) * change / present.sum())


def _auroc(predictions: Predictions) -> Floats | None:
    """The placement values of DeLong et al.: the share of the other kind that is ranked right."""
    probabilities, classes = predictions.probabilities, judged_classes(predictions)
    if probabilities is None or not len(classes):
        return None
    total = np.zeros(len(predictions))
    for name in classes:
        total += _placement_scores(predictions.labels == name, probabilities[:, name])
    return total / len(classes)


def _placement_scores(positive: Bools, scores: Floats) -> Floats:
    """(n,) the score of each image for the area under one ROC curve."""
    count, rest = int(positive.sum()), int((~positive).sum())
    ranks = average_ranks(scores)
    below_all = ranks - 0.5  # Scores below, and half of the equal ones, itself among them.
    placement = np.empty(len(scores))
    own = average_ranks(scores[positive]) - 0.5
    placement[positive] = (below_all[positive] - own) / rest
    own = average_ranks(scores[~positive]) - 0.5
    placement[~positive] = 1 - (below_all[~positive] - own) / count
    area = float(placement[positive].mean())
    weight = np.where(positive, len(scores) / count, len(scores) / rest)
    return np.asarray(area + weight * (placement - area))


def _log_loss(predictions: Predictions) -> Floats | None:
    losses = log_losses(predictions)
    return None if losses is None else -losses


_FUNCTIONS: dict[str, Callable[[Predictions], Floats | None]] = {
    "accuracy": _accuracy,
    "top5": _top5,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "auroc": _auroc,
    "log_loss": _log_loss,
}
