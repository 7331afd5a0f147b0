"""The range of the values of a data set whose images have more than 8 bits.

A file does not say which of its values are black and white: a scanner writes 12 bits into files of
16, and a thermal camera hundredths of a kelvin. All images of a data set get one range, so that
they stay comparable. It is the smallest usual one that holds all values (0 to 2ⁿ−1 for integers;
0 to 1, −1 to 1 or 0 to 255 for floating-point numbers), or their minimum and maximum if they would
fill less than a quarter of that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ...errors import DataError
from .array_files import is_array_file, read_array_header
from .image_limits import DEFAULT_LIMITS, ImageLimits
from .images import EncodedImage, map_in_threads, open_image
from .preprocessing import Array, ValueRange, is_deep, read_deep_values

EIGHT_BIT_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".gif", ".bmp", ".webp")
"""Of files that are not examined, because their formats have no more than 8 bits."""
_FLOAT_RANGES = (ValueRange(0, 1), ValueRange(-1, 1), ValueRange(0, 255))
_INTEGER_RANGES = tuple(ValueRange(0, 2**bits - 1) for bits in range(8, 33))
_LEAST_SHARE = 0.25
"""Of a usual range, the share that values have to fill. So at least 64 grey levels remain."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_BYTE = 24


class ImageValues(NamedTuple):
    """The smallest and the largest value of one image, and whether they are floating-point."""

    low: float
    high: float
    is_float: bool


def measure_files(
    encoded: Iterable[EncodedImage], limits: ImageLimits = DEFAULT_LIMITS
) -> ValueRange | None:
    """The range of a data set in files; None if no image has more than 8 bits.

    Raises:
        DataError: some images have integers and others floating-point numbers.
    """
    measure = partial(_measure_file, limits=limits)
    return combine_values(measured for _, measured in map_in_threads(encoded, measure))


def combine_values(measured: Iterable[tuple[str, ImageValues | None]]) -> ValueRange | None:
    """The range of a data set from the values of its images, which have a name for messages.

    Raises:
        DataError: some images have integers and others floating-point numbers.
    """
    labels: dict[bool, str] = {}
    low, high = math.inf, -math.inf
    for label, values in measured:
        if values is None:
            continue
        low, high = min(low, values.low), max(high, values.high)
        labels[values.is_float] = min(label, labels.get(values.is_float, label))
    if len(labels) > 1:
        raise DataError(
            f"{labels[True]} holds floating-point numbers and {labels[False]} integers of more "
            "than 8 bits, which have no common scale; convert the images to one kind"
        )
    return choose_value_range(low, high, is_float=True in labels) if labels else None


def choose_value_range(low: float, high: float, *, is_float: bool) -> ValueRange:
    """The range for values between `low` and `high`, by the rule at the head of this module.

    Args:
        low, high: the smallest and the largest value of a data set.
        is_float: whether the values are floating-point numbers.
    """
    for usual in _FLOAT_RANGES if is_float else _INTEGER_RANGES:
        if usual.low <= low and high <= usual.high:
            if high - low >= _LEAST_SHARE * (usual.high - usual.low):
                return usual
            break
    return ValueRange(low, high if high > low else low + 1)


def measure_image(
    image: Image.Image | Array, limits: ImageLimits = DEFAULT_LIMITS
) -> ImageValues | None:
    """The values of an array, or of an image that is not loaded yet.

    None if it has 8 bits, or no finite value.

    Raises:
        LargeImageError: the image has too many pixels.
        Exception: Pillow's decoders raise anything on damaged input.
    """
    if isinstance(image, np.ndarray):
        is_of_bytes, is_float = image.dtype == np.uint8, image.dtype.kind == "f"
    else:
        is_of_bytes, is_float = not is_deep(image), image.mode == "F"
    if is_of_bytes:
        return None
    limits.check_pixels(image)
    values = image if isinstance(image, np.ndarray) else read_deep_values(image)[0]
    finite = values[np.isfinite(values)]
    return ImageValues(float(finite.min()), float(finite.max()), is_float) if finite.size else None


def _measure_file(encoded: EncodedImage, limits: ImageLimits) -> tuple[str, ImageValues | None]:
    """The name and the values of an image. Broken ones have none: decoding reports them."""
    try:
        if _is_shallow_png(encoded.content) or _is_array_of_bytes(encoded.content):
            return encoded.label, None
        with open_image(encoded.content, limits) as image:
            return encoded.label, measure_image(image, limits)
    except Exception:  # Decoders raise anything on damaged input.
        return encoded.label, None


def _is_shallow_png(content: bytes | Path) -> bool:
    """Whether the header of a file, read without Pillow, is that of a PNG with 8 bits or fewer."""
    if isinstance(content, bytes):
        header = content[: _PNG_DEPTH_BYTE + 1]
    else:
        with content.open("rb") as file:
            header = file.read(_PNG_DEPTH_BYTE + 1)
    is_png = header.startswith(_PNG) and len(header) > _PNG_DEPTH_BYTE
    return is_png and header[_PNG_DEPTH_BYTE] <= 8


def _is_array_of_bytes(content: bytes | Path) -> bool:
    """Whether a file is an array of 8 bits a value, by its header."""
    return is_array_file(content) and read_array_header(content).dtype == np.uint8
