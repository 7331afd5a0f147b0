"""Steps: undone without a trace, and captured only where that is possible."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.epoch_batches import EpochBatches
from attentune.runners.training.optimizer import flatten_parameters, make_optimizer
from attentune.runners.training.steps import EagerStep, undo_steps


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_steps_of_a_warm_up_leave_no_trace(digits, tiny_recipe, network, optimizer):
    recipe = tiny_recipe.model_copy(update={"optimizer": optimizer})

    def trained(warm_ups):
        model = network().train()
        step = EagerStep(model, make_optimizer(flatten_parameters(model), recipe), digits, recipe)
        batches = EpochBatches(digits, recipe, seed=0, epoch=0)
        torch.manual_seed(0)
        for number in range(4):
            if number in warm_ups:
                with undo_steps(step):
                    for _ in range(3):
                        step(*batches.batch(7 - number, 16))
            step(*batches.batch(number, 16))
        return [*model.state_dict().values(), step.loss_sum]

    for warmed_up, plain in zip(trained({0, 2}), trained(set()), strict=True):
        assert torch.equal(warmed_up, plain)


def test_on_a_cpu_steps_are_not_captured_and_the_outcome_says_so(tiny_recipe, run_training):
    outcome = run_training(tiny_recipe)[0]
    assert outcome.steps == "eager: no CUDA graphs on cpu"
