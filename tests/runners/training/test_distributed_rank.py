"""Gradients on several ranks: those of one process, also with batch normalisation."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.runners.training.data_parallel import SINGLE_DEVICE
from distributed_ranks import run_on_ranks, take_steps


@pytest.mark.parametrize("batch_norm", [False, True])
def test_gradients_losses_and_running_statistics_are_those_of_one_process(
    cache, tiny_recipe, batch_norm
):
    # Adam would make a full step of the rounding error of a gradient that is zero.
    recipe = tiny_recipe.model_copy(update={"optimizer": "sgd"})
    arguments = (recipe, [63, 64, 37], batch_norm)
    alone = take_steps(SINGLE_DEVICE, *arguments)
    ranks = run_on_ranks(take_steps, 2, *arguments)
    assert sum(rank["loss"] for rank in ranks) / 2 == pytest.approx(alone["loss"], rel=1e-5)
    for rank in ranks:
        for gradient, expected in zip(rank["gradients"], alone["gradients"], strict=True):
            if expected is None or not expected.any():
                assert gradient is None or not gradient.any()
            else:
                np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)
        for name, value in alone["state"].items():
            np.testing.assert_allclose(rank["state"][name], value, rtol=1e-3, atol=1e-4)
    for gradient, other in zip(*(rank["gradients"] for rank in ranks), strict=True):
        assert np.array_equal(gradient, other)
