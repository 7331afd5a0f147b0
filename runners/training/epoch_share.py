"""What each device of a training takes of every batch.

A batch is divided by pairs of images at mirrored positions, because mixup and CutMix mix these
(`mixing.partners_in_batches`): the partner of an image is then in the same share, at its mirrored
position. The shares of a batch differ by at most two images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import TrialError
from .batch_plan import BatchPlan

MIN_SHARE_IMAGES = 2
"""Attentions with batch normalisation treat a batch of one image differently."""


@dataclass(frozen=True)
class EpochShare:
    """What one device trains of an epoch.

    Attributes:
        batches: of each step, the position of its first image among the images of this device, and
            how many it trains.
        positions: of the images of this device in the order of the epoch, int64; None: all.
    """

    batches: tuple[tuple[int, int], ...]
    positions: Tensor | None = None

    def on(self, device: torch.device) -> EpochShare:
        """The share with its positions on a device."""
        if self.positions is None:
            return self
        return replace(self, positions=self.positions.to(device))


def share_epoch(plan: BatchPlan, rank: int, devices: int) -> EpochShare:
    """The share of one device.

    Args:
        plan: the batches of the epoch.
        rank: of the device, from 0.
        devices: how many devices share every batch.

    Raises:
        TrialError: `invalid`, there are batches with fewer than two images for each device.
    """
    check_shares(plan, devices)
    batches, parts, first = [], [], 0
    for begin, size in plan:
        positions = torch.tensor(share_batch(size, rank, devices))
        batches.append((first, len(positions)))
        parts.append(positions + begin)
        first += len(positions)
    return EpochShare(tuple(batches), torch.cat(parts))


def check_shares(plan: BatchPlan, devices: int) -> None:
    """Raise a TrialError `invalid` if batches are too small to be shared; see `share_epoch`."""
    smallest = plan.sizes[-1]
    if smallest < MIN_SHARE_IMAGES * devices:
        raise TrialError(
            "invalid",
            f"a batch of {smallest} images is too small for {devices} devices, each of which needs "
            f"{MIN_SHARE_IMAGES} of them; use --gpus-per-trial "
            f"{max(1, smallest // MIN_SHARE_IMAGES)}, or fewer",
        )


def share_batch(size: int, rank: int, devices: int) -> list[int]:
    """The positions in a batch that one device takes, in ascending order.

    Args:
        size: images in the batch.
        rank: of the device, from 0.
        devices: how many devices share the batch.
    """
    pairs = (size + 1) // 2  # In a batch of odd size, the image in the middle is its own partner.
    begin, end = pairs * rank // devices, pairs * (rank + 1) // devices
    return [*range(begin, end), *range(max(end, size - end), size - begin)]


def smallest_share(size: int, devices: int) -> int:
    """The number of images of the smallest share of a batch."""
    return min(len(share_batch(size, rank, devices)) for rank in range(devices))
