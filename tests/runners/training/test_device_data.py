"""Data on the device, or in the cache where it does not fit."""

from __future__ import annotations

import torch
from attentune.runners.data import load_data
from attentune.runners.training.device_data import DeviceData


def test_images_that_do_not_fit_are_read_from_the_cache_to_the_same_end(
    tiny_recipe, run_training, monkeypatch
):
    from attentune.runners.training import device_data as module

    monkeypatch.setattr(module, "spare_bytes", lambda _: 0.0)
    streamed = DeviceData.of(load_data(tiny_recipe), torch.device("cpu"))
    assert not isinstance(streamed.train.images, torch.Tensor)
    read = run_training(tiny_recipe, data=streamed)[1][-1].accuracy
    assert read == run_training(tiny_recipe)[1][-1].accuracy
