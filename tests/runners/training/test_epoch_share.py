"""Every batch is divided among the devices of a trial, so that all train what one would train."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attentune.errors import TrialError
from attentune.runners.training.batch_plan import BatchPlan, plan_batches
from attentune.runners.training.epoch_batches import EpochBatches
from attentune.runners.training.epoch_share import share_batch, share_epoch, smallest_share

AUGMENTATIONS = {
    "mixtures": {"mixup": 0.2, "cutmix": 1.0, "randaugment": 5.0, "batch_size": 51},
    "shifts": {"crop": 2, "flip": True, "cutout": 4, "erasing": 0.3},
    "balanced": {"balanced_sampling": True, "flip": True},
}


@pytest.mark.parametrize("devices", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [16, 17, 63, 64])
def test_every_image_of_a_batch_is_in_one_share_together_with_its_mirrored_one(size, devices):
    shares = [share_batch(size, rank, devices) for rank in range(devices)]
    assert sorted(position for share in shares for position in share) == list(range(size))
    for share in shares:
        assert share == sorted(share)
        assert [size - 1 - position for position in share[::-1]] == share
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 2
    assert min(sizes) == smallest_share(size, devices) >= 2


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_the_shares_of_an_epoch_hold_the_images_and_targets_of_its_batches(
    digits, tiny_recipe, augmentation
):
    recipe = tiny_recipe.model_copy(update=AUGMENTATIONS[augmentation])
    plan = plan_batches(recipe, len(digits.train))
    whole = EpochBatches(digits, recipe, seed=3, epoch=1)
    in_cache = replace(digits, train=replace(digits.train, images=digits.train.images.numpy()))
    for rank, data in enumerate((digits, in_cache, digits)):
        share = share_epoch(plan, rank, 3)
        batches = EpochBatches(data, recipe, seed=3, epoch=1, positions=share.positions)
        with batches.reading_ahead(share.batches):
            for (begin, size), (first, images_of_share) in zip(plan, share.batches, strict=True):
                positions = torch.tensor(share_batch(size, rank, 3))
                images, targets = whole.take(begin, size)
                own_images, own_targets = batches.take(first, images_of_share)
                assert torch.equal(own_images, images[positions])
                assert torch.equal(own_targets, targets[positions])


def test_a_batch_that_is_too_small_for_the_devices_is_refused_with_a_number_that_works():
    with pytest.raises(TrialError, match=r"a batch of 7 images .* 4 devices.*--gpus-per-trial 3"):
        share_epoch(BatchPlan(5, 7, 2), 0, 4)
    share_epoch(BatchPlan(5, 7, 2), 0, 3)
