"""Write JPEG files that cost as much to read and decode as photographs, since none are shipped.

Each image is smooth noise of several scales, with shapes of flat colours and the noise of a sensor,
in one of the sizes that photographs on the web have. At quality 90 a file has about 100 KB, like
those of ImageNet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZES = ((500, 375), (500, 375), (375, 500), (500, 333), (640, 480), (400, 400))
"""Width and height, pixels."""
QUALITY = 90
SCALES = (4, 16, 64)
"""Cells of noise along the width."""
MAX_SHAPES = 6
SENSOR_NOISE = 4.0
"""Standard deviation, of 255."""


def write_photographs(folder: Path, count: int, classes: int = 10) -> Path:
    """Write images into class folders, as far as they are not there yet; returns the folder.

    Args:
        folder: may hold images of an earlier call with the same numbers.
        count: of images.
        classes: of class folders.
    """
    for number in range(count):
        file = folder / f"class_{number % classes:02}" / f"{number:06}.jpg"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(".draft")
            draw_photograph(number).save(draft, "JPEG", quality=QUALITY)
            draft.replace(file)
    return folder


def draw_photograph(number: int) -> Image.Image:
    """The image with this number, which is always the same."""
    rng = np.random.default_rng(number)
    width, height = SIZES[number % len(SIZES)]
    pixels = np.zeros((height, width, 3), np.float32)
    for cells in SCALES:
        coarse = rng.integers(0, 256, (max(1, cells * height // width), cells, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        pixels += np.asarray(smooth, np.float32) / len(SCALES)
    image = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, MAX_SHAPES + 1)):
        left, top = int(rng.integers(0, width - 40)), int(rng.integers(0, height - 40))
        box = (left, top, left + int(rng.integers(20, 200)), top + int(rng.integers(20, 200)))
        colour = tuple(map(int, rng.integers(0, 256, 3)))
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)(box, fill=colour)
    noise = rng.normal(0.0, SENSOR_NOISE, (height, width, 3))
    noisy = np.clip(np.asarray(image, np.float32) + noise, 0, 255)
    return Image.fromarray(noisy.astype(np.uint8))
