"""Whether a result is above chance, against exact binomial probabilities and simulated guesses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attentune.runners.classification_metrics import compute_metrics
from attentune.runners.metrics import METRICS
from attentune.runners.predictions import Predictions
from attentune.studies.analysis.chance import is_above_chance, is_score_above_chance
from attentune.studies.analysis.evaluation_images import EvaluationImages


@pytest.mark.parametrize(
    ("correct", "images", "share", "architectures", "expected"),
    [
        (15, 20, 0.5, 1, True),  # P(X ≥ 15) = 0.021
        (14, 20, 0.5, 1, False),  # P(X ≥ 14) = 0.058
        (15, 20, 0.5, 10, False),  # The highest of ten.
        (10, 29, 0.25, 1, False),
        (450, 500, 0.9, 1, False),  # Always naming the most frequent class.
        (470, 500, 0.9, 1, True),
        (29, 29, 1.0, 1, False),  # There is one class.
    ],
)
def test_an_accuracy_is_above_chance_if_the_binomial_test_says_so(
    correct: int, images: int, share: float, architectures: int, expected: bool
) -> None:
    assert is_above_chance(correct / images, images, share, architectures) is expected


GUESSED = ("balanced_accuracy", "macro_f1", "auroc", "log_loss", "top5")
COUNTS = (120, 60, 30, 20, 15, 10, 5)


def guess(kind: str, rng: np.random.Generator) -> Predictions:
    """Predictions that are independent of the labels."""
    labels = np.repeat(np.arange(len(COUNTS)), COUNTS)
    shares = np.array(COUNTS) / sum(COUNTS)
    logits = rng.normal(size=(len(labels), len(COUNTS)))
    if kind == "frequencies":
        logits = np.log(shares) + 0.3 * logits
    elif kind == "rare classes":
        logits = -np.log(shares) + 0.3 * logits
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Predictions(labels, logits.argmax(1), len(COUNTS), logs.astype(np.float16))


@pytest.mark.parametrize("kind", ["at random", "frequencies", "rare classes"])
@pytest.mark.parametrize("metric", GUESSED)
def test_a_guess_is_seldom_above_chance(metric: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    values = [compute_metrics(guess(kind, rng))[metric] for _ in range(200)]
    scores = [METRICS[metric].score_of(value) for value in values]
    above = [is_score_above_chance(metric, score, COUNTS) for score in scores]
    assert np.mean(above) <= 0.07


@pytest.mark.parametrize("metric", GUESSED)
def test_a_network_that_knows_a_little_is_above_chance(metric: str) -> None:
    """Also where fewer images are recognised than always naming the most frequent class does."""
    rng = np.random.default_rng(0)
    rare = metric in ("balanced_accuracy", "macro_f1", "auroc")
    guessed = guess("rare classes" if rare else "frequencies", rng)
    logits = np.log(guessed.probabilities) + 2 * np.eye(len(COUNTS))[guessed.labels]
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    network = replace(
        guessed, predicted=logits.argmax(1), log_probabilities=logs.astype(np.float16)
    )
    score = METRICS[metric].score_of(compute_metrics(network)[metric])
    assert is_score_above_chance(metric, score, COUNTS, architectures=20)


def test_the_images_of_a_split_tell_its_level_of_chance() -> None:
    images = EvaluationImages(sum(COUNTS), True, 120 / 260, COUNTS)
    levels = {metric: images.chance_level(metric) for metric in GUESSED}
    assert levels["balanced_accuracy"] == levels["macro_f1"] == pytest.approx(1 / 7)
    assert levels["auroc"] == 0.5
    assert levels["top5"] == pytest.approx(245 / 260)
    shares = np.array(COUNTS) / 260
    assert levels["log_loss"] == pytest.approx(float((shares * np.log(shares)).sum()))
    assert images.at_chance("balanced_accuracy", 0.15, 1)
    assert not images.at_chance("balanced_accuracy", 0.4, 1)
    # Without the numbers of each class, only accuracies can be judged.
    assert not replace(images, class_counts=None).at_chance("balanced_accuracy", 0.15, 1)
