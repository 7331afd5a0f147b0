"""Flat parameters move as their slices would by themselves."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.epoch_batches import EpochBatches
from attentune.runners.training.optimizer import (
    flatten_parameters,
    group_parameters,
    make_optimizer,
)
from attentune.runners.training.steps import EagerStep
from attentune.runners.training.weight_average import WeightAverage, flatten_state


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_flat_parameters_move_as_they_would_apart(
    digits, tiny_recipe, network, optimizer, channels_last
):
    """And so does their average, up to rounding: the ends of vectors are computed one by one."""
    recipe = tiny_recipe.model_copy(update={"optimizer": optimizer})

    def trained(group):
        model = network("mobilenetv3_small_050").train()
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        optimizer = make_optimizer(group(model), recipe)
        average = WeightAverage(flatten_state(model, optimizer.slices), 0.9)
        step = EagerStep(model, optimizer, digits, recipe)
        batches = EpochBatches(digits, recipe, seed=0, epoch=0)
        for number in range(4):
            step(*batches.batch(number, 16))
            average.update()
        live = [value.clone() for value in model.state_dict().values()]
        with average.applied():
            averaged = [value.clone() for value in model.state_dict().values()]
        return len(optimizer.weights), [*live, *averaged]

    few, together = trained(flatten_parameters)
    many, apart = trained(group_parameters)
    assert few < many / 4
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-5)
    half = len(together) // 2
    assert not all(map(torch.equal, together[:half], together[half:]))
