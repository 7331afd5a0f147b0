"""What every task must do: the contract of `training.task.Task`."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.task import SingleLabelClassification, class_weights, task_of

UNEQUAL = torch.tensor([0.5, 1.0, 0.25, 2.25])
TASKS = (
    SingleLabelClassification(),
    SingleLabelClassification(0.1),
    SingleLabelClassification(0.1, UNEQUAL),
    SingleLabelClassification(0.1, UNEQUAL, balanced_batches=True),
)


@pytest.fixture(params=TASKS, ids=("plain", "smooth", "weighted", "balanced"))
def task(request):
    return request.param


@pytest.fixture
def outputs(task):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(12, task.head_size(4), generator=draw, requires_grad=True)


@pytest.fixture
def targets():
    return torch.arange(12) % 4


def test_the_training_loss_is_a_finite_scalar_with_a_gradient(task, outputs, targets):
    loss = task.loss(outputs, targets)
    assert loss.shape == ()
    assert torch.isfinite(loss)
    loss.backward()
    assert outputs.grad.abs().sum() > 0


def test_a_step_against_the_gradient_lowers_the_loss(task, outputs, targets):
    loss = task.loss(outputs, targets)
    loss.backward()
    assert task.loss(outputs - 0.1 * outputs.grad, targets) < loss


def test_mixtures_have_the_losses_of_both_targets_by_share(task, outputs, targets):
    partners, shares = targets.roll(1), torch.linspace(0, 1, 12)
    mixed = task.mix_targets(targets, partners, shares)
    assert len(mixed) == len(targets)
    losses = [
        float(share) * task.loss(outputs[[i]], targets[[i]])
        + float(1 - share) * task.loss(outputs[[i]], partners[[i]])
        for i, share in enumerate(shares)
    ]
    torch.testing.assert_close(task.loss(outputs, mixed), torch.stack(losses).mean())
    whole = task.mix_targets(targets, partners, torch.ones(12))
    torch.testing.assert_close(task.loss(outputs, whole), task.loss(outputs, targets))


def test_the_loss_of_an_image_is_multiplied_by_its_weight_also_in_mixtures(task, outputs, targets):
    weights, partners = torch.linspace(0.5, 1.5, 12), targets.roll(1)
    losses = torch.stack([task.loss(outputs[[i]], targets[[i]]) for i in range(12)])
    weighted = task.weight_targets(targets, weights)
    assert len(weighted) == len(targets)
    torch.testing.assert_close(task.loss(outputs, weighted), (weights * losses).mean())
    shares = torch.linspace(0, 1, 12)
    partner_losses = torch.stack([task.loss(outputs[[i]], partners[[i]]) for i in range(12)])
    of_partners = weights.flip(0)
    mixed = task.mix_targets(weighted, task.weight_targets(partners, of_partners), shares)
    expected = shares * weights * losses + (1 - shares) * of_partners * partner_losses
    torch.testing.assert_close(task.loss(outputs, mixed), expected.mean())
    whole = task.mix_targets(weighted, weighted, torch.ones(12))
    torch.testing.assert_close(task.loss(outputs, whole), task.loss(outputs, weighted))


def test_validation_losses_of_batches_add_up(task, outputs, targets):
    batches = zip(outputs.split(5), targets.split(5), strict=True)
    total = sum(task.summed_validation_loss(*batch) for batch in batches)
    torch.testing.assert_close(total, task.summed_validation_loss(outputs, targets))


def test_metrics_of_predictions_have_an_accuracy_between_zero_and_one(task, outputs, targets):
    predictions = task.predictions(outputs)
    assert len(predictions) == len(targets)
    metrics = task.metrics(predictions, targets)
    assert 0 <= metrics["accuracy"] <= 1
    assert task.metrics(targets, targets)["accuracy"] == 1


def test_log_probabilities_are_normalised_and_highest_for_the_prediction(task, outputs):
    logs = task.log_probabilities(outputs)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(len(outputs)))
    assert torch.equal(logs.argmax(1), task.predictions(outputs))


def test_classification_counts_the_most_probable_class(targets):
    task = SingleLabelClassification(label_smoothing=0.1)
    outputs = torch.nn.functional.one_hot(targets, 4).float()
    outputs[:3] = outputs[:3].roll(1, dims=1)
    assert task.metrics(task.predictions(outputs), targets) == {"accuracy": 0.75}


def test_labels_are_smoothed_in_training_only(outputs, targets):
    smooth, plain = SingleLabelClassification(0.1), SingleLabelClassification()
    assert smooth.loss(outputs, targets) != plain.loss(outputs, targets)
    assert torch.equal(
        smooth.summed_validation_loss(outputs, targets),
        plain.summed_validation_loss(outputs, targets),
    )


def test_the_task_of_a_recipe_has_its_label_smoothing(tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"label_smoothing": 0.2})
    assert task_of(recipe) == SingleLabelClassification(0.2)


def test_classes_have_equal_weights_in_all_and_images_a_mean_weight_of_one():
    labels = torch.tensor([0] * 6 + [1] * 3 + [3] * 1)
    weights = class_weights(labels)[labels]
    for name in (0, 1, 3):
        torch.testing.assert_close(weights[labels == name].sum(), torch.tensor(10 / 3))


def test_a_power_of_class_weights_is_between_equal_and_full_ones():
    labels = torch.tensor([0] * 8 + [1] * 2 + [3] * 1)
    half, full = class_weights(labels, 0.5), class_weights(labels)
    torch.testing.assert_close(half[labels].mean(), torch.tensor(1.0))
    torch.testing.assert_close(half[1] / half[0], torch.tensor(2.0))  # The root of 8 / 2.
    assert 1 < half[3] / half[0] < full[3] / full[0]


def test_a_weighted_loss_is_that_of_images_repeated_by_their_weight(outputs, targets):
    task = SingleLabelClassification(0.1, torch.tensor([1.0, 3.0, 1.0, 2.0]))
    times = torch.tensor([1, 3, 1, 2])[targets]
    repeated = outputs.repeat_interleave(times, 0), targets.repeat_interleave(times)
    plain = SingleLabelClassification(0.1)
    expected = plain.loss(*repeated) * times.sum() / len(targets)
    torch.testing.assert_close(task.loss(outputs, targets), expected)
    torch.testing.assert_close(
        task.summed_validation_loss(outputs, targets), plain.summed_validation_loss(*repeated)
    )


def test_balanced_batches_are_weighted_in_validation_only(outputs, targets):
    balanced = SingleLabelClassification(0.1, UNEQUAL, balanced_batches=True)
    assert balanced.loss(outputs, targets) == SingleLabelClassification(0.1).loss(outputs, targets)
    weighted = SingleLabelClassification(0.0, UNEQUAL)
    expected = weighted.summed_validation_loss(outputs, targets)
    assert balanced.summed_validation_loss(outputs, targets) == expected


@pytest.mark.parametrize("setting", ["class_weights", "balanced_sampling"])
def test_the_task_of_a_recipe_balances_the_classes_of_the_training_images(
    setting, digits, tiny_recipe
):
    recipe = tiny_recipe.model_copy(update={setting: True})
    task = task_of(recipe, digits)
    assert torch.equal(task.class_weights, class_weights(digits.train.labels))
    assert task.balanced_batches == (setting == "balanced_sampling")
    assert task_of(tiny_recipe, digits).class_weights is None
