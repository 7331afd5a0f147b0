"""Data on the device, or in the cache where it does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attentune.runners.data import load_data
from attentune.runners.data.dataset import Split
from attentune.runners.training import device_data as module
from attentune.runners.training.device_data import DeviceData, DeviceImages

CPU = torch.device("cpu")


def test_images_that_do_not_fit_are_read_from_the_cache_to_the_same_end(
    tiny_recipe, run_training, monkeypatch
):
    monkeypatch.setattr(module, "spare_bytes", lambda _: 0.0)
    streamed = DeviceData.of(load_data(tiny_recipe), CPU)
    assert not isinstance(streamed.train.images, torch.Tensor)
    recipe = tiny_recipe.model_copy(update={"epochs": 2, "batch_size": 60, "drop_last": False})
    outcomes, reports = zip(run_training(recipe), run_training(recipe, data=streamed), strict=True)
    weights = [outcome.model.state_dict().values() for outcome in outcomes]
    assert all(map(torch.equal, *weights))
    assert [report.val_loss for report in reports[0]] == [r.val_loss for r in reports[1]]


@pytest.mark.parametrize(
    ("share", "on_device"),
    [(2.0, (True, True)), (1.7, (True, False)), (0.9, (False, True)), (0.0, (False, False))],
)
def test_both_splits_share_half_of_the_free_memory(tiny_recipe, monkeypatch, share, on_device):
    data = load_data(tiny_recipe)
    train, val = (split.images.nbytes for split in (data.train, data.val))
    assert train > 3 * val
    free = share * (train + val)
    monkeypatch.setattr(module, "spare_bytes", lambda _: free)
    splits = DeviceData.of(data, CPU)
    assert tuple(split.bytes_on_device > 0 for split in (splits.train, splits.val)) == on_device
    assert splits.train.bytes_on_device + splits.val.bytes_on_device <= free / 2


def test_images_are_put_on_the_device_in_chunks(monkeypatch):
    monkeypatch.setattr(module, "MAX_CHUNK_BYTES", 100)
    images = np.random.default_rng(0).integers(0, 256, (11, 3, 4, 3), np.uint8)
    placed = DeviceImages.of(Split(images, np.arange(11)), CPU)
    assert np.array_equal(placed.images.numpy(), images)
    assert np.array_equal(placed.take(torch.tensor([3, 0])).numpy(), images[[3, 0]])


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("channels_last", [True, False])
def test_images_of_any_number_of_channels_are_normalised_in_the_layout_asked_for(
    channels, channels_last
):
    images = torch.randint(0, 256, (4, 6, 7, channels), dtype=torch.uint8)
    split = DeviceImages(images, torch.zeros(4, dtype=torch.int64))
    mean, std = torch.linspace(90, 160, channels), torch.linspace(20, 60, channels)
    maps = DeviceData(split, split, mean, std).normalised(images, channels_last=channels_last)
    torch.testing.assert_close(maps, ((images.float() - mean) / std).permute(0, 3, 1, 2))
    order = (7 * 6 * channels, 1, 7 * channels, channels)
    assert maps.stride() == (order if channels_last else (42 * channels, 42, 7, 1))


def test_weights_are_on_the_device_wherever_the_images_are():
    images, labels = np.zeros((3, 4, 4, 3), np.uint8), np.array([0, 1, 0])
    weights = np.array([0.5, 1.0, 1.5])
    for budget in (0.0, 1e6):
        split = DeviceImages.of(Split(images, labels, weights), torch.device("cpu"), budget)
        assert torch.equal(split.weights, torch.tensor([0.5, 1.0, 1.5]))
        assert DeviceImages.of(Split(images, labels), torch.device("cpu"), budget).weights is None
