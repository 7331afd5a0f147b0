"""Balanced sampling: every epoch has the classes equally often, decided by its seed alone."""

from __future__ import annotations

import torch
from attentune.runners.training.balanced_sampling import draw_balanced
from attentune.runners.training.device_data import DeviceData, DeviceImages
from attentune.runners.training.epoch_batches import EpochBatches

LABELS = torch.tensor([0] * 90 + [2] * 10)[torch.randperm(100)]


def draw(seed: int, labels=LABELS) -> torch.Tensor:
    return draw_balanced(labels, torch.Generator().manual_seed(seed))


def test_classes_are_equally_frequent_and_their_images_too():
    images = draw(0)
    assert LABELS[images].bincount().tolist() == [50, 0, 50]
    times = images.bincount(minlength=100)
    assert times[LABELS == 2].tolist() == [5] * 10
    assert times[LABELS == 0].max() == 1


def test_images_of_frequent_classes_take_turns_over_the_epochs():
    seen = torch.cat([draw(seed) for seed in range(12)]).unique()
    assert len(seen) == 100


def test_a_seed_decides_and_what_is_left_over_falls_to_any_class():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    assert torch.equal(draw(3, labels), draw(3, labels))
    assert not torch.equal(draw(3), draw(4))
    counts = {tuple(labels[draw(seed, labels)].bincount().tolist()) for seed in range(30)}
    assert counts == {(3, 3, 2), (3, 2, 3), (2, 3, 3)}


def test_the_repetitions_of_an_image_are_augmented_differently(tiny_recipe):
    changes = {"balanced_sampling": True, "crop": 3, "flip": True}
    recipe = tiny_recipe.model_copy(update=changes)
    ramp = torch.arange(8, dtype=torch.uint8)
    images = (ramp[:, None] * 10 + ramp)[None, :, :, None].repeat(40, 1, 1, 3)
    split = DeviceImages(images, torch.tensor([0] * 38 + [1] * 2))
    data = DeviceData(split, split, torch.zeros(3), torch.ones(3))
    epoch = EpochBatches(data, recipe, seed=0, epoch=0)
    drawn, labels = epoch.batch(0, 40)
    assert labels.bincount().tolist() == [20, 20]
    of_rare = drawn[epoch.order == 39]
    assert len(of_rare) == 10
    assert len(of_rare.flatten(1).unique(dim=0)) > 5
