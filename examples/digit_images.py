"""Images for the examples: scans of digits that scikit-learn brings with it."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import TensorDataset

SPLITS = {"train": slice(0, 512), "validation": slice(512, 1024), "test": slice(1024, 1797)}
IMAGE_SIZE = 32
MASKED_IMAGE_SIZE = 64
INK = 0.3
"""What is brighter in a scan is part of the digit."""


def digits(split: str) -> TensorDataset:
    """Images (N, 1, 32, 32) from 0 to 1, and their classes (N)."""
    scans, labels = _scans(split)
    return TensorDataset(interpolate(scans, size=IMAGE_SIZE, mode="bilinear"), labels)


def digits_with_masks(split: str) -> TensorDataset:
    """Images (N, 3, 64, 64) of a grey digit on noise, and masks (N, 1, 64, 64) of its pixels."""
    scans, _ = _scans(split)
    scans = interpolate(scans[:128], size=MASKED_IMAGE_SIZE // 2, mode="bilinear")
    generator = torch.Generator().manual_seed(SPLITS[split].start)
    images = 0.5 * torch.rand(
        len(scans), 3, MASKED_IMAGE_SIZE, MASKED_IMAGE_SIZE, generator=generator
    )
    masks = torch.zeros(len(scans), 1, MASKED_IMAGE_SIZE, MASKED_IMAGE_SIZE)
    side = MASKED_IMAGE_SIZE // 2
    for image, mask, scan in zip(images, masks, scans, strict=True):
        top, left = torch.randint(side + 1, (2,), generator=generator).tolist()
        place = (slice(None), slice(top, top + side), slice(left, left + side))
        image[place] += 0.5 * scan
        mask[place] = (scan > INK).float()
    return TensorDataset(images, masks)


def write_class_folders(folder: Path) -> None:
    """Write the images of `digits` as PNG files, such as `FOLDER/train/7/12.png`."""
    for split in SPLITS:
        for number, (image, label) in enumerate(digits(split)):
            file = folder / split / str(label.item()) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((255 * image[0]).byte().numpy()).save(file)


def _scans(split: str) -> tuple[Tensor, Tensor]:
    bunch = load_digits()
    rows = SPLITS[split]
    scans = torch.from_numpy(bunch.images[rows]).float()[:, None] / 16
    return scans, torch.from_numpy(bunch.target[rows])


if __name__ == "__main__":
    write_class_folders(Path(sys.argv[1]))
