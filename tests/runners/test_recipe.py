"""A recipe is validated as one value, and starts from the settings that are usual."""

from __future__ import annotations

import pytest
from attentune.errors import RecipeError
from attentune.runners.recipe import Recipe, usual_settings


@pytest.mark.parametrize(
    ("words", "usual"),
    [
        (("adamw", "wsd", "scratch"), {"lr": 4e-3, "weight_decay": 0.05}),
        (("adamw", "wsd", "pretrained"), {"lr": 1e-3, "weight_decay": 0.05}),
        (("sgd", "constant", "scratch"), {"lr": 0.1, "weight_decay": 5e-4}),
        (
            ("adamw", "onecycle", "scratch"),
            {"lr": 4e-3, "weight_decay": 0.05, "warmup": 0.25},
        ),
    ],
)
def test_usual_settings_suit_optimizer_schedule_and_initial_weights(words, usual):
    assert usual_settings(*words) == usual


def test_a_recipe_starts_from_what_is_usual():
    recipe = Recipe.of(data="digits", image_size=16)
    assert (recipe.lr, recipe.weight_decay) == (4e-3, 0.05)
    assert usual_settings(recipe.optimizer, recipe.schedule, recipe.init)["lr"] == recipe.lr


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, r"recipe: epochs: input should be greater than or equal to 1 \(got 0\)"),
        ({"warmup": 0.7}, "recipe: warmup and decay together exceed the whole run"),
        (
            {"class_weights": True, "balanced_sampling": True},
            "recipe: class_weights and balanced_sampling together would count rare classes twice",
        ),
        ({"momentum": 0.9}, "recipe: momentum: extra inputs are not permitted"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(fields, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.of(data="digits", image_size=16, **fields)
