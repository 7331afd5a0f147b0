"""The optimizer: what is decayed, and state that can be put back."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import DamagedFileError
from attentune.runners.training.optimizer import (
    TrainingOptimizer,
    flatten_parameters,
    group_parameters,
    make_optimizer,
)
from attentune.runners.training.train import train


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


# --- fp16: the loss is scaled, and steps without finite gradients are skipped ---------------------


@pytest.fixture
def fp16(tiny_recipe):
    return tiny_recipe.model_copy(update={"precision": "fp16", "lr": 0.01, "weight_decay": 0.0})


def linear_network() -> torch.nn.Module:
    """A network that is fast in fp16 on a CPU."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 10))


def take_step(optimizer: TrainingOptimizer, weight: torch.Tensor, factor: float) -> None:
    optimizer.backward(factor * weight.square().sum())
    optimizer.step()
    optimizer.clear_gradients()


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_a_step_that_overflows_changes_nothing_but_the_scale(fp16, name):
    recipe = fp16.model_copy(update={"optimizer": name})
    model = linear_network()
    optimizer = make_optimizer(flatten_parameters(model), recipe)
    weight = model[1].weight
    before, scale = weight.detach().clone(), optimizer.scaler.get_scale()
    take_step(optimizer, weight, 1e38)
    assert torch.equal(weight, before)
    assert optimizer.scaler.get_scale() == scale / 2
    state = [t for t in optimizer.state_tensors() if t.shape == weight.shape]
    assert state
    assert all(not tensor.any() for tensor in state)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_after_a_skipped_step_fp16_steps_as_float32_does(fp16, name):
    """The scale is a power of two, so it changes no bit of a gradient."""
    weights = {}
    for precision in ("float32", "fp16"):
        recipe = fp16.model_copy(update={"optimizer": name, "precision": precision})
        model = linear_network()
        optimizer = make_optimizer(flatten_parameters(model), recipe)
        if precision == "fp16":
            take_step(optimizer, model[1].weight, 1e38)
        for _ in range(2):
            take_step(optimizer, model[1].weight, 1.0)
        weights[precision] = model[1].weight
    assert torch.equal(*weights.values())


def test_the_scale_is_restored_with_the_state(fp16):
    model = linear_network()
    optimizer = make_optimizer(flatten_parameters(model), fp16)
    before = optimizer.scaler_state()
    with optimizer.preserved_state():
        take_step(optimizer, model[1].weight, 1e38)
        assert optimizer.scaler_state() != before
    assert optimizer.scaler_state() == before


def test_a_training_in_fp16_continues_bit_for_bit_with_its_scale(fp16, digits, tmp_path):
    scales = []

    def save_all(report, save):
        scales.append(save.training.optimizer.scaler.get_scale())
        save(tmp_path / str(report.epoch), {})
        return True

    whole = train(linear_network(), digits, fp16, seed=0, on_epoch=save_all).model
    assert scales[-1] < 65536  # Steps were skipped.
    saved = tmp_path / "1"
    continued = train(linear_network(), digits, fp16, seed=0, resume=saved, on_epoch=save_all).model
    assert scales[3:] == scales[1:3]
    assert torch.equal(whole[1].weight, continued[1].weight)
    bf16 = fp16.model_copy(update={"precision": "bf16"})
    with pytest.raises(DamagedFileError):
        train(linear_network(), digits, bf16, seed=0, resume=saved)


@pytest.mark.parametrize("state", [None, {}, {"scale": 1.0}, "scale", [1.0]])
def test_a_checkpoint_without_a_scale_is_refused(fp16, state):
    optimizer = make_optimizer(flatten_parameters(linear_network()), fp16)
    with pytest.raises(DamagedFileError, match="the scale of the loss is missing"):
        optimizer.load_scaler_state(state)
    damaged = {**optimizer.scaler_state(), "scale": float("nan")}
    with pytest.raises(DamagedFileError, match="the scale of the loss is missing"):
        optimizer.load_scaler_state(damaged)
