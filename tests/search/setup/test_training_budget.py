"""Batch size and epochs follow the number of images, where the request leaves them open."""

from __future__ import annotations

import logging

import pytest
from attentune.runners.recipe import Recipe
from attentune.runners.training.batch_plan import plan_batches
from attentune.search.setup.request import read_request
from attentune.search.setup.training_budget import resolve_training_budget


def resolved(images, recipe=None, **settings):
    request = read_request({"backbone": "resnet18", "data": "photos", **settings}, None)
    fields = {"data": "photos", "image_size": 32, "lr": 4e-3, **request.recipe_settings}
    fields.pop("value_range", None)
    return resolve_training_budget(request, recipe or Recipe.of(**fields), images)


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs"),
    [(20, 16, 100), (154, 16, 20), (512, 32, 13), (1024, 64, 13), (6000, 128, 8), (10**6, 128, 8)],
)
def test_a_trial_has_enough_steps_and_large_sets_are_trained_as_usual(images, batch_size, epochs):
    recipe = resolved(images)
    assert (recipe.batch_size, recipe.epochs) == (batch_size, epochs)
    plan = plan_batches(recipe, images)
    assert plan.steps * recipe.epochs >= 200
    assert sum(size for _, size in plan) == images


def test_what_is_requested_stays():
    recipe = resolved(154, batch_size=64, epochs=3, drop_last=True, lr=0.01)
    settings = (recipe.batch_size, recipe.epochs, recipe.drop_last, recipe.lr)
    assert settings == (64, 3, True, 0.01)
    assert resolved(154, batch_size=64).epochs == 67
    assert resolved(154, epochs=3).batch_size == 16


def test_the_usual_rate_follows_the_batch_size():
    assert resolved(154).lr == pytest.approx(4e-3 / 8**0.5)
    assert resolved(154, optimizer="sgd").lr == pytest.approx(4e-3 / 8)
    assert resolved(6000).lr == 4e-3
    assert resolved(6000, batch_size=64).lr == 4e-3  # as before, tuning begins where it did


def test_the_choice_is_said_in_one_line_and_few_steps_are_warned_of(caplog):
    caplog.set_level(logging.INFO, "attentune")
    resolved(154)
    assert caplog.messages == [
        "training for 20 epochs of 10 steps, with batches of up to 16 of the 154 training images; "
        "--epochs and --batch-size override this"
    ]
    caplog.clear()
    resolved(154, batch_size=128, epochs=8)
    assert caplog.messages[1].startswith("A trial has only 16 training steps")
    assert caplog.records[1].levelno == logging.WARNING
