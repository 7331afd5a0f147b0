"""Decode image files of any mode and size to square RGB arrays.

The shorter side is resized, with antialiasing, to the requested size, and the central square is
kept. Transparent images are composited onto white, 16-bit and floating-point grey is scaled to
8 bits, and the rotation in the EXIF data is applied.
"""

from __future__ import annotations

import io
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import EpsImagePlugin, Image, ImageOps, UnidentifiedImageError

from ..cores import usable_cores
from .dataset import Images

_SUFFIXES_OF_FORMATS = {
    "JPEG": "jpg jpeg jpe jfif jfi jif",
    "MPO": "mpo",
    "PNG": "png apng",
    "BMP": "bmp",
    "DIB": "dib",
    "GIF": "gif",
    "TIFF": "tif tiff",
    "WEBP": "webp",
    "PPM": "ppm pgm pbm pnm pfm",
    "JPEG2000": "jp2 j2k jpc jpf jpx j2c",
    "AVIF": "avif avifs",
}
"""The formats that are read, by Pillow's names, with what their files are usually called. Pillow's
other formats are for programs that trust their files: it hands an EPS image to Ghostscript. `MPO`
is what Pillow makes of a JPEG with several images, as telephones write it; the first is used."""
SUFFIXES = frozenset(
    f".{suffix}" for suffixes in _SUFFIXES_OF_FORMATS.values() for suffix in suffixes.split()
)
MAX_FILE_BYTES = 128 * 2**20
"""The largest image file that is read into memory."""
MAX_PIXELS = 90_000_000
"""The largest image that is decoded. A JPEG, which can be decoded at an eighth of its size, may be
twice as large, which is where Pillow stops."""
_IMAGES_PER_TASK = 32
_BYTES_PER_TASK = 16 * 2**20
MAX_PENDING_BYTES = 512 * 2**20
"""Bytes of encoded images that wait for a thread."""
_SMALL_FILE_BYTES = 16_384
"""Files smaller than this are not decoded in threads, which would mostly wait for the GIL."""


# Pillow warns of images above half of its limit. The check in `crop_and_resize` is stricter.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, module=r"PIL\.Image")


class LargeImageError(ValueError):
    """An image file with too many bytes or pixels to be decoded."""


@dataclass(frozen=True)
class BrokenImage:
    """An image that cannot be decoded: its name for messages, and the reason."""

    label: str
    reason: str


@dataclass(frozen=True)
class EncodedImage:
    """An image that is not decoded yet.

    Attributes:
        index: its position among the requested images.
        label: its name for messages.
        content: the file's bytes, or its path.
    """

    index: int
    label: str
    content: bytes | Path


def crop_and_resize(image: Image.Image, size: int) -> Images:
    """The central square of an image, resized, as uint8 RGB (size, size, 3).

    Raises:
        LargeImageError: the image has more pixels than `MAX_PIXELS`.
    """
    # JPEG files can be decoded at 1/2, 1/4 or 1/8 of their size; at least twice the requested size
    # is left for the resampling.
    image.draft(None, (2 * size, 2 * size))
    if image.width * image.height > MAX_PIXELS:
        raise LargeImageError(
            f"{image.width:,} × {image.height:,} pixels; an image may have {MAX_PIXELS:,}"
        )
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    image = _to_rgb(image)
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if side == size:
        image = image.crop(box)
    else:
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def resize_array(image: Images, size: int) -> Images:
    """`crop_and_resize` for an image that is an RGB array (H, W, 3) already."""
    if image.shape[:2] == (size, size):
        return image
    return crop_and_resize(Image.fromarray(image), size)


