"""What is not kept of predictions is said, with the reason."""

from __future__ import annotations

import numpy as np
from attentune.runners.predictions import Predictions
from attentune.studies.analysis.image_comparison import compare_predictions
from attentune.studies.config import RunPlan
from attentune.studies.text.predictions import describe_test, describe_unkept_predictions


def test_nothing_is_said_if_all_is_kept():
    assert describe_unkept_predictions(RunPlan(), 2000, 10) is None


def test_probabilities_above_the_limit_are_left_out_and_the_sentence_says_so():
    sentence = describe_unkept_predictions(RunPlan(), 50_000, 1000)
    assert "50,000 images and 1,000 classes take 95.4 MiB a trial, more than the 16 MiB" in sentence
    assert "without top-5, AUROC, log loss and calibration" in sentence
    assert describe_unkept_predictions(RunPlan(max_predictions_size=100), 50_000, 1000) is None


def test_what_was_asked_for_is_the_reason():
    only_classes = describe_unkept_predictions(RunPlan(keep_predictions="classes"), 50_000, 1000)
    assert "(--keep-predictions classes)" in only_classes
    assert "MiB" not in only_classes
    nothing = describe_unkept_predictions(RunPlan(keep_predictions="none"), 10, 2)
    assert "--keep-predictions none" in nothing


def test_networks_at_chance_are_not_tested():
    """Two thirds of the images are of one class, which the networks recognise no better."""
    labels = np.array([0, 0, 1] * 40)
    bare = Predictions(labels, np.zeros_like(labels), 2)
    attentive = Predictions(labels, np.where(np.arange(120) < 90, 0, 1), 2)
    noise = compare_predictions([(attentive, bare)])
    assert (
        describe_test(noise) == "Neither network is above chance, so these differences are noise."
    )
    good = Predictions(labels, np.where(np.arange(120) < 110, labels, 1 - labels), 2)
    assert "McNemar's test, p < 0.001" in describe_test(compare_predictions([(good, bare)]))
