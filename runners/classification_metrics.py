"""Metrics of a trial's predictions.

Every trial computes them at its end. They are written in NumPy because importing scikit-learn takes
each worker a second, as long as a short trial; tests compare each with scikit-learn's. Averages
over classes are taken over the classes that the images have: a class without images has no recall,
and that it was predicted by mistake lowers the precision of no other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..errors import TrialError
from .metrics import CALIBRATED_LOG_LOSS, REPORTED_METRICS, TOP
from .predictions import Predictions

Floats = npt.NDArray[np.float64]
MAX_INVERSE_TEMPERATURE = 8.0
INVERSE_TEMPERATURE_STEP = 1e-4
"""Bounds of the search for the temperature of `calibrated_log_loss`."""


def compute_metrics(predictions: Predictions) -> dict[str, float]:
    """The metrics that are defined for some predictions, by their key in `metrics.METRICS`."""
    values = {key: compute(predictions) for key, compute in _FUNCTIONS.items()}
    return {key: value for key, value in values.items() if value is not None}


def metric_score(predictions: Predictions, key: str) -> float | None:
    """The score of a metric; None for the accuracy, which is recorded by itself.

    Args:
        predictions: for the images of a split.
        key: of the metric.

    Raises:
        TrialError: `invalid` if the metric is not defined for these images.
    """
    if key == "accuracy":
        return None
    metric = REPORTED_METRICS[key]
    compute = calibrated_log_loss if metric is CALIBRATED_LOG_LOSS else _FUNCTIONS[key]
    value = compute(predictions)
    if value is None:
        raise TrialError("invalid", f"{metric.title} is not defined for the images of the split")
    return metric.score_of(value)


def confusion_matrix(predictions: Predictions) -> npt.NDArray[np.int64]:
    """The number of images by true class (rows) and predicted class, (num_classes, num_classes)."""
    size = predictions.num_classes
    cells = predictions.labels * size + predictions.predicted
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def _accuracy(predictions: Predictions) -> float:
    return predictions.accuracy


def _balanced_accuracy(predictions: Predictions) -> float:
    """The mean recall of the classes that have images."""
    images, correct, _ = class_counts(predictions)
    return float(np.mean(correct[images > 0] / images[images > 0]))


def _macro_f1(predictions: Predictions) -> float:
    """The mean F1 of the classes that have images; 0 for one that is never predicted."""
    images, correct, predicted = class_counts(predictions)
    present = images > 0
    return float(np.mean(2 * correct[present] / (images + predicted)[present]))


def class_counts(predictions: Predictions) -> tuple[Floats, Floats, Floats]:
    """Images, correctly predicted images, and predictions of each class, (num_classes,)."""
    size = predictions.num_classes
    images = np.bincount(predictions.labels, minlength=size)
    correct = np.bincount(predictions.labels[predictions.correct], minlength=size)
    predicted = np.bincount(predictions.predicted, minlength=size)
    return images.astype(float), correct.astype(float), predicted.astype(float)


def _top5(predictions: Predictions) -> float | None:
    """The fraction of images whose class is among the five most probable ones.

    A class counts if fewer than five are more probable, so that rounding loses no image.
    """
    ranks = ranks_of_labels(predictions)
    return None if ranks is None else float(np.mean((ranks < TOP) | predictions.correct))


def ranks_of_labels(predictions: Predictions) -> npt.NDArray[np.int64] | None:
    """(n,) how many classes are more probable than the true one.

    None without probabilities, and with so few classes that the top-5 accuracy has no meaning.
    """
    logs = predictions.log_probabilities
    if logs is None or predictions.num_classes <= TOP:
        return None
    of_label = logs[np.arange(len(predictions)), predictions.labels]
    return np.asarray((logs > of_label[:, None]).sum(axis=1))


def _auroc(predictions: Predictions) -> float | None:
    """The mean over classes of the area under the ROC curve of one class against the rest.

    With two classes it is the area of the second one, which both have in common.
    """
    probabilities, classes = predictions.probabilities, judged_classes(predictions)
    if probabilities is None or not len(classes):
        return None
    areas = [area_under_roc(predictions.labels == c, probabilities[:, c]) for c in classes]
    return float(np.mean(areas))


def judged_classes(predictions: Predictions) -> npt.NDArray[np.int64]:
    """The classes that an AUROC is averaged over; empty if all images have one class."""
    images = np.bincount(predictions.labels, minlength=predictions.num_classes)
    classes = np.flatnonzero((images > 0) & (images < len(predictions)))
    return np.array([1]) if len(classes) and predictions.num_classes == 2 else classes


def area_under_roc(positive: npt.NDArray[np.bool_], scores: Floats) -> float:
    """The area under the ROC curve of some scores (n,) for two kinds of images, both present.

    It is the Mann-Whitney statistic of the ranks (Hanley and McNeil, 1982); equal scores share a
    rank.
    """
    count, rest = int(positive.sum()), int((~positive).sum())
    rank_sum = average_ranks(scores)[positive].sum()
    return float((rank_sum - count * (count + 1) / 2) / (count * rest))


def average_ranks(values: Floats) -> Floats:
    """The ranks of values (n,), from 1; equal ones have the mean of their ranks."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return np.asarray((last - (sizes - 1) / 2)[group])


def _log_loss(predictions: Predictions) -> float | None:
    """The mean negative logarithm of the probability of the true class, in nats."""
    losses = log_losses(predictions)
    return None if losses is None else max(0.0, float(np.mean(losses)))


def log_losses(predictions: Predictions) -> Floats | None:
    """(n,) the log loss of each image, in nats; None without probabilities."""
    logs = predictions.log_probabilities
    if logs is None:
        return None
    exact = logs.astype(np.float64)
    normalisers = np.log(np.exp(exact).sum(axis=1))
    return np.asarray(normalisers - exact[np.arange(len(predictions)), predictions.labels])


def calibrated_log_loss(predictions: Predictions) -> float | None:
    """The mean log loss at the temperature with which it is lowest, in nats; None without
    probabilities.

    The outputs are divided by one temperature (Guo et al., arXiv 1706.04599), so that networks
    which are too sure of themselves are judged by what they tell apart. It is at most the logarithm
    of the number of classes.
    """
    logs = predictions.log_probabilities
    if logs is None:
        return None
    outputs = logs.astype(np.float64)
    of_label = outputs[np.arange(len(predictions)), predictions.labels]

    def mean_loss(inverse_temperature: float) -> float:
        scaled = inverse_temperature * (outputs - of_label[:, None])
        largest = scaled.max(axis=1)
        return float(np.mean(largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1))))

    # The loss is convex in the inverse temperature, so a ternary search finds its minimum.
    low, high = 0.0, MAX_INVERSE_TEMPERATURE
    while high - low > INVERSE_TEMPERATURE_STEP:
        first, second = low + (high - low) / 3, high - (high - low) / 3
        if mean_loss(first) <= mean_loss(second):
            high = second
        else:
            low = first
    return mean_loss((low + high) / 2)


_FUNCTIONS: dict[str, Callable[[Predictions], float | None]] = {
    "accuracy": _accuracy,
    "top5": _top5,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "auroc": _auroc,
    "log_loss": _log_loss,
}