def open_image(content: bytes | Path) -> Image.Image:
    """Open an image of one of the formats that are read; its content decides which one it is.

    Raises:
        LargeImageError: the file has more bytes than `MAX_FILE_BYTES`.
        Exception: Pillow's decoders raise anything on damaged input.
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if size > MAX_FILE_BYTES:
        raise LargeImageError(f"{size:,} bytes; a file may have {MAX_FILE_BYTES:,}")
    try:
        return Image.open(
            io.BytesIO(content) if isinstance(content, bytes) else content, formats=_formats()
        )
    except Image.DecompressionBombError as error:
        raise LargeImageError(f"too many pixels; an image may have {MAX_PIXELS:,}") from error


def check_format(image: Image.Image) -> Image.Image:
    """The same image; ValueError if other code opened it and its format is not one of ours."""
    if image.format is not None and image.format not in _SUFFIXES_OF_FORMATS:
        raise ValueError(f"{image.format} is not a format that is read")
    return image


def disable_ghostscript() -> None:
    """Keep Pillow from starting Ghostscript, also where other code opens an image as EPS."""
    EpsImagePlugin.gs_binary = False


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """The formats that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _SUFFIXES_OF_FORMATS if name in Image.OPEN)


def read_shorter_side(content: bytes | Path) -> int | None:
    """Shorter side in pixels, from the file's header alone; None if it cannot be read."""
    try:
        with open_image(content) as image:
            return min(image.size)
    except Exception:  # Decoders raise anything on damaged input.
        return None


def decode_images(
    encoded: Iterable[EncodedImage], size: int
) -> Iterator[tuple[int, Images | BrokenImage]]:
    """Decode images; yields the index of each, with an array (size, size, 3) or a `BrokenImage`.

    Decoding runs in threads, except for very small files. Indices come in any order, and the number
    of images in memory is bounded.
    """
    chunks = _chunks(encoded)
    threads = min(16, usable_cores())
    pending: deque[tuple[Future[list[tuple[int, Images | BrokenImage]]], int]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        for chunk in chunks:
            if _has_small_files(chunk):
                yield from _decode_chunk(chunk, size)
                continue
            pending.append((pool.submit(_decode_chunk, chunk, size), _bytes_in_memory(chunk)))
            while len(pending) > 2 * threads or sum(n for _, n in pending) > MAX_PENDING_BYTES:
                yield from pending.popleft()[0].result()
        while pending:
            yield from pending.popleft()[0].result()


def _chunks(encoded: Iterable[EncodedImage]) -> Iterator[list[EncodedImage]]:
    """Images in groups that are decoded together, limited in number and in bytes."""
    chunk: list[EncodedImage] = []
    for image in encoded:
        chunk.append(image)
        if len(chunk) == _IMAGES_PER_TASK or _bytes_in_memory(chunk) >= _BYTES_PER_TASK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _bytes_in_memory(chunk: list[EncodedImage]) -> int:
    return sum(len(image.content) for image in chunk if isinstance(image.content, bytes))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _to_eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits scaled to 8, by the range that the largest value implies."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    peak = values.max(initial=0)
    full = next((top for top in (1, 255, 65_535) if peak <= top), peak)
    if image.mode != "F":
        full = max(full, 65_535 if image.mode.startswith("I;16") else 255)
    return Image.fromarray((np.clip(values / full, 0, 1) * 255 + 0.5).astype(np.uint8))


def _decode_chunk(chunk: list[EncodedImage], size: int) -> list[tuple[int, Images | BrokenImage]]:
    return [(encoded.index, _decode(encoded, size)) for encoded in chunk]


def _decode(encoded: EncodedImage, size: int) -> Images | BrokenImage:
    content = encoded.content
    try:
        with open_image(content) as image:
            return crop_and_resize(image, size)
    except Exception as error:  # Decoders raise anything on damaged input.
        return BrokenImage(encoded.label, _reason(error) if content else "empty or damaged")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _has_small_files(chunk: list[EncodedImage]) -> bool:
    sizes = [len(encoded.content) for encoded in chunk if isinstance(encoded.content, bytes)]
    return bool(sizes) and sum(sizes) < _SMALL_FILE_BYTES * len(chunk)
