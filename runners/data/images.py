"""One picture file to one square RGB array: any mode, any size, antialiased.

The shorter side is brought to the wanted size and the middle square is kept. Transparent pictures
are laid on white, 16-bit and floating point grey is scaled to 8 bits, a camera's rotation is kept.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .dataset import Images

_FORMATS = "jpg jpeg jpe png bmp gif tif tiff webp ppm pgm pbm jp2 avif"
SUFFIXES = frozenset(f".{name}" for name in _FORMATS.split())
_CHUNK = 32
_SMALL = 16_384  # bytes; below, a thread spends more on the interpreter's lock than it gains


@dataclass(frozen=True)
class BrokenImage:
    """A picture that cannot be decoded: which, and why."""

    label: str
    reason: str


@dataclass(frozen=True)
class EncodedImage:
    """An undecoded picture: its place in the wanted order, its name for messages, its content."""

    place: int
    label: str
    content: bytes | Path


def fit(image: Image.Image, size: int) -> Images:
    """The middle square of a picture at size × size, uint8 RGB (size, size, 3)."""
    # JPEG files can be decoded at 1/2, 1/4 or 1/8; twice the size is left for the resampling.
    image.draft(None, (2 * size, 2 * size))
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    image = _rgb(image)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        image = image.crop(box)
    else:
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def fit_array(image: Images, size: int) -> Images:
    """`fit` for a picture that is an RGB array already."""
    return image if image.shape[:2] == (size, size) else fit(Image.fromarray(image), size)


def shorter_side(content: bytes | Path) -> int | None:
    """Shorter side in pixels, from the header alone; None if it cannot be read."""
    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            return min(image.size)
    except Exception:  # decoders raise anything on damaged input
        return None


def decode_all(
    raws: Iterable[EncodedImage], size: int
) -> Iterator[tuple[int, Images | BrokenImage]]:
    """Every picture with its place: an array (size, size, 3), or why there is none.

    Decoding runs in threads, except for pictures so small that threads would only wait for one
    another. Places come in any order; a bounded number of pictures is in memory.
    """
    raws = iter(raws)
    workers = min(16, _cores())
    pending: deque[Future[list[tuple[int, Images | BrokenImage]]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        while chunk := list(islice(raws, _CHUNK)):
            if _is_small(chunk):
                yield from _decode_chunk(chunk, size)
                continue
            pending.append(pool.submit(_decode_chunk, chunk, size))
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey to 8 bits: by its type's range, which its largest value gives away."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    peak = values.max(initial=0)
    full = next((top for top in (1, 255, 65_535) if peak <= top), peak)
    if image.mode != "F":
        full = max(full, 65_535 if image.mode.startswith("I;16") else 255)
    return Image.fromarray((np.clip(values / full, 0, 1) * 255 + 0.5).astype(np.uint8))


def _decode_chunk(chunk: list[EncodedImage], size: int) -> list[tuple[int, Images | BrokenImage]]:
    return [(raw.place, _decode(raw, size)) for raw in chunk]


def _decode(raw: EncodedImage, size: int) -> Images | BrokenImage:
    try:
        content = raw.content.read_bytes() if isinstance(raw.content, Path) else raw.content
        with Image.open(io.BytesIO(content)) as image:
            return fit(image, size)
    except Exception as error:  # decoders raise anything on damaged input
        return BrokenImage(raw.label, _reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a known format"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _is_small(chunk: list[EncodedImage]) -> bool:
    sizes = [len(raw.content) for raw in chunk if isinstance(raw.content, bytes)]
    return bool(sizes) and sum(sizes) < _SMALL * len(chunk)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
