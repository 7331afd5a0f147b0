"""Read image files: which formats are opened, how large they may be, and decoding in threads.

What becomes of an image is decided by its `Preprocessing`.
"""

from __future__ import annotations

import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from ..cores import usable_cores
from .array_files import is_array_file, read_array, read_array_shape
from .content_hashes import hash_file
from .dataset import Images
from .preprocessing import Array, Preprocessing

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
DEFAULT_MAX_PIXELS = 90_000_000
MAX_PIXELS_VARIABLE = "ATTENTUNE_MAX_PIXELS"


def _max_pixels() -> int:
    """The limit of the environment variable; the default one if it is not set or no number."""
    text = os.environ.get(MAX_PIXELS_VARIABLE, "").replace("_", "")
    return int(text) if text.isdecimal() and int(text) > 0 else DEFAULT_MAX_PIXELS


MAX_PIXELS = _max_pixels()
"""The largest image that is decoded. A JPEG, which can be decoded at an eighth of its size, may be
twice as large, which is where Pillow stops."""
MAX_FILE_BYTES = 128 * 2**20 * max(1, MAX_PIXELS // DEFAULT_MAX_PIXELS)
"""The largest image file that is read into memory."""
if MAX_PIXELS > DEFAULT_MAX_PIXELS:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MARK_BYTES = 4
Result = TypeVar("Result")
_IMAGES_PER_TASK = 32
_BYTES_PER_TASK = 16 * 2**20
MAX_PENDING_BYTES = 512 * 2**20
"""Bytes of encoded images that wait for a thread."""
_SMALL_FILE_BYTES = 16_384
"""Files smaller than this are not decoded in threads, which would mostly wait for the GIL."""


OnHash = Callable[[int, int], None]
"""Takes the index of an image and the hash of its content."""

# Pillow warns of images above half of its limit. The check in `preprocess_image` is stricter.
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


def preprocess_image(image: Image.Image | Array, preprocessing: Preprocessing) -> Images:
    """The pixels of an image, uint8 (S, S, channels).

    Raises:
        LargeImageError: the image has more pixels than `MAX_PIXELS`.
    """
    if isinstance(image, Image.Image):
        preprocessing.draft(image)
    check_pixels(image)
    return preprocessing.apply(image)


def check_pixels(image: Image.Image | Array) -> None:
    """Raise LargeImageError if an image has more pixels than `MAX_PIXELS`."""
    width, height = image.shape[1::-1] if isinstance(image, np.ndarray) else image.size
    if width * height > MAX_PIXELS:
        raise LargeImageError(
            f"{width:,} × {height:,} pixels; an image may have {MAX_PIXELS:,}, "
            f"unless {MAX_PIXELS_VARIABLE} is set to more"
        )


def preprocess_array(image: Images, preprocessing: Preprocessing) -> Images:
    """The pixels of an image that is an RGB array (H, W, 3) already."""
    size = preprocessing.image_size
    if image.shape == (size, size, preprocessing.channels):
        return image
    return preprocess_image(Image.fromarray(image), preprocessing)


@contextmanager
def open_image(content: bytes | Path) -> Iterator[Image.Image | Array]:
    """Open an image file: an array, or an image of Pillow's that is not decoded yet.

    Its content decides which of the formats that are read it has.

    Raises:
        LargeImageError: the file has more bytes than `MAX_FILE_BYTES`.
        Exception: decoders raise anything on damaged input.
    """
    if is_array_file(content):
        _check_bytes(content)
        yield read_array(content)
        return
    with open_pillow_image(content) as image:
        yield image


def open_pillow_image(content: bytes | Path) -> Image.Image:
    """As `open_image`, of a file that is no array."""
    _check_bytes(content)
    try:
        return Image.open(
            io.BytesIO(content) if isinstance(content, bytes) else content, formats=_formats()
        )
    except Image.DecompressionBombError as error:
        raise LargeImageError(
            f"too many pixels; an image may have {MAX_PIXELS:,}, unless {MAX_PIXELS_VARIABLE} is "
            "set to more"
        ) from error
    except UnidentifiedImageError as error:
        if _read_beginning(content).startswith(_TIFF_MARKS):
            raise ValueError(
                "a TIFF that is damaged or has channels that Pillow cannot read; arrays (.npy) may "
                "have any channels"
            ) from error
        raise


def _read_beginning(content: bytes | Path) -> bytes:
    """The first bytes of a file, which tell its format."""
    if isinstance(content, bytes):
        return content[:_MARK_BYTES]
    with content.open("rb") as file:
        return file.read(_MARK_BYTES)


def _check_bytes(content: bytes | Path) -> None:
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    if size > MAX_FILE_BYTES:
        raise LargeImageError(f"{size:,} bytes; a file may have {MAX_FILE_BYTES:,}")


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


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before it is decoded.

    Attributes:
        size: width and height, pixels.
        has_several_frames: or pages. The second image of a JPEG of a telephone, a preview or
            depths, is no frame.
        has_unused_channels: whether Pillow leaves out channels that are neither RGB nor opacity.
    """

    size: tuple[int, int]
    has_several_frames: bool
    has_unused_channels: bool = False


def read_header(content: bytes | Path) -> ImageHeader | None:
    """What a file's header says, without decoding its pixels; None if it cannot be read."""
    try:
        if is_array_file(content):
            height, width, _ = read_array_shape(content)
            return ImageHeader((width, height), False)
        with open_pillow_image(content) as image:
            several = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
            return ImageHeader(image.size, several, _has_unused_channels(image))
    except Exception:  # Decoders raise anything on damaged input.
        return None


def _has_unused_channels(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet is a TIFF with channels that Pillow calls X."""
    arguments = (tile[3] for tile in getattr(image, "tile", None) or [])
    raw_modes = (a[0] for a in arguments if isinstance(a, tuple) and a and isinstance(a[0], str))
    return image.format == "TIFF" and any("X" in raw_mode for raw_mode in raw_modes)


def decode_images(
    encoded: Iterable[EncodedImage], preprocessing: Preprocessing, on_hash: OnHash | None = None
) -> Iterator[tuple[int, Images | BrokenImage]]:
    """Decode images; yields the index of each, with its pixels (S, S, 3) or a `BrokenImage`.

    Indices come in any order.

    Args:
        encoded: the images.
        preprocessing: makes images of one size and mode.
        on_hash: called for each image, in any thread, with its index and the hash of its content.
    """
    decode = partial(_decode, preprocessing=preprocessing, on_hash=on_hash)
    return map_in_threads(encoded, decode)


def map_in_threads(
    encoded: Iterable[EncodedImage], function: Callable[[EncodedImage], Result]
) -> Iterator[tuple[int, Result]]:
    """Apply a function to images; yields the index of each, in any order, with the result.

    It runs in threads, except for very small files, and the number of images in memory is bounded.
    """
    threads = min(16, usable_cores())
    pending: deque[tuple[Future[list[tuple[int, Result]]], int]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        for chunk in _chunks(encoded):
            if _has_small_files(chunk):
                yield from _map_chunk(chunk, function)
                continue
            results = pool.submit(_map_chunk, chunk, function)
            pending.append((results, _bytes_in_memory(chunk)))
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


def _map_chunk(
    chunk: list[EncodedImage], function: Callable[[EncodedImage], Result]
) -> list[tuple[int, Result]]:
    return [(encoded.index, function(encoded)) for encoded in chunk]


def _decode(
    encoded: EncodedImage, preprocessing: Preprocessing, on_hash: OnHash | None
) -> Images | BrokenImage:
    try:
        content = encoded.content if on_hash is None else _read_and_hash(encoded, on_hash)
        with open_image(content) as image:
            return preprocess_image(image, preprocessing)
    except Exception as error:  # Decoders raise anything on damaged input.
        reason = describe_error(error) if encoded.content else "empty or damaged"
        return BrokenImage(encoded.label, reason)


def _read_and_hash(encoded: EncodedImage, on_hash: OnHash) -> bytes | Path:
    """The content of an image, which is hashed; the path of a file that is too large."""
    content = encoded.content
    if isinstance(content, Path) and content.stat().st_size <= MAX_FILE_BYTES:
        content = content.read_bytes()
    on_hash(encoded.index, hash_file(content))
    return content


def describe_error(error: Exception) -> str:
    """The reason why an image cannot be decoded, in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _has_small_files(chunk: list[EncodedImage]) -> bool:
    sizes = [len(encoded.content) for encoded in chunk if isinstance(encoded.content, bytes)]
    return bool(sizes) and sum(sizes) < _SMALL_FILE_BYTES * len(chunk)
