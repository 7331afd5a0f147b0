"""A data set on the device: images as uint8, which are normalised batch by batch."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from torch import Tensor

from ..data import Dataset, Split
from ..data.dataset import Images


@dataclass(frozen=True)
class DeviceImages:
    """One split: int64 labels (N,) on the device, and uint8 images (N, H, W, 3).

    The images are on the device too if they fit there, else in the memory-mapped cache, from which
    batches are read.
    """

    images: Tensor | Images
    labels: Tensor

    @classmethod
    def of(cls, split: Split, device: torch.device, budget: float = math.inf) -> DeviceImages:
        """Put a split on a device.

        Args:
            split: labels, and images in the cache.
            device: where the network is trained.
            budget: maximum bytes of images on the device; larger splits stay in the cache.
        """
        labels = torch.from_numpy(np.array(split.labels)).to(device)
        if split.images.nbytes > budget:
            return cls(split.images, labels)
        return cls(torch.from_numpy(np.array(split.images)).to(device), labels)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Tensor:
        """The images numbered `index` (n,), uint8 (n, H, W, 3) on the device."""
        if isinstance(self.images, Tensor):
            return self.images.index_select(0, index)  # far faster than `[index]` on a CPU
        return torch.from_numpy(self.images[index.cpu().numpy()]).to(index.device)


@dataclass(frozen=True)
class DeviceData:
    """The training and validation images of a trial, and how they are normalised.

    `mean` and `std` (3,) are those of the training images, on the scale from 0 to 255.
    """

    train: DeviceImages
    val: DeviceImages
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, data: Dataset, device: torch.device) -> DeviceData:
        """A data set's training and validation images, on the device if they fit."""
        budget = spare_bytes(device) / 2
        scale = 255.0
        return cls(
            DeviceImages.of(data.train, device, budget),
            DeviceImages.of(data.val, device, budget),
            torch.tensor(data.mean, device=device) * scale,
            torch.tensor(data.std, device=device) * scale,
        )

    def normalised(self, images: Tensor, *, channels_last: bool = True) -> Tensor:
        """uint8 (N, H, W, 3) → float32 (N, 3, H, W), normalised.

        `channels_last` decides the memory format of the images, and thereby of all maps of the
        network, independently of the format of its weights.
        """
        # Mean and deviation are repeated to whole rows, because broadcasting over three values
        # takes four times as long on a CPU.
        width = images.shape[2]
        rows = images.flatten(2).float().sub_(self.mean.repeat(width)).div_(self.std.repeat(width))
        maps = rows.view(images.shape).permute(0, 3, 1, 2)
        return maps if channels_last else maps.contiguous()


def spare_bytes(device: torch.device) -> float:
    """Bytes that are free for images: the GPU's, or this process's share of the machine's."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available) / (os.cpu_count() or 1)
