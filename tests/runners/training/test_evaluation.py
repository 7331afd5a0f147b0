"""Evaluation: mirror images are averaged."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.evaluation import evaluate


def test_evaluation_with_mirror_images_averages_both_sides(digits, tiny_recipe, network):
    model = network().eval()
    both = digits.normalised(digits.val.take(torch.arange(len(digits.val))))
    with torch.no_grad():
        logits = (model(both) + model(both.flip(3))) / 2
    recipe = tiny_recipe.model_copy(update={"mirror": True})
    accuracy = evaluate(model, digits, recipe).accuracy
    assert accuracy == pytest.approx(float((logits.argmax(1) == digits.val.labels).float().mean()))
