"""Decide how many channels the images have that the network takes."""

from __future__ import annotations

import logging

from ...errors import UsageError
from ...runners.data import SourceInfo
from ...runners.recipe import RGB_CHANNELS

logger = logging.getLogger(__name__)


def choose_channels(requested: int | None, source: SourceInfo) -> int:
    """The channels of the network's input; logs the choice unless it is RGB images in RGB.

    Args:
        requested: by the user; None if it is left open.
        source: the data.

    Raises:
        UsageError: the images do not have so many, and cannot be converted.
    """
    channels = requested or source.default_channels
    possible = {1, RGB_CHANNELS}
    if source.channels is not None and source.channels not in possible:
        possible = {source.channels}
    if channels not in possible:
        counts = " or ".join(map(str, sorted(possible)))
        kind = "image files have" if source.channels is None else "arrays have"
        raise UsageError(
            f"--in-chans {channels}: the images of {source.name} cannot have so many channels; "
            f"{kind} {counts}"
        )
    if channels != RGB_CHANNELS:
        logger.info(
            "the network takes images of %s channel%s", channels, "s" if channels > 1 else ""
        )
    elif source.channels == 1:
        logger.info(
            "the images of %s have one channel, which is repeated to RGB; --in-chans 1 trains on "
            "one channel",
            source.name,
        )
    return channels
