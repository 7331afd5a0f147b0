"""What each image adds to a metric: its mean, and its first-order effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attentune.runners.classification_metrics import compute_metrics
from attentune.runners.image_scores import judge_images
from attentune.runners.metrics import METRICS
from attentune.runners.predictions import Predictions

IMAGES = 400


def predictions(classes: int, seed: int = 0) -> Predictions:
    """Predictions of unbalanced classes, better than chance, some with equal probabilities."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.3, IMAGES) - 1, classes - 1)
    logits = rng.normal(size=(IMAGES, classes)) + 1.5 * np.eye(classes)[labels]
    logits = np.round(logits, 1)  # Equal scores must share a rank.
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Predictions(labels, logits.argmax(axis=1), classes, logs.astype(np.float16))


def without(whole: Predictions, image: int) -> Predictions:
    kept = np.arange(len(whole)) != image
    assert whole.log_probabilities is not None
    return replace(
        whole,
        labels=whole.labels[kept],
        predicted=whole.predicted[kept],
        log_probabilities=whole.log_probabilities[kept],
    )


@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("key", METRICS)
def test_the_mean_over_images_is_the_metric_and_each_image_has_the_effect_of_leaving_it_out(
    key: str, classes: int
) -> None:
    whole, metric = predictions(classes), METRICS[key]
    judged = judge_images(whole, key)
    if key == "top5" and classes == 2:
        assert judged is None
        return
    assert judged is not None
    score = metric.score_of(compute_metrics(whole)[key])
    assert judged.scores.mean() == pytest.approx(score, abs=1e-12)
    for image in range(0, IMAGES, 37):
        change = score - metric.score_of(compute_metrics(without(whole, image))[key])
        expected = (judged.scores[image] - score) / (IMAGES - 1)
        assert change == pytest.approx(expected, rel=0.1, abs=2e-5)


def test_only_metrics_of_predicted_classes_judge_an_image_right_or_wrong() -> None:
    whole = predictions(7)
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        judged = judge_images(whole, key)
        assert judged is not None
        np.testing.assert_array_equal(judged.correct, whole.correct)
    for key in ("auroc", "log_loss"):
        assert judge_images(whole, key).correct is None
        assert judge_images(replace(whole, log_probabilities=None), key) is None
