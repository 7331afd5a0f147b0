"""Augmentation: images are shifted, mirrored and covered, each once an epoch."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.augment import EpochBatches
from attentune.runners.training.device_data import DeviceData, DeviceImages


def device_data(images, labels=None) -> DeviceData:
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else labels
    split = DeviceImages(images, labels)
    return DeviceData(split, split, torch.full((3,), 99.0), torch.ones(3))


def epoch_of(images, recipe, epoch=0, seed=0):
    """All images of one epoch, in the order of the data."""
    batches = EpochBatches(device_data(images), recipe, seed=seed, epoch=epoch)
    batch, _ = batches.batch(0, len(images))
    return batch[batches.order.argsort()]


def ramps(count=64):
    ramp = torch.arange(8, dtype=torch.uint8)
    return (ramp[:, None] * 10 + ramp[None, :])[None, :, :, None].repeat(count, 1, 1, 3)


def test_shifts_and_mirrors_move_whole_images(tiny_recipe):
    images = ramps()
    out = epoch_of(images, tiny_recipe.model_copy(update={"crop": 2, "flip": True}))
    assert out.shape == images.shape
    corners = {tuple(image[3:5, 3:5, 0].flatten().tolist()) for image in out}
    assert len(corners) > 20
    for image in out[..., 0].int():
        steps = image[3:5, 3:5].diff(dim=1)
        assert steps.abs().eq(1).all()  # neighbours stay neighbours inside the image
        assert steps.unique().numel() == 1


def test_every_image_is_seen_from_both_sides_in_two_epochs(tiny_recipe):
    images = ramps()
    recipe = tiny_recipe.model_copy(update={"flip": True})
    first, second, third = (epoch_of(images, recipe, epoch) for epoch in range(3))
    assert torch.equal(first.flip(2), second)
    assert torch.equal(first, third)
    mirrored = (first != images).flatten(1).any(1)
    assert 16 < mirrored.sum() < 48
    assert not torch.equal(first, epoch_of(images, recipe, seed=1))


def test_a_square_of_every_image_is_covered_with_the_mean_colour(tiny_recipe):
    images = torch.zeros(200, 16, 16, 3, dtype=torch.uint8)
    out = epoch_of(images, tiny_recipe.model_copy(update={"cutout": 6}))
    covered = (out == 99).all(-1)
    assert torch.equal(out[..., 0] == 99, covered)
    areas = covered.flatten(1).sum(1)
    assert areas.max() == 36
    assert areas.min() >= 9  # the point is inside, the square may stick out
    rows, columns = covered.any(2).sum(1), covered.any(1).sum(1)
    assert torch.equal(rows * columns, areas)
    assert covered.any(0).all()


def test_no_augmentation_leaves_images_alone(tiny_recipe):
    images = torch.randint(0, 255, (4, 8, 8, 3), dtype=torch.uint8)
    assert torch.equal(epoch_of(images, tiny_recipe), images)


def test_every_image_is_seen_once_an_epoch_with_its_label(tiny_recipe):
    images = torch.arange(50, dtype=torch.uint8)[:, None, None, None].repeat(1, 4, 4, 3)
    epoch = EpochBatches(device_data(images, torch.arange(50)), tiny_recipe, seed=3, epoch=1)
    batches = [epoch.batch(step, 10) for step in range(5)]
    assert all(torch.equal(b[:, 0, 0, 0].long(), labels) for b, labels in batches)
    assert sorted(torch.cat([labels for _, labels in batches]).tolist()) == list(range(50))


@pytest.mark.parametrize("max_bytes", [1, 30 * 48, 10**6])
def test_batches_gathered_ahead_are_those_of_their_turn(tiny_recipe, max_bytes):
    images = torch.arange(50, dtype=torch.uint8)[:, None, None, None].repeat(1, 4, 4, 3)
    recipe = tiny_recipe.model_copy(update={"crop": 1, "flip": True, "cutout": 2})
    data = device_data(images, torch.arange(50))
    usual = EpochBatches(data, recipe, seed=3, epoch=1)
    early = EpochBatches(data, recipe, seed=3, epoch=1)
    early.max_gathered_bytes = max_bytes
    for step in (0, 1, 2, 3, 4, 2, 0):
        for expected, gathered in zip(usual.batch(step, 10), early.batch(step, 10), strict=True):
            assert torch.equal(expected, gathered)
