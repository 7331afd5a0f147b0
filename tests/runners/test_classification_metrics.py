"""The metrics of predictions are scikit-learn's, also where classes are missing."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.runners.classification_metrics import (
    calibrated_log_loss,
    compute_metrics,
    confusion_matrix,
    metric_score,
)
from attentune.runners.metrics import METRICS
from attentune.runners.predictions import Predictions
from scipy import optimize, special
from sklearn import metrics as sklearn_metrics

EXACT = {"rel": 1e-9, "abs": 1e-12}


def random_predictions(draw, num_images=80, num_classes=7, classes=None, *, ties=False):
    """Predictions that are better than chance; `classes` are those that the images have."""
    labels = draw.choice(np.arange(num_classes) if classes is None else classes, size=num_images)
    logits = draw.normal(size=(num_images, num_classes)) * 2 + 2 * np.eye(num_classes)[labels]
    logits = np.round(logits) if ties else logits
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return Predictions(labels, logs.argmax(1), num_classes, logs.astype(np.float16))


def expected(predictions):
    """What scikit-learn says."""
    labels, predicted = predictions.labels, predictions.predicted
    present = np.unique(labels)
    probabilities = predictions.probabilities
    size = predictions.num_classes
    values = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": sklearn_metrics.recall_score(
            labels, predicted, labels=present, average="macro"
        ),
        "macro_f1": sklearn_metrics.f1_score(
            labels, predicted, labels=present, average="macro", zero_division=0
        ),
        "log_loss": sklearn_metrics.log_loss(labels, probabilities, labels=range(size)),
    }
    if size > 5:
        scores = probabilities + 1e-9 * np.eye(size)[predicted]
        values["top5"] = sklearn_metrics.top_k_accuracy_score(
            labels, scores, k=5, labels=range(size)
        )
    areas = [sklearn_metrics.roc_auc_score(labels == c, probabilities[:, c]) for c in present]
    values["auroc"] = np.mean(areas[-1:] if size == 2 else areas)
    return values


@pytest.mark.parametrize("seed", range(30))
def test_metrics_are_those_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    num_classes = int(draw.integers(2, 12))
    present = draw.permutation(num_classes)[: int(draw.integers(2, num_classes + 1))]
    predictions = random_predictions(draw, 60, num_classes, present)
    values = compute_metrics(predictions)
    assert values == pytest.approx(expected(predictions), **EXACT)
    assert list(values) == [key for key in METRICS if key in values]
    assert values["accuracy"] <= values.get("top5", 1.0)


def test_equal_probabilities_share_a_rank():
    predictions = random_predictions(np.random.default_rng(1), 300, 3, ties=True)
    assert compute_metrics(predictions) == pytest.approx(expected(predictions), **EXACT)


def test_with_two_classes_the_auroc_is_that_of_the_second():
    predictions = random_predictions(np.random.default_rng(2), 50, 2)
    area = sklearn_metrics.roc_auc_score(predictions.labels, predictions.probabilities[:, 1])
    values = compute_metrics(predictions)
    assert values["auroc"] == pytest.approx(area)
    assert "top5" not in values


def test_images_of_one_class_have_no_auroc_and_the_other_metrics():
    predictions = random_predictions(np.random.default_rng(3), 20, 4, [2])
    values = compute_metrics(predictions)
    assert "auroc" not in values
    assert values["balanced_accuracy"] == values["accuracy"]
    assert np.isfinite(list(values.values())).all()


def test_data_of_one_class_are_predicted_without_loss():
    labels = np.zeros(5, np.int64)
    predictions = Predictions(labels, labels, 1, np.zeros((5, 1), np.float16))
    assert compute_metrics(predictions) == {
        "accuracy": 1,
        "balanced_accuracy": 1,
        "macro_f1": 1,
        "log_loss": 0,
    }


def test_predicted_classes_alone_suffice_for_the_metrics_that_need_no_more():
    full = random_predictions(np.random.default_rng(4))
    classes = Predictions(full.labels, full.predicted, full.num_classes)
    without = {key for key, metric in METRICS.items() if not metric.needs_probabilities}
    assert compute_metrics(classes) == {
        k: v for k, v in compute_metrics(full).items() if k in without
    }


def test_the_worst_prediction_that_float16_can_hold_has_a_finite_loss():
    logs = np.array([[0, np.finfo(np.float16).min]], np.float16)
    predictions = Predictions(np.array([1]), np.array([0]), 2, logs)
    assert compute_metrics(predictions)["log_loss"] == pytest.approx(65504)


def test_the_confusion_matrix_is_that_of_scikit_learn():
    predictions = random_predictions(np.random.default_rng(5), 200, 6, [0, 1, 4])
    matrix = sklearn_metrics.confusion_matrix(
        predictions.labels, predictions.predicted, labels=range(6)
    )
    assert np.array_equal(confusion_matrix(predictions), matrix)


@pytest.mark.parametrize("seed", range(5))
def test_the_calibrated_loss_is_that_of_the_best_temperature(seed):
    predictions = random_predictions(np.random.default_rng(seed))
    logs = predictions.log_probabilities.astype(float)

    def loss(temperature):
        return sklearn_metrics.log_loss(
            predictions.labels, special.softmax(logs / temperature, axis=1), labels=range(7)
        )

    best = optimize.minimize_scalar(loss, bounds=(0.2, 50), method="bounded").fun
    assert calibrated_log_loss(predictions) == pytest.approx(best, abs=1e-5)


def test_being_too_sure_does_not_raise_the_calibrated_loss():
    predictions = random_predictions(np.random.default_rng(0))
    logits = 20 * predictions.log_probabilities.astype(float)
    sure = Predictions(
        predictions.labels,
        predictions.predicted,
        7,
        (logits - special.logsumexp(logits, axis=1, keepdims=True)).astype(np.float16),
    )
    plain = compute_metrics(predictions)["log_loss"]
    assert compute_metrics(sure)["log_loss"] > 2 * plain
    assert calibrated_log_loss(sure) == pytest.approx(calibrated_log_loss(predictions), abs=0.01)
    assert calibrated_log_loss(sure) <= np.log(7)
    assert metric_score(sure, "calibrated_log_loss") == -calibrated_log_loss(sure)
    assert "calibrated_log_loss" not in compute_metrics(sure)
