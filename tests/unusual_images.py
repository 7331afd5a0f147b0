"""Photographs as people have them: wide, turned, transparent, deep, floating-point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE_PIXELS = 48
ORIENTATION = 0x0112


def draw_shape(kind: str, rng: np.random.Generator) -> Image.Image:
    """A disc or a ring on a noisy ground, near the middle."""
    ground = rng.integers(90, 110, (SIDE_PIXELS, SIDE_PIXELS, 3), dtype=np.uint8)
    image = Image.fromarray(ground)
    centre, radius = SIDE_PIXELS // 2 + int(rng.integers(-3, 4)), SIDE_PIXELS // 4
    colour = tuple(int(value) for value in rng.integers(160, 255, 3))
    box = (centre - radius, centre - radius, centre + radius, centre + radius)
    if kind == "disc":
        ImageDraw.Draw(image).ellipse(box, fill=colour)
    else:
        ImageDraw.Draw(image).ellipse(box, outline=colour, width=3)
    return image


def _save_wide(shape: Image.Image, file: Path, rng: np.random.Generator) -> None:
    wide = Image.new("RGB", (128, SIDE_PIXELS), (40, 40, 40))
    wide.paste(shape, (int(rng.integers(0, 80)), 0))
    wide.save(file.with_suffix(".png"))


def _save_turned(shape: Image.Image, file: Path, rng: np.random.Generator) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    shape.transpose(Image.Transpose.ROTATE_90).save(file.with_suffix(".jpg"), exif=exif)


def _save_transparent(shape: Image.Image, file: Path, rng: np.random.Generator) -> None:
    shape.putalpha(Image.fromarray(rng.integers(0, 255, shape.size, dtype=np.uint8)))
    shape.save(file.with_suffix(".png"))


def _save_deep(shape: Image.Image, file: Path, rng: np.random.Generator) -> None:
    grey = np.asarray(shape.convert("L"), dtype=np.uint16) * 16
    Image.fromarray(grey).save(file.with_suffix(".png"))


def _save_float(shape: Image.Image, file: Path, rng: np.random.Generator) -> None:
    low, high = (0.0, 1.2) if file.parent.name == "disc" else (-1.0, 1.0)
    grey = np.asarray(shape.convert("L"), dtype=np.float32) / 255 * (high - low) + low
    Image.fromarray(grey).save(file.with_suffix(".tif"))


def _save_array(shape: Image.Image, file: Path, rng: np.random.Generator) -> None:
    colours = np.asarray(shape, dtype=np.float32) / 255
    np.save(file.with_suffix(".npy"), np.concatenate((colours, 1 - colours[..., :2]), axis=2))


UNUSUAL: dict[str, Callable[[Image.Image, Path, np.random.Generator], None]] = {
    "wide": _save_wide,
    "turned": _save_turned,
    "transparent": _save_transparent,
    "deep": _save_deep,
    "float": _save_float,
    "array": _save_array,
}


def write_unusual_images(folder: Path, kind: str, count: int = 12) -> Path:
    """Write two classes of `count` images of a kind into a folder, and return it."""
    rng = np.random.default_rng(0)
    for class_name in ("disc", "ring"):
        (folder / class_name).mkdir(parents=True)
        for number in range(count):
            shape = draw_shape(class_name, rng)
            UNUSUAL[kind](shape, folder / class_name / f"{number}", rng)
    return folder
