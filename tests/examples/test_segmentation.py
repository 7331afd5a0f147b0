"""Segmentation as in the examples: attention in the encoder, and anywhere in the network."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

UNET = "segmentation:make_unet+eca(start=identity)@{decoder.blocks.1.conv2}.post"


def test_attention_in_the_encoder_is_searched_for_by_iou(search):
    study = search(
        "segmentation.py:train_encoder", "iou:max:%", backbone="test_resnet", image_size=64
    )
    assert all("iou" in trial.values for trial in study.trials)


def test_attention_anywhere_in_the_network_is_searched_for_by_iou(search):
    search("segmentation:train_network", "iou:max:%", backbone="segmentation:make_unet",
           input="3x64x64")  # fmt: skip


@pytest.mark.parametrize(
    ("function", "fields"),
    [("train_encoder", {}), ("train_network", {"text": UNET, "input": (3, 64, 64)})],
)
def test_an_interrupted_training_equals_an_uninterrupted_one(check_interruption, function, fields):
    check_interruption(
        f"examples/segmentation.py:{function}",
        metric="iou:max:%",
        **{"image_size": 64, "in_chans": 3, **fields},
    )
