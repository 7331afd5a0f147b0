"""Batches: every image once an epoch, in batches of nearly the same size."""

from __future__ import annotations

import pytest
from attentune.errors import TrialError
from attentune.runners.training.batch_plan import plan_batches


@pytest.mark.parametrize("images", [2, 3, 5, 63, 64, 65, 127, 128, 129, 154, 1000])
@pytest.mark.parametrize("batch_size", [2, 16, 64])
def test_every_image_is_used_and_no_batch_is_small(tiny_recipe, images, batch_size):
    recipe = tiny_recipe.model_copy(update={"batch_size": batch_size, "drop_last": False})
    plan = plan_batches(recipe, images)
    batches = list(plan)
    assert [first for first, _ in batches] == [
        sum(size for _, size in batches[:step]) for step in range(plan.steps)
    ]
    sizes = [size for _, size in batches]
    assert sum(sizes) == images
    assert sorted(set(sizes), reverse=True) == list(plan.sizes)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2
    assert max(sizes) <= max(batch_size, 3)


@pytest.mark.parametrize("images", [64, 128, 640, 40])
def test_whole_batches_are_those_of_a_plan_that_drops_the_rest(tiny_recipe, images):
    plans = [
        plan_batches(tiny_recipe.model_copy(update={"drop_last": drop_last}), images)
        for drop_last in (True, False)
    ]
    assert list(plans[0]) == list(plans[1])


def test_images_that_fill_no_batch_are_dropped_where_the_recipe_says_so(tiny_recipe):
    assert list(plan_batches(tiny_recipe, 150)) == [(0, 64), (64, 64)]


def test_one_image_cannot_be_trained_on(tiny_recipe):
    with pytest.raises(TrialError, match="fewer than two images"):
        plan_batches(tiny_recipe, 1)
