"""Rates of their own for what is new and for the layers of the backbone, and a frozen backbone."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch
from attentune.runners.training.optimizer import flatten_parameters, make_optimizer
from attentune.runners.training.parameter_rates import parameter_rates
from attentune.runners.training.train import train
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.networks.build import build_network

SE = "test_resnet+se(r=4,start=identity)@all.residual"
FINE_TUNING = {"attention_lr": 8e-3, "layer_decay": 0.5}


@pytest.fixture
def fine_tuning(tiny_recipe):
    return tiny_recipe.model_copy(update=FINE_TUNING)


def test_attentions_and_the_head_have_a_rate_of_their_own(tiny_recipe, network):
    recipe = tiny_recipe.model_copy(update={"lr": 0.25, "attention_lr": 0.75})
    rates = parameter_rates(network(SE), recipe)
    new = {name for name, rate in rates.items() if rate.is_new}
    assert new == {name for name in rates if ".attention." in name or name.startswith("fc.")}
    assert {rates[name].factor for name in new} == {3.0}
    assert {rate.factor for name, rate in rates.items() if name not in new} == {1.0}


@pytest.mark.parametrize("backbone", ["test_resnet", "test_vit", "test_convnext", "resnet6"])
def test_layers_decay_as_in_timms_parameter_groups(tiny_recipe, backbone):
    model = import_timm().create_model(backbone, num_classes=10)
    recipe = tiny_recipe.model_copy(update={"layer_decay": 0.5})
    groups = import_module("timm.optim").param_groups_layer_decay(model, layer_decay=0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    expected = {names[id(p)]: group["lr_scale"] for group in groups for p in group["params"]}
    rates = parameter_rates(model, recipe)
    assert {name: rate.factor for name, rate in rates.items()} == expected
    assert len(set(expected.values())) > 2


def test_attentions_do_not_change_the_layers_of_the_backbone(fine_tuning, network):
    bare, attended = (parameter_rates(network(text), fine_tuning) for text in ("test_resnet", SE))
    assert {name: attended[name] for name in bare} == bare


def test_every_group_of_the_optimizer_follows_the_schedule_at_its_own_rate(fine_tuning, network):
    model = network(SE)
    optimizer = make_optimizer(flatten_parameters(model, fine_tuning), fine_tuning)
    optimizer.set_learning_rate(fine_tuning.lr / 2)
    rates = sorted({group["lr"] for group in optimizer.optimizer.param_groups})
    assert rates[-1] == pytest.approx(4e-3)
    assert rates[-2] == pytest.approx(fine_tuning.lr / 4)  # The layer before the head.
    assert len(optimizer.slices) == len(list(model.parameters()))


def test_one_rate_makes_the_groups_that_there_always_were(tiny_recipe, network):
    groups = flatten_parameters(network(SE), tiny_recipe)
    assert [(group.is_decayed, group.rate.factor) for group in groups] == [(True, 1), (False, 1)]


def backbone_state(model):
    state = model.state_dict()
    return {k: v for k, v in state.items() if ".attention" not in k and not k.startswith("fc.")}


@pytest.mark.parametrize(
    "text",
    [
        "test_resnet+se(r=4,start=identity)@all.stage",
        "test_resnet+cbam(r=4)@all.pre+ca(r=4)@all.stage",
    ],
)
def test_a_frozen_backbone_keeps_its_weights_and_statistics(digits, tiny_recipe, network, text):
    changes = {"head_epochs": 3, "ema": 0.0, "weight_decay": 0.5}
    before, model = backbone_state(network(text)), network(text)
    train(model, digits, tiny_recipe.model_copy(update=changes), seed=0)
    after = backbone_state(model)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    fresh, trained = network(text).state_dict(), model.state_dict()
    new = [name for name in fresh if name not in before and fresh[name].ndim > 1]
    assert all(not torch.equal(fresh[name], trained[name]) for name in new)


def test_after_its_frozen_epochs_the_backbone_learns_from_a_clean_state(
    fine_tuning, digits, network
):
    """Its optimizer state begins with the first step that moves it."""
    steps = []

    def record_steps(report, save):
        state = save.training.optimizer.optimizer.state
        steps.append({int(value["step"]) for value in state.values()})
        return True

    recipe = fine_tuning.model_copy(update={"head_epochs": 1})
    model, per_epoch = network(SE), len(digits.train) // 64
    train(model, digits, recipe, seed=0, on_epoch=record_steps)
    assert steps == [{(n + 1) * per_epoch, n * per_epoch} - {0} for n in range(3)]
    before = backbone_state(network(SE))
    weights = [n for n, v in before.items() if v.is_floating_point()]
    assert all(not torch.equal(before[name], model.state_dict()[name]) for name in weights)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_fine_tuning_that_continues_equals_an_uninterrupted_one_bit_for_bit(
    fine_tuning, run_training, tmp_path, optimizer, stop_after
):
    """Whether it stops while the backbone is frozen or at the end of that."""
    recipe = fine_tuning.model_copy(update={"head_epochs": 2, "optimizer": optimizer})
    whole, reports = run_training(recipe)
    run_training(recipe, stop_after=stop_after, folder=tmp_path)
    rest, later = run_training(recipe, resume=tmp_path / str(stop_after))
    assert [r.accuracy for r in later] == [r.accuracy for r in reports[stop_after:]]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


def test_a_distilled_network_has_two_heads(tiny_recipe):
    model = build_network(
        parse("deit_tiny_distilled_patch16_224"), num_classes=10, image_size=32, seed=0
    )
    recipe = tiny_recipe.model_copy(update={"attention_lr": 0.1})
    new = {name for name, rate in parameter_rates(model, recipe).items() if rate.is_new}
    assert new == {"head.weight", "head.bias", "head_dist.weight", "head_dist.bias"}
