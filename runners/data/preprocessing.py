"""The preprocessing: from an image of any mode and size to the pixels that a network sees.

An image is one of Pillow's, or an array (H, W) or (H, W, C) of any number of channels. Decoding for
the cache, `attentune predict`, `attentune.load(…).preprocess` and the metadata of an ONNX file all
use `Preprocessing`, so an image has the same pixels everywhere. An exported folder holds a copy of
this file. Therefore it imports nothing but Pillow and NumPy.

ICC profiles are ignored, as in torchvision and timm. Of an image with several pages or frames the
first is used.
"""

from __future__ import annotations

import io
import math
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Channels = tuple[float, ...]
"""A number for each channel."""
Array = npt.NDArray[Any]
"""An image (H, W) or (H, W, C) of any numbers."""
Box = tuple[int, int, int, int]
WHITE = (255, 255, 255)
_MODES = {1: "L", 3: "RGB"}
"""Pillow's modes, by the numbers of channels that images of files can have."""
_MAX_CHANNELS, _MAX_CHANNELS_FIRST = 1024, 32
"""Of any array, and of one that seems to have its channels first."""
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation."""
_ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")
_FULL_RANGES = (1, 255, 65_535)
"""The ranges, from 0, of which the smallest that holds an image's values is taken as its own."""


