"""How a trial classifies: each class, the confusion of classes, and the calibration.

Follows from the trial's predictions. Where a number has no meaning it is None: the recall of a
class without images, the precision of a class that was never predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runners.classification_metrics import (
    area_under_roc,
    compute_metrics,
    confusion_matrix,
)
from ...runners.metrics import in_order
from ...runners.predictions import Predictions
from .findings import ArchitectureSummary

CALIBRATION_BINS = 15
"""Bins of equal width, as in Guo et al."""


@dataclass(frozen=True)
class ClassResult:
    """The result for one class.

    Attributes:
        name: of the class.
        images: of this class.
        predicted: images that were taken for it.
        recall: the fraction of its images that were recognised.
        precision: the fraction of those taken for it that are of it.
        f1: their harmonic mean.
        auroc: area under the ROC curve of this class against the rest.
    """

    name: str
    images: int
    predicted: int
    recall: float | None
    precision: float | None
    f1: float | None
    auroc: float | None


@dataclass(frozen=True)
class CalibrationBin:
    """The images whose predicted class had a probability within one bin.

    Attributes:
        images: their number.
        confidence: the mean probability of the predicted class.
        accuracy: the fraction whose class was predicted.
    """

    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether images are classified as often correctly as their probabilities say.

    Attributes:
        error: the expected calibration error (Guo et al., arXiv 1706.04599): the mean distance of
            accuracy and confidence over bins, weighted by their images; a fraction.
        confidence: the mean probability of the predicted class.
        bins: those that have images, by confidence.
    """

    error: float
    confidence: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class Classification:
    """How a trial classifies the images of a split.

    Attributes:
        metrics: by key, in the order of `METRICS`.
        classes: one entry a class, in the order of the labels.
        confusion: images by true class (rows) and predicted class.
        calibration: None if the probabilities were not kept.
    """

    metrics: dict[str, float]
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration | None

    def confused_pairs(self, count: int) -> list[tuple[str, str, int]]:
        """The most frequent confusions: true class, predicted class, number of images."""
        pairs = [
            (self.classes[row].name, self.classes[column].name, images)
            for row, line in enumerate(self.confusion)
            for column, images in enumerate(line)
            if images and row != column
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:count]

    def to_json(self) -> dict[str, Any]:
        """Plain types, for `show --trial --json`."""
        return {
            "classes": [asdict(result) for result in self.classes],
            "confusion": [list(row) for row in self.confusion],
            "calibration": None if self.calibration is None else asdict(self.calibration),
        }


def mean_metrics(
    summary: ArchitectureSummary, recorded: Mapping[int, Mapping[str, float]]
) -> dict[str, float]:
    """The mean of each metric over the trials of an architecture, in the order of `METRICS`.

    These are plain means: effects of seeds are removed from estimates only.

    Args:
        summary: of the architecture.
        recorded: the metrics of trials besides their accuracy, by number.
    """
    trials = [recorded[number] for number in summary.numbers if number in recorded]
    values = {
        name: [trial[name] for trial in trials if name in trial]
        for name in in_order(name for trial in trials for name in trial)
    }
    if not np.isnan(summary.accuracies).any():
        values = {"accuracy": list(summary.accuracies), **values}
    return {name: float(np.mean(group)) for name, group in values.items() if group}


def classify(predictions: Predictions, names: tuple[str, ...] | None = None) -> Classification:
    """All that tables and figures show of a trial's predictions.

    Args:
        predictions: of one trial.
        names: of the classes; None, or of another number than there are classes: their numbers.
    """
    size = predictions.num_classes
    if names is None or len(names) != size:
        names = tuple(map(str, range(size)))
    confusion = confusion_matrix(predictions)
    return Classification(
        metrics=compute_metrics(predictions),
        classes=_class_results(predictions, names, confusion),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        calibration=_calibrate(predictions),
    )


def _class_results(
    predictions: Predictions, names: tuple[str, ...], confusion: npt.NDArray[np.int64]
) -> tuple[ClassResult, ...]:
    images, predicted, correct = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    probabilities = predictions.probabilities
    results = []
    for number, name in enumerate(names):
        auroc = None
        if probabilities is not None and 0 < images[number] < len(predictions):
            auroc = area_under_roc(predictions.labels == number, probabilities[:, number])
        results.append(
            ClassResult(
                name,
                int(images[number]),
                int(predicted[number]),
                _ratio(correct[number], images[number]),
                _ratio(correct[number], predicted[number]),
                _ratio(2 * correct[number], images[number] + predicted[number]),
                auroc,
            )
        )
    return tuple(results)


def _ratio(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def _calibrate(predictions: Predictions) -> Calibration | None:
    probabilities = predictions.probabilities
    if probabilities is None:
        return None
    confidence = probabilities[np.arange(len(predictions)), predictions.predicted]
    bin_of_image = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = []
    for number in np.unique(bin_of_image):
        inside = bin_of_image == number
        accuracy = float(predictions.correct[inside].mean())
        bins.append(CalibrationBin(int(inside.sum()), float(confidence[inside].mean()), accuracy))
    distances = [abs(group.accuracy - group.confidence) * group.images for group in bins]
    error = sum(distances) / len(predictions)
    return Calibration(float(error), float(confidence.mean()), tuple(bins))
