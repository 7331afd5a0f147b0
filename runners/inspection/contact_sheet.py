"""A sheet of training images: as they are trained on, and as the augmentation changes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ...sanitize import clean_text
from ..data.dataset import Images, Labels, Split, to_rgb
from ..data.images import BrokenImage
from ..data.prepared.prepare import preprocessing_of
from ..data.prepared.splits import plan_splits
from ..data.sources.resolve import open_source
from ..data.sources.source import SourceOptions
from ..recipe import Recipe
from ..training.device_data import DeviceData, DeviceImages
from ..training.epoch_batches import EpochBatches

IMAGES_PER_CLASS = 4
MAX_SHOWN_CLASSES = 24
_SPARE_IMAGES = 4
"""How many more images of a class are read, in case that some cannot be decoded."""
_GAP_PIXELS = 4
_CAPTION_PIXELS = 18
_MIN_SHOWN_PIXELS = 64
_MAX_CAPTION_LENGTH = 60
_GROUND = (255, 255, 255)


@dataclass(frozen=True)
class SheetRow:
    """Images of one class: `plain` and `augmented`, both uint8 (n, S, S, C)."""

    class_name: str
    plain: Images
    augmented: Images


def read_sheet_rows(recipe: Recipe) -> list[SheetRow]:
    """The first training images of up to `MAX_SHOWN_CLASSES` classes, also as augmented.

    Raises:
        DataError: the data of the recipe cannot be used.
    """
    source = open_source(recipe.data, SourceOptions.of(recipe))
    labels = source.read_labels()
    selection = plan_splits(labels, source.classes, recipe, source.read_groups()).selections[
        "train"
    ]
    selected = labels[selection.split][selection.rows]
    shown = range(min(len(source.classes), MAX_SHOWN_CLASSES))
    rows = np.concatenate(
        [selection.rows[selected == number][: IMAGES_PER_CLASS + _SPARE_IMAGES] for number in shown]
    )
    read = dict(source.read_images(selection.split, rows, preprocessing_of(recipe)))
    by_class: dict[int, list[Images]] = {number: [] for number in shown}
    for index, row in enumerate(rows):
        image, chosen = read[index], by_class[int(labels[selection.split][row])]
        if not isinstance(image, BrokenImage) and len(chosen) < IMAGES_PER_CLASS:
            chosen.append(image)
    numbers = np.array([number for number, images in by_class.items() for _ in images], np.int64)
    images = np.stack([image for chosen in by_class.values() for image in chosen])
    augmented = _augment(images, numbers, recipe)
    return [
        SheetRow(source.classes[number], images[numbers == number], augmented[numbers == number])
        for number in shown
        if (numbers == number).any()
    ]


def draw_contact_sheet(rows: list[SheetRow], description: str) -> Image.Image:
    """A sheet with the images of each class in a row, beside what the augmentation makes of them.

    Args:
        rows: the classes.
        description: a line at the top.
    """
    size = rows[0].plain.shape[1]
    scale = -(-_MIN_SHOWN_PIXELS // size)
    step = size * scale + _GAP_PIXELS
    height = _CAPTION_PIXELS + step
    font = ImageFont.load_default()
    sheet = Image.new(
        "RGB",
        (2 * IMAGES_PER_CLASS * step + 4 * _GAP_PIXELS, len(rows) * height + 2 * _CAPTION_PIXELS),
        _GROUND,
    )
    draw = ImageDraw.Draw(sheet)
    _write(draw, 2, description, font)
    for number, row in enumerate(rows):
        top = _CAPTION_PIXELS + number * height
        _write(draw, top + 2, row.class_name, font)
        for images, left in ((row.plain, _GAP_PIXELS), (row.augmented, 0)):
            begin = left or IMAGES_PER_CLASS * step + 3 * _GAP_PIXELS
            for column, image in enumerate(images):
                enlarged = Image.fromarray(to_rgb(image)).resize(
                    (size * scale, size * scale), Image.Resampling.NEAREST
                )
                sheet.paste(enlarged, (begin + column * step, top + _CAPTION_PIXELS))
    return sheet


def _write(
    draw: ImageDraw.ImageDraw,
    top: int,
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    line = clean_text(text, _MAX_CAPTION_LENGTH * 2, one_line=True)
    try:
        draw.text((_GAP_PIXELS, top), line, fill=(0, 0, 0), font=font)
    except UnicodeEncodeError:  # The font of a Pillow without FreeType has Latin letters only.
        ascii_line = line.encode("ascii", "backslashreplace").decode()
        draw.text((_GAP_PIXELS, top), ascii_line, fill=(0, 0, 0), font=font)


def _augment(images: Images, labels: Labels, recipe: Recipe) -> Images:
    """Images (N, S, S, C) as a trial with seed 0 sees them in its first epoch."""
    device = torch.device("cpu")
    split = DeviceImages.of(Split(images, labels), device)
    pixels = images.reshape(-1, images.shape[3]).astype(np.float64)
    mean, std = (torch.from_numpy(v).float() for v in (pixels.mean(0), pixels.std(0)))
    batches = EpochBatches(DeviceData(split, split, mean, std), recipe, seed=0, epoch=0)
    augmented, _ = batches.take(0, len(images))
    in_order = np.empty_like(images)
    in_order[batches.order.numpy()] = augmented.numpy()
    return in_order
