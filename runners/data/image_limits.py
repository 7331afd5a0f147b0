"""How large an image may be: `ImageLimits`.

A small file can decode to any number of pixels, and so exhaust the memory. So larger images are not
decoded, unless a user asks for them with `--max-pixels`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

DEFAULT_MAX_PIXELS = 90_000_000
_FILE_BYTES = 128 * 2**20
"""The largest file, for each `DEFAULT_MAX_PIXELS` of the limit."""

# Pillow warns of images above half of its limit. The checks here are stricter.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, module=r"PIL\.Image")


class LargeImageError(ValueError):
    """An image file with too many bytes or pixels to be decoded."""


@dataclass(frozen=True)
class ImageLimits:
    """The largest image that is decoded.

    Attributes:
        max_pixels: its pixels. A JPEG, which can be decoded at an eighth of its size, may have
            twice as many, which is where Pillow stops.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS

    @classmethod
    def of(cls, max_pixels: int | None) -> ImageLimits:
        """Those with this number of pixels; None: the default."""
        return DEFAULT_LIMITS if max_pixels is None else cls(max_pixels)

    @property
    def max_file_bytes(self) -> int:
        """The largest image file that is read into memory."""
        return _FILE_BYTES * max(1, self.max_pixels // DEFAULT_MAX_PIXELS)

    def check_pixels(self, image: Image.Image | npt.NDArray[Any]) -> None:
        """Raise LargeImageError if an opened image, or an array (H, W, …), has too many pixels."""
        width, height = image.shape[1::-1] if isinstance(image, np.ndarray) else image.size
        if width * height > self.max_pixels:
            raise LargeImageError(
                f"{width:,} × {height:,} pixels; an image may have {self.max_pixels:,}; "
                f"{_advise(width * height)}"
            )

    def check_bytes(self, size: int) -> None:
        """Raise LargeImageError if a file of `size` bytes is too large."""
        if size > self.max_file_bytes:
            factor = -(-size // _FILE_BYTES)
            raise LargeImageError(
                f"{size:,} bytes; an image file may have {self.max_file_bytes:,}; "
                f"{_advise(factor * DEFAULT_MAX_PIXELS)}"
            )

    def describe_bomb(self) -> str:
        """What is wrong with an image that Pillow refuses to open."""
        return (
            f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels; an image may have "
            f"{self.max_pixels:,}; a larger --max-pixels reads it"
        )

    def raise_pillow_limit(self) -> None:
        """Let Pillow open what these limits allow. It has one limit for the whole process."""
        pillow_limit = Image.MAX_IMAGE_PIXELS
        is_raised = self.max_pixels > DEFAULT_MAX_PIXELS
        if is_raised and pillow_limit is not None and pillow_limit < self.max_pixels:
            Image.MAX_IMAGE_PIXELS = self.max_pixels


DEFAULT_LIMITS = ImageLimits()


def _advise(pixels: int) -> str:
    return f"--max-pixels {-(-pixels // 10**6)}M reads it"
