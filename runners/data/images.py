"""Read image files: which formats are opened, and decoding in threads.

What becomes of an image is decided by its `Preprocessing`.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from ..cores import usable_cores
from .array_files import is_array_file, read_array, read_array_header
from .content_hashes import hash_file
from .dataset import Images
from .image_limits import DEFAULT_LIMITS, ImageLimits, LargeImageError
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


def preprocess_image(
    image: Image.Image | Array, preprocessing: Preprocessing, limits: ImageLimits = DEFAULT_LIMITS
) -> Images:
    """The pixels of an image, uint8 (S, S, channels).

    Args:
        image: opened, but not loaded.
        preprocessing: makes images of one size and mode.
        limits: how large it may be.

    Raises:
        LargeImageError: the image has too many pixels.
    """
    if isinstance(image, Image.Image):
        preprocessing.draft(image)
    limits.check_pixels(image)
    return preprocessing.apply(image)


def preprocess_array(image: Images, preprocessing: Preprocessing) -> Images:
    """The pixels of an image that is an RGB array (H, W, 3) already."""
    size = preprocessing.image_size
    if image.shape == (size, size, preprocessing.channels):
        return image
    return preprocess_image(Image.fromarray(image), preprocessing)


@contextmanager
def open_image(
    content: bytes | Path, limits: ImageLimits = DEFAULT_LIMITS
) -> Iterator[Image.Image | Array]:
    """Open an image file: an array, or an image of Pillow's that is not decoded yet.

    Its content decides which of the formats that are read it has.

    Raises:
        LargeImageError: the file has too many bytes, or Pillow refuses to open so many pixels.
        Exception: decoders raise anything on damaged input.
    """
    if is_array_file(content):
        limits.check_bytes(_count_bytes(content))
        yield read_array(content)
        return
    with open_pillow_image(content, limits) as image:
        yield image


def open_pillow_image(content: bytes | Path, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """As `open_image`, of a file that is no array."""
    limits.check_bytes(_count_bytes(content))
    limits.raise_pillow_limit()
    try:
        return Image.open(
            io.BytesIO(content) if isinstance(content, bytes) else content, formats=_formats()
        )
    except Image.DecompressionBombError as error:
        raise LargeImageError(limits.describe_bomb()) from error
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


def _count_bytes(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


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


def read_header(content: bytes | Path, limits: ImageLimits = DEFAULT_LIMITS) -> ImageHeader | None:
    """What a file's header says, without decoding its pixels; None if it cannot be read."""
    try:
        if is_array_file(content):
            height, width, _ = read_array_header(content).shape
            return ImageHeader((width, height), False)
        with open_pillow_image(content, limits) as image:
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
    encoded: Iterable[EncodedImage],
    preprocessing: Preprocessing,
    limits: ImageLimits = DEFAULT_LIMITS,
    on_hash: OnHash | None = None,
) -> Iterator[tuple[int, Images | BrokenImage]]:
    """Decode images; yields the index of each, with its pixels (S, S, 3) or a `BrokenImage`.

    Indices come in any order.

    Args:
        encoded: the images.
        preprocessing: makes images of one size and mode.
        limits: how large an image may be.
        on_hash: called for each image, in any thread, with its index and the hash of its content.
    """
    decode = partial(_decode, preprocessing=preprocessing, limits=limits, on_hash=on_hash)
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
    encoded: EncodedImage,
    preprocessing: Preprocessing,
    limits: ImageLimits,
    on_hash: OnHash | None,
) -> Images | BrokenImage:
    try:
        content = encoded.content
        if on_hash is not None:
            content = _read_and_hash(encoded, limits.max_file_bytes, on_hash)
        with open_image(content, limits) as image:
            return preprocess_image(image, preprocessing, limits)
    except Exception as error:  # Decoders raise anything on damaged input.
        reason = describe_error(error) if encoded.content else "empty or damaged"
        return BrokenImage(encoded.label, reason)


def _read_and_hash(encoded: EncodedImage, max_bytes: int, on_hash: OnHash) -> bytes | Path:
    """The content of an image, which is hashed; the path of a file that is too large."""
    content = encoded.content
    if isinstance(content, Path) and content.stat().st_size <= max_bytes:
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
