"""Per-class results and calibration, also where classes are missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from attentune.runners.predictions import Predictions
from attentune.studies.analysis.classification import classify
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score


def example(num_images=200, num_classes=5, present=None, seed=0):
    draw = np.random.default_rng(seed)
    labels = draw.choice(num_classes if present is None else present, size=num_images)
    logits = draw.normal(size=(num_images, num_classes)) * 2 + np.eye(num_classes)[labels]
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return Predictions(labels, logs.argmax(1), num_classes, logs.astype(np.float16))


def test_classes_have_the_results_of_scikit_learn():
    predictions = example()
    classes = classify(predictions, tuple("abcde")).classes
    precision, recall, f1, images = precision_recall_fscore_support(
        predictions.labels, predictions.predicted
    )
    assert [result.name for result in classes] == list("abcde")
    assert [result.recall for result in classes] == pytest.approx(recall)
    assert [result.precision for result in classes] == pytest.approx(precision)
    assert [result.f1 for result in classes] == pytest.approx(f1)
    assert [result.images for result in classes] == images.tolist()
    areas = [
        roc_auc_score(predictions.labels == number, predictions.probabilities[:, number])
        for number in range(5)
    ]
    assert [result.auroc for result in classes] == pytest.approx(areas)


def test_a_class_without_images_has_no_recall_and_one_never_predicted_no_precision():
    labels = np.array([0, 0, 1, 1])
    predictions = Predictions(labels, np.array([0, 2, 0, 0]), 4)
    first, second, third, fourth = classify(predictions).classes
    assert (first.recall, first.precision) == (0.5, pytest.approx(1 / 3))
    assert (second.recall, second.precision, second.f1) == (0, None, 0)
    assert (third.recall, third.precision) == (None, 0)
    assert (fourth.images, fourth.recall, fourth.precision, fourth.f1) == (0, None, None, None)


def test_the_calibration_error_weighs_bins_by_their_images():
    # Four images are predicted with 90 %, three of them correctly; two with 60 %, both wrongly.
    confidences = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    logs = np.log(np.stack([confidences, 1 - confidences], 1)).astype(np.float16)
    labels = np.array([0, 0, 0, 1, 1, 1])
    calibration = classify(Predictions(labels, np.zeros(6, int), 2, logs)).calibration
    assert calibration.error == pytest.approx((4 * 0.15 + 2 * 0.6) / 6, abs=1e-3)
    assert [(group.images, group.accuracy) for group in calibration.bins] == [(2, 0), (4, 0.75)]
    assert calibration.confidence == pytest.approx(0.8, abs=1e-3)


def test_probabilities_that_are_true_are_calibrated():
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet(np.ones(4), size=20_000)
    labels = (probabilities.cumsum(1) < draw.random((20_000, 1))).sum(1)
    logs = np.log(probabilities).astype(np.float16)
    predictions = Predictions(labels, probabilities.argmax(1), 4, logs)
    assert classify(predictions).calibration.error < 0.02


def test_the_most_frequent_confusions_come_first():
    labels, predicted = np.array([0, 0, 0, 1, 2, 2]), np.array([1, 1, 0, 0, 2, 1])
    pairs = classify(Predictions(labels, predicted, 3), ("cat", "dog", "fox")).confused_pairs(2)
    assert pairs == [("cat", "dog", 2), ("dog", "cat", 1)]


@pytest.mark.parametrize("present", [[1], [0, 3], None])
@pytest.mark.parametrize("num_classes", [4, 8])
def test_all_of_it_is_json_whatever_classes_are_there(present, num_classes):
    result = classify(example(30, num_classes, present), names=("too", "few"))
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["classes"][1]["name"] == "1"
    assert sum(map(sum, result.confusion)) == 30
