"""Augmentation: each image once an epoch, changed as (seed, epoch, image) say and nothing else."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.device_data import DeviceData, DeviceImages
from attentune.runners.training.epoch_batches import EpochBatches

AUGMENTATIONS: dict[str, dict[str, float]] = {
    "shift": {"crop": 2},
    "cutout": {"cutout": 4},
    "crop": {"crop_scale": 0.3},
    "crop and shift": {"crop_scale": 0.3, "crop": 1, "flip": True},
    "jitter": {"color_jitter": 0.4},
    "randaugment": {"randaugment": 9.0},
    "erasing": {"erasing": 0.5},
    "mixup": {"mixup": 0.4},
    "cutmix": {"cutmix": 1.0},
    "strong": {
        "crop_scale": 0.3,
        "flip": True,
        "color_jitter": 0.2,
        "randaugment": 7.0,
        "erasing": 0.25,
        "mixup": 0.2,
        "cutmix": 1.0,
    },
}
augmentations = pytest.mark.parametrize("settings", AUGMENTATIONS.values(), ids=AUGMENTATIONS)


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


def numbered_images(count=50, side=12):
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), generator=draw, dtype=torch.uint8)


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_shifts_larger_than_an_image_show_that_image_only(tiny_recipe, side):
    images = torch.arange(40, dtype=torch.uint8)[:, None, None, None].repeat(1, side, side, 3)
    out = epoch_of(images, tiny_recipe.model_copy(update={"crop": 28, "flip": True}))
    assert torch.equal(out, images)


@augmentations
@pytest.mark.parametrize("max_bytes", [1, 30 * 432, 10**6])
def test_batches_gathered_ahead_are_those_of_their_turn(tiny_recipe, settings, max_bytes):
    recipe = tiny_recipe.model_copy(update=settings)
    data = device_data(numbered_images(), torch.arange(50))
    usual = EpochBatches(data, recipe, seed=3, epoch=1)
    early = EpochBatches(data, recipe, seed=3, epoch=1)
    early.max_gathered_bytes = max_bytes
    for first, size in ((0, 10), (10, 10), (20, 10), (30, 7), (37, 7), (44, 6), (20, 10), (0, 10)):
        for expected, gathered in zip(
            usual.take(first, size), early.take(first, size), strict=True
        ):
            assert torch.equal(expected, gathered)


@augmentations
def test_an_epoch_is_drawn_from_seed_and_epoch(tiny_recipe, settings):
    recipe = tiny_recipe.model_copy(update=settings)
    images = numbered_images(16)
    first = epoch_of(images, recipe, epoch=4, seed=2)
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    assert torch.equal(first, epoch_of(images, recipe, epoch=4, seed=2))
    for epoch, seed in ((5, 2), (4, 3)):
        assert not torch.equal(first, epoch_of(images, recipe, epoch, seed))


@augmentations
def test_images_outside_the_memory_are_augmented_alike(tiny_recipe, settings):
    recipe = tiny_recipe.model_copy(update=settings)
    images, labels = numbered_images(), torch.arange(50)
    on_device = EpochBatches(device_data(images, labels), recipe, seed=0, epoch=0)
    split = DeviceImages(images.numpy(), labels)
    streamed_data = DeviceData(split, split, torch.full((3,), 99.0), torch.ones(3))
    streamed = EpochBatches(streamed_data, recipe, seed=0, epoch=0)
    for expected, batch in zip(on_device.take(10, 20), streamed.take(10, 20), strict=True):
        assert torch.equal(expected, batch)


def test_targets_of_images_with_weights_name_class_and_weight_also_in_mixtures(tiny_recipe):
    images, labels = numbered_images(), torch.arange(50)
    weights = torch.linspace(0.5, 1.5, 50)
    split = DeviceImages(images, labels, weights)
    data = DeviceData(split, split, torch.full((3,), 99.0), torch.ones(3))
    epoch = EpochBatches(data, tiny_recipe, seed=0, epoch=0)
    _, targets = epoch.take(10, 10)
    assert torch.equal(
        targets, torch.stack((epoch.order[10:20].float(), weights[epoch.order[10:20]]), 1)
    )
    recipe = tiny_recipe.model_copy(update={"mixup": 1.0})
    _, mixed = EpochBatches(data, recipe, seed=0, epoch=0).take(10, 10)
    _, plain = EpochBatches(device_data(images, labels), recipe, seed=0, epoch=0).take(10, 10)
    assert torch.equal(mixed[:, :2], plain[:, :2])
    assert torch.equal(mixed[:, 2:], plain[:, 2:] * weights[plain[:, :2].long()])


def test_targets_of_mixtures_name_both_images_and_the_share_of_the_first(tiny_recipe):
    images = (4 * torch.arange(50)).to(torch.uint8)[:, None, None, None].repeat(1, 4, 4, 3)
    recipe = tiny_recipe.model_copy(update={"mixup": 1.0})
    epoch = EpochBatches(device_data(images, torch.arange(50)), recipe, seed=0, epoch=0)
    batch, targets = epoch.take(10, 10)
    first, second, share, partner_share = targets.unbind(1)
    assert torch.equal(partner_share, 1 - share)
    assert torch.equal(first.long(), epoch.order[10:20])
    assert torch.equal(second.long(), epoch.order[10:20].flip(0))
    mixed = 4 * (share * first + (1 - share) * second)
    torch.testing.assert_close(batch[:, 0, 0, 0].float(), mixed, atol=0.51, rtol=0)
