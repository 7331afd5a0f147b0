"""Images with boxes for detection: scans of digits scattered over a dark canvas, among fragments.

The scans are those of attentune's embedded data sets (scikit-learn's 1797 scans of handwritten
digits). They are divided into training, validation and test scans once, so no scan is in two
splits. A box is the smallest one around the strokes. `write_detection_data` writes the images and
labels in the layout of YOLO.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

Floats = npt.NDArray[np.float32]

SPLIT_SHARES = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
"""Where the shuffled scans of each split begin and end, as fractions of all scans."""
DIGIT_SIDES = (16, 28)
FRAGMENT_SIDES = (6, 9)
"""Smallest and largest side, in pixels."""
MAX_DIGITS = 4
FRAGMENTS = 4
NOISE = 0.04
STROKE = 0.15
"""Strokes are pixels above this brightness."""


@dataclass(frozen=True)
class Box:
    """A digit and where it is, in pixels; right and bottom are exclusive."""

    digit: int
    left: int
    top: int
    right: int
    bottom: int

    def yolo_line(self, side: int) -> str:
        """Class, centre and size as fractions of the image, as YOLO reads them."""
        centre = ((self.left + self.right) / 2 / side, (self.top + self.bottom) / 2 / side)
        size = ((self.right - self.left) / side, (self.bottom - self.top) / side)
        return " ".join([str(self.digit), *(f"{value:.6f}" for value in (*centre, *size))])


def draw_scattered_digits(
    split: str, count: int, side: int
) -> Iterator[tuple[npt.NDArray[np.uint8], list[Box]]]:
    """Draw grey images (side, side) and the boxes of their digits, from a fixed seed.

    Args:
        split: whose scans to use.
        count: the number of images.
        side: of an image in pixels.
    """
    rng = np.random.default_rng((1, list(SPLIT_SHARES).index(split)))
    enlarged, digits = _scans(split)
    for _ in range(count):
        canvas = np.zeros((side, side), np.float32)
        taken = np.zeros((side, side), bool)
        boxes = []
        for _ in range(rng.integers(1, MAX_DIGITS + 1)):
            scale = int(rng.integers(DIGIT_SIDES[0], DIGIT_SIDES[1] + 1))
            number = int(rng.integers(len(digits)))
            corner = _free_corner(taken, scale, rng)
            if corner is None:
                continue
            row, column = corner
            taken[row : row + scale, column : column + scale] = True
            strokes = enlarged[scale][number]
            _stamp(canvas, strokes * np.float32(rng.uniform(0.75, 1)), row, column)
            rows = np.flatnonzero((strokes > STROKE).any(1))
            columns = np.flatnonzero((strokes > STROKE).any(0))
            boxes.append(
                Box(
                    int(digits[number]),
                    int(column + columns[0]),
                    int(row + rows[0]),
                    int(column + columns[-1] + 1),
                    int(row + rows[-1] + 1),
                )
            )
        for _ in range(FRAGMENTS):
            _draw_fragment(canvas, enlarged[DIGIT_SIDES[0]], rng)
        canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(NOISE)
        yield (np.clip(canvas, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8), boxes


def write_detection_data(folder: Path, counts: Mapping[str, int], side: int) -> Path:
    """Write images, labels and `data.yaml`, and return the path of the latter.

    Args:
        folder: is made if necessary.
        counts: images by split.
        side: of an image in pixels.
    """
    for split, count in counts.items():
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True, exist_ok=True)
        labels.mkdir(parents=True, exist_ok=True)
        for number, (image, boxes) in enumerate(draw_scattered_digits(split, count, side)):
            Image.fromarray(image).convert("RGB").save(images / f"{number:04d}.png")
            lines = "".join(f"{box.yolo_line(side)}\n" for box in boxes)
            (labels / f"{number:04d}.txt").write_text(lines, "utf-8")
    description = [f"path: {folder.resolve()}"]
    description += [f"{split}: images/{split}" for split in counts]
    description.append(f"names: {list('0123456789')}")
    data = folder / "data.yaml"
    data.write_text("\n".join(description) + "\n", "utf-8")
    return data


def _scans(split: str) -> tuple[dict[int, Floats], npt.NDArray[np.int64]]:
    """The scans of a split at every side, and their digits."""
    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    first, last = (round(share * len(order)) for share in SPLIT_SHARES[split])
    scans = loaded.images[order[first:last]].astype(np.float32) / 16
    enlarged = {side: _enlarge(scans, side) for side in range(DIGIT_SIDES[0], DIGIT_SIDES[1] + 1)}
    return enlarged, loaded.target[order[first:last]].astype(np.int64)


def _enlarge(scans: Floats, side: int) -> Floats:
    """Bilinear interpolation along both axes, with aligned pixel centres."""
    centres = (np.arange(side) + 0.5) * scans.shape[-1] / side - 0.5
    position = np.clip(centres, 0, scans.shape[-1] - 1)
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(scans.shape[-1])))
    return np.asarray(weights @ scans @ weights.T, np.float32)


def _free_corner(
    taken: npt.NDArray[np.bool_], side: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """The row and column of a square that is free; None if 20 attempts do not find one."""
    for _ in range(20):
        row, column = (int(value) for value in rng.integers(0, len(taken) - side + 1, 2))
        if not taken[row : row + side, column : column + side].any():
            return row, column
    return None


def _draw_fragment(canvas: Floats, scans: Floats, rng: np.random.Generator) -> None:
    """Draw a square that is cut out of the middle of a scan."""
    side = int(rng.integers(FRAGMENT_SIDES[0], FRAGMENT_SIDES[1] + 1))
    top, left = rng.integers(2, scans.shape[-1] - side - 1, 2)
    fragment = scans[rng.integers(len(scans))][top : top + side, left : left + side]
    row, column = (int(value) for value in rng.integers(0, len(canvas) - side + 1, 2))
    _stamp(canvas, fragment * np.float32(rng.uniform(0.75, 1)), row, column)


def _stamp(canvas: Floats, stamp: Floats, row: int, column: int) -> None:
    """Draw a stamp; where strokes overlap, the brighter one wins."""
    height, width = stamp.shape
    patch = canvas[row : row + height, column : column + width]
    np.maximum(patch, stamp, out=patch)
