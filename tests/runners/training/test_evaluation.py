"""Evaluation: mirror images are averaged."""

from __future__ import annotations

import math

import pytest
import torch
from attentune.errors import TrialError
from attentune.runners.training.evaluation import Evaluation, evaluate


def test_evaluation_with_mirror_images_averages_both_sides(digits, tiny_recipe, network):
    model = network().eval()
    both = digits.normalised(digits.val.take(torch.arange(len(digits.val))))
    with torch.no_grad():
        logits = (model(both) + model(both.flip(3))) / 2
    recipe = tiny_recipe.model_copy(update={"mirror": True})
    accuracy = evaluate(model, digits, recipe).accuracy
    assert accuracy == pytest.approx(float((logits.argmax(1) == digits.val.labels).float().mean()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["loss", "accuracy", "f1"])
def test_an_evaluation_that_is_not_finite_has_diverged(place, value):
    metrics = {"accuracy": 0.5, "f1": 0.5, **({} if place == "loss" else {place: value})}
    Evaluation({"accuracy": 0.5}, 1.0).check_finite("in epoch 3")
    with pytest.raises(
        TrialError, match=f"the {place} of the evaluation was .* in epoch 3"
    ) as not_finite:
        Evaluation(metrics, value if place == "loss" else 1.0).check_finite("in epoch 3")
    assert not_finite.value.kind == "diverged"
