"""How many channels the images have that a network takes."""

from __future__ import annotations

import logging

import pytest
from attentune.errors import UsageError
from attentune.runners.data import SourceInfo
from attentune.search.setup.image_channels import choose_channels


def source(channels: int | None) -> SourceInfo:
    return SourceInfo("cells", ("a", "b"), 32, 32, {"train": 9}, True, 4, channels=channels)


@pytest.mark.parametrize(
    ("channels", "requested", "expected", "message"),
    [
        (None, None, 3, ""),
        (None, 1, 1, "the network takes images of 1 channel"),
        (3, None, 3, ""),
        (3, 1, 1, "the network takes images of 1 channel"),
        (1, None, 3, "the images of cells have one channel, which is repeated to RGB"),
        (1, 1, 1, "the network takes images of 1 channel"),
        (5, None, 5, "the network takes images of 5 channels"),
        (5, 5, 5, "the network takes images of 5 channels"),
    ],
)
def test_image_files_are_rgb_and_arrays_keep_their_channels(
    channels, requested, expected, message, caplog
):
    caplog.set_level(logging.INFO, "attentune")
    assert choose_channels(requested, source(channels)) == expected
    assert len(caplog.messages) == bool(message)
    assert all(line.startswith(message) for line in caplog.messages)


@pytest.mark.parametrize(("channels", "requested"), [(None, 4), (1, 2), (5, 3), (5, 1)])
def test_channels_that_images_cannot_have_are_refused(channels, requested):
    with pytest.raises(UsageError, match=f"--in-chans {requested}: the images of cells cannot"):
        choose_channels(requested, source(channels))
