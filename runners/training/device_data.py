"""A data set on the device: images as uint8, which are normalised batch by batch."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..cores import usable_cores
from ..data import Dataset, Split
from ..data.dataset import Images, Rows
from ..data.prepared.stored_images import read_images
from ..free_memory import available_bytes, memory_turn

MAX_CHUNK_BYTES = 2**26
"""Bytes of images that are read before they are copied to the device."""


@dataclass(frozen=True)
class DeviceImages:
    """One split: int64 labels (N,) on the device, and uint8 images (N, H, W, C).

    The images are on the device too if they fit there, else in the cache, from which batches are
    read; `read_ahead` reads them before they are needed. `weights` float32 (N,) multiply the
    training loss of each image; None if all count equally.
    """

    images: Tensor | Images
    labels: Tensor
    weights: Tensor | None = None

    @classmethod
    def of(cls, split: Split, device: torch.device, budget: float = math.inf) -> DeviceImages:
        """Put a split on a device.

        Args:
            split: labels, and images in the cache.
            device: where the network is trained.
            budget: maximum bytes of images on the device; larger splits stay in the cache.

        Raises:
            DataError: the images cannot be read; see `read_images`.
        """
        labels = torch.from_numpy(np.array(split.labels)).to(device)
        weights = None
        if split.weights is not None:
            weights = torch.from_numpy(split.weights).float().to(device)
        if split.images.nbytes > budget:
            return cls(split.images, labels, weights)
        return cls(_copy_to_device(split.images, device), labels, weights)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def bytes_on_device(self) -> int:
        """Bytes of its images on the device; 0 if they are in the cache."""
        return self.images.nbytes if isinstance(self.images, Tensor) else 0

    def take(self, index: Tensor) -> Tensor:
        """The images numbered `index` (n,), uint8 (n, H, W, C) on the device."""
        if isinstance(self.images, Tensor):
            return self.images.index_select(0, index)  # far faster than `[index]` on a CPU
        return _read_images(self.images, index.cpu().numpy()).to(index.device)


def _copy_to_device(images: Images, device: torch.device) -> Tensor:
    """All images on a device, without a second copy of all of them in the host's memory."""
    copy = torch.empty(images.shape, dtype=torch.uint8, device=device)
    per_chunk = max(1, MAX_CHUNK_BYTES // max(1, math.prod(images.shape[1:])))
    for first in range(0, len(images), per_chunk):
        numbers = np.arange(first, min(first + per_chunk, len(images)))
        copy[first : first + len(numbers)] = _read_images(images, numbers)
    return copy


def _read_images(images: Images, numbers: Rows) -> Tensor:
    batch = torch.empty((len(numbers), *images.shape[1:]), dtype=torch.uint8)
    read_images(images, numbers, batch.numpy())
    return batch


@dataclass(frozen=True)
class DeviceData:
    """The training and validation images of a trial, and how they are normalised.

    `mean` and `std` (C,) are those of the training images, on the scale from 0 to 255.
    """

    train: DeviceImages
    val: DeviceImages
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, data: Dataset, device: torch.device, budget: float | None = None) -> DeviceData:
        """A data set's training and validation images, on the device as far as they fit.

        Args:
            data: the prepared images.
            device: where the network is trained.
            budget: maximum bytes of both splits together on the device. The training images come
                first. By default half of the memory that is free; the rest is for training.

        Raises:
            DataError: the images cannot be read; see `read_images`.
        """
        scale = 255.0
        num_bytes = data.train.images.nbytes + data.val.images.nbytes
        with nullcontext() if budget is not None else memory_turn(num_bytes, str(device)):
            budget = spare_bytes(device) / 2 if budget is None else budget
            train = DeviceImages.of(data.train, device, budget)
            val = DeviceImages.of(data.val, device, budget - train.bytes_on_device)
        return cls(
            train,
            val,
            torch.tensor(data.mean, device=device) * scale,
            torch.tensor(data.std, device=device) * scale,
        )

    def normalised(self, images: Tensor, *, channels_last: bool = True) -> Tensor:
        """uint8 (N, H, W, C) → float32 (N, C, H, W), normalised.

        `channels_last` decides the memory format of the images, and thereby of all maps of the
        network, independently of the format of its weights.
        """
        # Mean and deviation are repeated to whole rows, because broadcasting over few values
        # takes four times as long on a CPU.
        width = images.shape[2]
        rows = images.flatten(2).float().sub_(self.mean.repeat(width)).div_(self.std.repeat(width))
        if images.shape[3] == 1 and not channels_last:  # `contiguous` would change no strides.
            return rows.view(len(images), 1, *images.shape[1:3])
        maps = rows.view(images.shape).permute(0, 3, 1, 2)
        return maps if channels_last else maps.contiguous()


def spare_bytes(device: torch.device) -> float:
    """Bytes that are free for images: the GPU's, or this process's share of the machine's."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return available_bytes() / usable_cores()
