"""The training loop: exact continuation, pairing, and a loss that falls."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from attentune.errors import TrialError
from attentune.runners.classification_metrics import compute_metrics
from attentune.runners.training.checkpoint import read_facts
from attentune.runners.training.device_data import DeviceData, DeviceImages
from attentune.runners.training.evaluation import evaluate
from attentune.runners.training.train import train
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network


@pytest.mark.parametrize("channels_last", [True, False])
def test_maps_lie_in_memory_as_the_recipe_says(digits, tiny_recipe, channels_last, network):
    """Weights do not decide it: whatever they are like, maps are laid out as the images are."""
    recipe = tiny_recipe.model_copy(update={"channels_last": channels_last, "epochs": 1})
    model, seen = network(), set()

    def record_layout(module, inputs, result):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        seen.add((module.training, result.is_contiguous(memory_format=layout)))

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(record_layout)
    train(model, digits, recipe, seed=0)
    assert seen == {(True, True), (False, True)}


@pytest.mark.parametrize(("ema", "balance"), [(0.0, "class_weights"), (0.9, "balanced_sampling")])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_continued_training_equals_an_uninterrupted_one_bit_for_bit(
    tiny_recipe, optimizer, ema, balance, tmp_path, run_training
):
    changes = {"optimizer": optimizer, "ema": ema, "crop": 2, balance: optimizer == "sgd"}
    recipe = tiny_recipe.model_copy(update=changes)
    whole, reports = run_training(recipe)
    stopped, first = run_training(recipe, stop_after=1, folder=tmp_path)
    assert stopped.stopped
    assert read_facts(tmp_path / "1")["accuracy"] == first[0].accuracy
    rest, later = run_training(recipe, resume=tmp_path / "1")
    assert [r.accuracy for r in later] == [r.accuracy for r in reports[1:]]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_labels_of_images_without_weight_change_nothing(mixup, tiny_recipe, digits, run_training):
    recipe = tiny_recipe.model_copy(update={"epochs": 1, "mixup": mixup, "label_smoothing": 0.1})
    weights = torch.arange(len(digits.train)) % 3 / 1.0
    labels = digits.train.labels
    wrong = torch.where(weights > 0, labels, (labels + 1) % 10)
    models = []
    for chosen in (labels, wrong):
        train_images = replace(digits.train, labels=chosen, weights=weights)
        outcome, _ = run_training(recipe, data=replace(digits, train=train_images))
        models.append(outcome.model.state_dict())
    assert all(torch.equal(value, models[1][name]) for name, value in models[0].items())
    unweighted, _ = run_training(recipe)
    differing = unweighted.model.state_dict()
    assert any(not torch.equal(value, differing[name]) for name, value in models[0].items())


@pytest.mark.parametrize(
    "settings",
    [
        {"crop_scale": 0.3, "flip": True, "color_jitter": 0.4, "drop_last": False},
        {"randaugment": 9.0, "erasing": 0.5, "batch_size": 60, "drop_last": False},
        {"mixup": 0.4, "cutmix": 1.0, "batch_size": 60, "drop_last": False},
    ],
    ids=str,
)
def test_twelve_epochs_are_six_and_six_with_every_augmentation(
    tiny_recipe, settings, tmp_path, run_training
):
    recipe = tiny_recipe.model_copy(update={**settings, "epochs": 4})
    whole, reports = run_training(recipe, folder=tmp_path)
    rest, later = run_training(recipe, resume=tmp_path / "2")
    assert [r.train_loss for r in later] == [r.train_loss for r in reports[2:]]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name]), name


def test_every_image_is_trained_on_in_every_epoch(digits, tiny_recipe, network):
    seen = []

    def record_size(module, args):
        if module.training:
            seen.append(len(args[0]))

    model = network()
    model.register_forward_pre_hook(record_size)
    recipe = tiny_recipe.model_copy(update={"epochs": 2, "batch_size": 60, "drop_last": False})
    train(model, digits, recipe, seed=0)
    assert sum(seen) == 2 * len(digits.train)
    assert len(digits.train) % 60
    assert max(seen) - min(seen) == 1


def test_one_seed_gives_one_result_and_another_seed_another(tiny_recipe, run_training):
    losses = [run_training(tiny_recipe, seed=seed)[1][-1].train_loss for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_architectures_with_one_seed_see_the_same_first_batch(digits, tiny_recipe, network):
    seen = []

    def spy(module, args):
        del module
        seen.append(args[0].clone())

    for text in ("test_resnet", "test_resnet+se(r=4,start=identity)@all.residual"):
        model = network(text)
        model.register_forward_pre_hook(spy)
        recipe = tiny_recipe.model_copy(update={"epochs": 1, "crop": 2, "flip": True, "ema": 0.0})
        count = len(seen)
        train(model, digits, recipe, seed=5)
        seen[count + 1 :] = []
    assert torch.equal(seen[0], seen[1])


def test_an_identity_start_begins_where_the_bare_backbone_begins(tiny_recipe, run_training):
    recipe = tiny_recipe.model_copy(update={"lr": 1e-12, "weight_decay": 0.0, "epochs": 1})
    bare = run_training(recipe, text="test_resnet")[1][0].train_loss
    assert run_training(recipe)[1][0].train_loss == pytest.approx(bare, abs=1e-6)


def test_training_learns_the_digits(digits, tiny_recipe, run_training):
    recipe = tiny_recipe.model_copy(update={"epochs": 12})
    outcome, reports = run_training(recipe)
    assert reports[-1].accuracy > 0.5 > reports[0].accuracy  # ten classes, some 200 images
    evaluation = evaluate(outcome.model, digits, recipe)
    assert (evaluation.accuracy, evaluation.loss) == (reports[-1].accuracy, reports[-1].val_loss)


class SpoiledInEvaluation(torch.nn.Module):
    """Multiplies by a number in evaluation mode only."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.training else x * self.factor


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_what_is_not_finite_in_evaluation_alone_has_diverged(digits, tiny_recipe, network, factor):
    model = network()
    model.fc = torch.nn.Sequential(model.fc, SpoiledInEvaluation(factor))
    with pytest.raises(TrialError, match=r"the loss of the evaluation was .* in epoch 1") as caught:
        train(model, digits, tiny_recipe, seed=0)
    assert caught.value.kind == "diverged"


