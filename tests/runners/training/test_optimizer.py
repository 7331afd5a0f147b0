"""The optimizer: what is decayed, and state that can be put back."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.optimizer import (
    flatten_parameters,
    group_parameters,
    make_optimizer,
)


def test_weights_are_decayed_and_biases_and_norms_are_not(tiny_recipe, network):
    recipe = tiny_recipe.model_copy(update={"weight_decay": 0.1})
    model = network()
    optimizer = make_optimizer(group_parameters(model), recipe)
    decayed, undecayed = optimizer.optimizer.param_groups
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (0.1, 0.0)
    assert {weight.ndim for weight in undecayed["params"]} == {1}
    assert min(weight.ndim for weight in decayed["params"]) > 1
    assert len(optimizer.weights) == len(list(model.parameters()))


@pytest.mark.parametrize("group", [group_parameters, flatten_parameters])
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_state_that_is_allocated_is_like_state_that_has_grown(tiny_recipe, network, name, group):
    """So a checkpoint fits an optimizer that has taken no step."""
    recipe = tiny_recipe.model_copy(update={"optimizer": name})
    trained = make_optimizer(group(network()), recipe)
    for weight in trained.weights:
        weight.grad = torch.ones_like(weight)
    trained.step()
    fresh = make_optimizer(group(network()), recipe)
    assert not fresh.state_tensors()
    fresh.allocate_state(trained.state_names())
    assert fresh.state_names() == trained.state_names()
    assert [t.shape for t in fresh.state_tensors()] == [t.shape for t in trained.state_tensors()]
    assert fresh.state_bytes == trained.state_bytes > 0


def test_preserved_state_is_put_back_in_the_same_memory(tiny_recipe, network):
    optimizer = make_optimizer(flatten_parameters(network()), tiny_recipe)

    def step(gradient):
        for weight in optimizer.weights:
            weight.grad = torch.full_like(weight, gradient)
        optimizer.step()

    with optimizer.preserved_state():
        step(1.0)
    assert all(not value.any() for value in optimizer.state_tensors())
    step(2.0)
    before = [value.clone() for value in optimizer.state_tensors()]
    memory = [value.data_ptr() for value in optimizer.state_tensors()]
    with optimizer.preserved_state():
        step(3.0)
        assert not all(map(torch.equal, optimizer.state_tensors(), before))
    assert all(map(torch.equal, optimizer.state_tensors(), before))
    assert [value.data_ptr() for value in optimizer.state_tensors()] == memory
