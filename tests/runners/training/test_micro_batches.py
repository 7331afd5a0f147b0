"""Gradients from micro-batches: the same as from whole batches, but for batch normalisation."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.micro_batches import (
    running_statistics_of_micro_batches,
    split_batch,
)
from attentune.runners.training.optimizer import flatten_parameters, make_optimizer
from attentune.runners.training.steps import EagerStep
from torch import nn


def small_network(*, batch_norm: bool) -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8) if batch_norm else nn.GroupNorm(2, 8)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


def gradients(digits, recipe, micro_batches, *, batch_norm=False):
    model = small_network(batch_norm=batch_norm).train()
    optimizer = make_optimizer(flatten_parameters(model), recipe)
    step = EagerStep(model, optimizer, digits, recipe, micro_batches=micro_batches)
    with running_statistics_of_micro_batches(model, micro_batches):
        step.backward(digits.train.take(torch.arange(63)), digits.train.labels[:63])
    flat = torch.cat([weight.grad.flatten() for weight in optimizer.weights])
    return flat, float(step.loss_sum), model


@pytest.mark.parametrize("micro_batches", [2, 4, 63])
def test_without_batch_normalisation_the_gradients_are_those_of_the_batch(
    digits, tiny_recipe, micro_batches
):
    whole, loss, _ = gradients(digits, tiny_recipe, 1)
    parts, loss_of_parts, _ = gradients(digits, tiny_recipe, micro_batches)
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert loss_of_parts == pytest.approx(loss, rel=1e-6)


def test_batch_normalisation_is_of_the_micro_batch_and_its_statistics_keep_their_pace(
    digits, tiny_recipe
):
    whole, _, model = gradients(digits, tiny_recipe, 1, batch_norm=True)
    parts, _, model_of_parts = gradients(digits, tiny_recipe, 4, batch_norm=True)
    assert not torch.allclose(parts, whole, rtol=1e-3)
    cosine = torch.nn.functional.cosine_similarity(parts, whole, dim=0)
    assert cosine > 0.95
    torch.testing.assert_close(
        model_of_parts[1].running_mean, model[1].running_mean, rtol=0.1, atol=0.01
    )
    assert model_of_parts[1].momentum == 0.1


def test_a_batch_is_split_in_order_into_parts_of_at_least_two_images():
    images, targets = torch.arange(11), torch.arange(11) * 2
    parts = list(split_batch(images, targets, 8))
    assert torch.equal(torch.cat([part for part, _, _ in parts]), images)
    assert torch.equal(torch.cat([part for _, part, _ in parts]), targets)
    assert [len(part) for part, _, _ in parts] == [3, 2, 2, 2, 2]
    assert sum(share for *_, share in parts) == pytest.approx(1)
    assert [share for *_, share in split_batch(images[:1], targets[:1], 4)] == [1.0]