def test_a_loss_that_is_not_finite_is_reported_as_diverged(tiny_recipe, run_training):
    recipe = tiny_recipe.model_copy(update={"lr": 1e30, "optimizer": "sgd"})
    with pytest.raises(TrialError, match="training loss was") as caught:
        run_training(recipe)
    assert caught.value.kind == "diverged"


def unequal_images(seed: int, common: int = 228, rare: int = 12) -> DeviceImages:
    """Noise; images of the rare class are a little brighter in one corner."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.tensor([0] * common + [1] * rare)
    shape = (len(labels), 16, 16, 3)
    images = torch.randint(115, 135, shape, generator=draw, dtype=torch.uint8)
    images[labels == 1, :8, :8] += 6
    return DeviceImages(images, labels)


@pytest.mark.parametrize("balance", [None, "class_weights", "balanced_sampling"])
def test_a_rare_class_is_recognised_if_classes_count_equally(tiny_recipe, balance):
    mean, deviation = torch.full((3,), 125.0), torch.full((3,), 6.0)
    data = DeviceData(unequal_images(seed=0), unequal_images(seed=1), mean, deviation)
    changes = {"lr": 1e-3, "batch_size": 40, "ema": 0.0, **({balance: True} if balance else {})}
    recipe = tiny_recipe.model_copy(update=changes)
    model = build_network(parse("test_resnet"), num_classes=2, image_size=16, seed=0)
    outcome = train(model, data, recipe, seed=0)
    predictions = evaluate(outcome.model, data, recipe, keep="classes").predictions
    balanced = compute_metrics(predictions)["balanced_accuracy"]
    # Chance is 0.5, and an accuracy of 0.95 is reached by naming the common class.
    assert balanced > 0.85 if balance else balanced < 0.75