class ValueRange(NamedTuple):
    """The values that become black and white."""

    low: float
    high: float


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a network. It can be converted to JSON and back.

    Attributes:
        image_size: side S of the square image, pixels.
        fit: how an image becomes square: `crop` keeps the central square, `pad` the whole image
            on the background, `squash` the whole image with its proportions changed.
        interpolation: Pillow's name of the filter with which images are resized.
        background: RGB colour under transparency and around padded images, 0 to 255; its grey value
            in every channel of other images.
        value_range: of the values of images with more than 8 bits, one for the whole data set.
            None for 8-bit data; an image with more bits is then scaled by the range that its own
            largest value implies, which is what attentune did before data had a range.
        mean, std: of the normalisation, per channel, for values from 0 to 1.
        channels: of the pixels. Image files are converted to grey (1) or RGB (3), and arrays of 1
            or 3 channels to the other of the two.

    Raises:
        ValueError: a value is out of range.
    """

    image_size: int
    fit: str = "crop"
    interpolation: str = "bicubic"
    background: tuple[int, int, int] = WHITE
    value_range: ValueRange | None = None
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    channels: int = 3

    def __post_init__(self) -> None:
        checks = {
            "image_size": type(self.image_size) is int and self.image_size > 0,
            "fit": self.fit in FITS,
            "interpolation": self.interpolation in INTERPOLATIONS,
            "background": _are_numbers(self.background, 3) and set(self.background) <= _BYTES,
            "value_range": self.value_range is None
            or (_are_numbers(self.value_range, 2) and self.value_range[0] < self.value_range[1]),
            "channels": type(self.channels) is int and 1 <= self.channels <= _MAX_CHANNELS,
            "mean": _are_numbers(self.mean, self.channels),
            "std": _are_numbers(self.std, self.channels) and min(self.std) > 0,
        }
        for name, is_right in checks.items():
            if not is_right:
                value = repr(getattr(self, name))
                raise ValueError(f"{name} of the preprocessing cannot be {value[:100]}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the pixels of an image: (S, S, channels)."""
        return self.image_size, self.image_size, self.channels

    @property
    def reads_image_files(self) -> bool:
        """Whether image files can be read, which become grey or RGB, and not arrays alone."""
        return self.channels in _MODES

    def apply(self, image: Image.Image | Array) -> Pixels:
        """The pixels of an image, uint8 (S, S, channels).

        Pass an image as `PIL.Image.open` returns it: a JPEG that is not loaded yet is decoded at a
        fraction of its size, and colours of 16 bits are read in full.

        Raises:
            ValueError: the image has another number of channels, or an array is no image.
            Exception: Pillow's decoders raise anything on damaged input.
        """
        if isinstance(image, np.ndarray):
            return self._apply_to_array(as_channels_last(image))
        if not self.reads_image_files:
            raise ValueError(f"a file of this format has 1 or 3 channels, not {self.channels}")
        self.draft(image)
        return self._fit(_turn_upright(self._to_rgb(image), _read_orientation(image)))

    def normalise(self, image: Image.Image | Array) -> npt.NDArray[np.float32]:
        """The normalised input of a network, float32 (channels, S, S); raises as `apply`."""
        # The same operations, in the same order, as in training.
        mean, std = (np.array(v, np.float32) * np.float32(255) for v in (self.mean, self.std))
        normalised = (self.apply(image).astype(np.float32) - mean) / std
        return np.ascontiguousarray(normalised.transpose(2, 0, 1))

    def draft(self, image: Image.Image) -> None:
        """Let a JPEG that is not loaded yet be decoded at 1/2, 1/4 or 1/8 of its size.

        At least twice the requested size is left for the resampling.
        """
        image.draft(None, (2 * self.image_size, 2 * self.image_size))

    def to_json(self) -> dict[str, Any]:
        """Plain types only; `from_json` is the inverse."""
        fields = asdict(self)
        if self.channels == 3:  # As earlier versions, which knew no other number.
            del fields["channels"]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_json` wrote; ValueError or TypeError if it is something else."""
        if not isinstance(fields, Mapping):
            raise TypeError("it is no JSON object")
        tuples = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        values: dict[str, Any] = {**fields, **tuples}
        value_range = values.pop("value_range", None)
        return cls(**values, value_range=value_range and ValueRange(*value_range))

    def _fit(self, image: Image.Image) -> Pixels:
        """The pixels (S, S, 1 or 3) of a grey or RGB image."""
        mode = _MODES.get(self.channels, image.mode)
        converted = image if image.mode == mode else image.convert(mode)
        pixels = np.asarray(FITS[self.fit](self, converted))
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def _apply_to_array(self, values: Array) -> Pixels:
        """The pixels of an array (H, W, C), each channel of which is resized as a grey image."""
        if values.dtype != np.uint8:
            values = _to_bytes(values, self.value_range or _implied_range(values))
        count = values.shape[2]
        if count in _MODES and self.channels in _MODES:
            return self._fit(Image.fromarray(values[..., 0] if count == 1 else values))
        if count != self.channels:
            raise ValueError(f"it has {count} channels, not {self.channels}")
        planes = (Image.fromarray(values[..., channel]) for channel in range(count))
        return np.concatenate([self._fit(plane) for plane in planes], axis=2)

    def _to_rgb(self, image: Image.Image) -> Image.Image:
        if self.value_range is not None and is_deep(image):
            return self._scale_values(image, self.value_range)
        image.load()  # The header does not say yet what follows the pixels in a PNG.
        if _is_deep_grey(image):
            values = np.asarray(image)
            return Image.fromarray(_to_bytes(values, _implied_range(values))).convert("RGB")
        return self._on_background(image) if _is_transparent(image) else image.convert("RGB")

    def _scale_values(self, image: Image.Image, value_range: ValueRange) -> Image.Image:
        """An image with more than 8 bits as RGB with 8."""
        values, alpha = read_deep_values(image)
        scaled = Image.fromarray(_to_bytes(values, value_range)).convert("RGB")
        if alpha is None:
            return scaled
        scaled.putalpha(Image.fromarray(alpha))
        return self._on_background(scaled)

    def _on_background(self, image: Image.Image) -> Image.Image:
        coloured = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        ground = Image.new("RGBA", coloured.size, (*self.background, 255))
        return Image.alpha_composite(ground, coloured).convert("RGB")


def _resize(
    preprocessing: Preprocessing, image: Image.Image, size: tuple[int, int], box: Box
) -> Image.Image:
    """A part of an image (left, top, right, bottom) at another size (width, height), pixels."""
    if (box[2] - box[0], box[3] - box[1]) == size:
        return image.crop(box)
    return image.resize(size, INTERPOLATIONS[preprocessing.interpolation], box=box)


def _crop(preprocessing: Preprocessing, image: Image.Image) -> Image.Image:
    """The central square, resized."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    size = preprocessing.image_size
    return _resize(preprocessing, image, (size, size), (left, top, left + side, top + side))


def _pad(preprocessing: Preprocessing, image: Image.Image) -> Image.Image:
    """The whole image, its longer side resized, in the middle of a square."""
    size = preprocessing.image_size
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    resized = _resize(preprocessing, image, (width, height), (0, 0, *image.size))
    square = Image.new("RGB", (size, size), preprocessing.background)
    if resized.mode != square.mode:
        square = square.convert(resized.mode)
    square.paste(resized, ((size - width) // 2, (size - height) // 2))
    return square


def _squash(preprocessing: Preprocessing, image: Image.Image) -> Image.Image:
    """The whole image, both sides resized."""
    size = preprocessing.image_size
    return _resize(preprocessing, image, (size, size), (0, 0, *image.size))


FITS: dict[str, Callable[[Preprocessing, Image.Image], Image.Image]] = {
    "crop": _crop,
    "pad": _pad,
    "squash": _squash,
}
INTERPOLATIONS = {
    name: Image.Resampling[name.upper()]
    for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
}
_BYTES = frozenset(range(256))


def as_channels_last(array: Array) -> Array:
    """An array (H, W) or (H, W, C) as (H, W, C); ValueError if it is no image."""
    shape = " × ".join(map(str, array.shape))
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3) or not array.size:
        raise ValueError(f"an array {shape} of {array.dtype}; images have numbers H × W (× C)")
    if array.ndim == 2:
        return array[..., None]
    first, second, last = array.shape
    if last > _MAX_CHANNELS or (first <= _MAX_CHANNELS_FIRST < last and first < second):
        raise ValueError(f"an array {shape}; channels are last, and at most {_MAX_CHANNELS:,}")
    return array


def is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits a value.

    Colours of 16 bits are recognised until the image is loaded, which reduces them to 8.
    """
    return _is_deep_grey(image) or _deep_raw_mode(image) is not None


def read_deep_values(
    image: Image.Image,
) -> tuple[npt.NDArray[np.float64], Pixels | None]:
    """The values of an image for which `is_deep` is true, and its opacity.

    Returns:
        values (H, W) or (H, W, 3), and opacity (H, W) from 0 to 255, None if all is opaque.
    """
    raw_mode, transparent = _deep_raw_mode(image), image.info.get("transparency")
    stored = np.asarray(image) if raw_mode is None else _read_sixteen_bits(image, raw_mode)
    values, alpha = stored, None
    if raw_mode is not None and image.mode in _ALPHA_MODES:
        values, alpha = stored[..., :-1], (stored[..., -1] >> 8).astype(np.uint8)
    elif transparent is not None:
        is_clear = stored == np.asarray(transparent)
        is_clear = is_clear.all(-1) if is_clear.ndim == 3 else is_clear
        alpha = np.where(is_clear, 0, 255).astype(np.uint8)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return values.astype(np.float64), alpha


def _is_deep_grey(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def _deep_raw_mode(image: Image.Image) -> str | None:
    """How colours of 16 bits are stored in the file of an image; None if they are not."""
    if _is_deep_grey(image):
        return None
    for tile in getattr(image, "tile", None) or []:
        arguments = tile[3]  # Of the decoder.
        raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
        if isinstance(raw_mode, str) and ";16" in raw_mode:
            return raw_mode
    return None


def _read_sixteen_bits(image: Image.Image, raw_mode: str) -> npt.NDArray[np.uint16]:
    """Values (H, W, C) of an image whose colours have 16 bits, of which Pillow decodes 8.

    The image is decoded twice: with its own byte order, which gives the high bytes, and with the
    other, which gives the low ones.
    """
    file = getattr(image, "fp", None)
    if file is None:
        raise ValueError("it was closed before its colours of 16 bits were read")
    position = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(position)
    if raw_mode == "LA;16B":
        return _read_deep_grey_png(image, content)
    is_big_endian = raw_mode.endswith("B") or (raw_mode.endswith("N") and sys.byteorder == "big")
    other = f"{raw_mode[:-1]}{'L' if is_big_endian else 'B'}"
    with Image.open(io.BytesIO(content), formats=[image.format or ""]) as swapped:
        swapped.tile = [_with_raw_mode(tile, other) for tile in swapped.tile]
        low = np.asarray(swapped)
    return np.asarray(np.asarray(image).astype(np.uint16) << 8 | low, np.uint16)


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    arguments = tile[3]
    changed = (raw_mode, *arguments[1:]) if isinstance(arguments, tuple) else raw_mode
    return type(tile)(*tile[:3], changed)


def _read_deep_grey_png(image: Image.Image, content: bytes) -> npt.NDArray[np.uint16]:
    """Grey and opacity (H, W, 2) of a PNG with 16 bits: four bytes a pixel, as in RGBA."""
    position, compressed = 8, []
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"IDAT":
            compressed.append(content[position + 8 : position + 8 + length])
        position += 12 + length
    interlaced = image.info.get("interlace", 0)
    stored = Image.frombytes("RGBA", image.size, b"".join(compressed), "zip", "RGBA", interlaced)
    image.load()
    return np.asarray(np.asarray(stored).view(">u2"), np.uint16)


def _to_bytes(values: Array, value_range: ValueRange) -> Pixels:
    low, high = value_range
    finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    return (np.clip((finite - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def _implied_range(values: Array) -> ValueRange:
    """The range that the largest value of an image implies."""
    peak = np.nan_to_num(values.astype(np.float64)).max(initial=0)
    full = next((top for top in _FULL_RANGES if peak <= top), peak)
    if values.dtype.kind != "f":
        full = max(full, 65_535 if values.dtype.itemsize == 2 else 255)
    return ValueRange(0, full)


def _is_transparent(image: Image.Image) -> bool:
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return True
    return image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")


def _read_orientation(image: Image.Image) -> int:
    """The EXIF orientation of a loaded image; 1, which is upright, if it has none."""
    if "exif" not in image.info:
        return 1
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # Cameras and programs write EXIF data that cannot be parsed.
        return 1
    return orientation if isinstance(orientation, int) else 1


def _turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(type(v) in (int, float) and math.isfinite(v) for v in values)
    )
