"""The one preprocessing: every mode, size and rotation, and the same pixels as ever."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import get_args

import numpy as np
import pytest
from attentune.runners.data.preprocessing import (
    FITS,
    INTERPOLATIONS,
    Preprocessing,
    ValueRange,
    is_deep,
    read_deep_values,
)
from attentune.runners.recipe import Fit, Interpolation
from PIL import Image, ImageOps
from unusual_images import ORIENTATION

RNG = np.random.default_rng(0)
TWELVE_BITS = ValueRange(0, 4095)


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    pixels = RNG.integers(0, 256, (height // 4 + 1, width // 4 + 1, channels), dtype=np.uint8)
    image = Image.fromarray(pixels if channels > 1 else pixels[..., 0])
    return image.resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, image_format, **options)
    return content.getvalue()


def open_bytes(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def apply(content: bytes, **fields: object) -> np.ndarray:
    return Preprocessing(**{"image_size": 16, **fields}).apply(open_bytes(content))


def write_png(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG with 16 bits, which Pillow cannot write in colour: values uint16 (H, W, C)."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in chunks)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


# --- the choices --------------------------------------------------------------------------------


def test_the_recipe_offers_what_the_preprocessing_can_do():
    assert get_args(Fit) == tuple(FITS)
    assert get_args(Interpolation) == tuple(INTERPOLATIONS)


def test_it_survives_json():
    for preprocessing in (
        Preprocessing(16),
        Preprocessing(16, "pad", "bilinear", (1, 2, 3), TWELVE_BITS, (0.1, 0.2, 0.3), (1, 2, 3)),
        Preprocessing(16, mean=(0.5,), std=(0.2,), channels=1),
    ):
        text = json.dumps(preprocessing.to_json())
        assert Preprocessing.from_json(json.loads(text)) == preprocessing


def test_three_channels_are_not_stored_as_in_earlier_versions():
    assert "channels" not in Preprocessing(16).to_json()


@pytest.mark.parametrize("fit", FITS)
def test_one_channel_is_that_of_grey_images_in_rgb(fit):
    grey = noise(40, 30, 1)
    one = Preprocessing(16, fit, mean=(0.5,), std=(0.2,), channels=1)
    expected = Preprocessing(16, fit).apply(grey)
    for image in (grey, np.asarray(grey), np.asarray(grey)[..., None], grey.convert("RGB")):
        np.testing.assert_array_equal(one.apply(image).repeat(3, 2), expected)
    assert one.normalise(grey).shape == (1, 16, 16)


@pytest.mark.parametrize("fit", FITS)
def test_each_channel_of_an_array_is_resized_as_those_of_an_image(fit):
    image = noise(40, 30)
    two = np.concatenate([np.asarray(image)] * 2, axis=2)
    six = Preprocessing(16, fit, mean=(0.5,) * 6, std=(0.2,) * 6, channels=6)
    expected = Preprocessing(16, fit).apply(image)
    np.testing.assert_array_equal(six.apply(two), np.concatenate([expected] * 2, axis=2))
    np.testing.assert_array_equal(Preprocessing(16, fit).apply(np.asarray(image)), expected)
    with pytest.raises(ValueError, match="has 1 or 3 channels, not 6"):
        six.apply(image)
    with pytest.raises(ValueError, match="it has 6 channels, not 3"):
        Preprocessing(16, fit).apply(two)


@pytest.mark.parametrize(
    "fields",
    [
        {"image_size": 0},
        {"image_size": "8"},
        {"fit": "stretch"},
        {"interpolation": "cubic"},
        {"background": (0, 0, 256)},
        {"value_range": (1, 1)},
        {"value_range": (0, float("inf"))},
        {"mean": (0, 0)},
        {"mean": (0, 0, 0), "channels": 1},
        {"channels": 0},
        {"channels": True},
        {"std": (1, 1, 0)},
        {"std": (1, 1, float("nan"))},
    ],
)
def test_what_is_out_of_range_is_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        Preprocessing(**{"image_size": 8, **fields})


# --- fit ----------------------------------------------------------------------------------------

RED, BLUE = (255, 0, 0), (0, 0, 255)


def two_colours() -> bytes:
    """64 × 32: the left is red, the rest blue."""
    image = Image.new("RGB", (64, 32), BLUE)
    image.paste(RED, (0, 0, 12, 32))
    return encode(image, "PNG")


def test_crop_keeps_the_middle():
    assert (apply(two_colours(), fit="crop") == BLUE).all()


def test_pad_keeps_everything_on_the_background():
    pixels = apply(two_colours(), fit="pad", background=(9, 8, 7))
    assert (pixels[:4] == (9, 8, 7)).all()
    assert (pixels[12:] == (9, 8, 7)).all()
    assert (pixels[4:12, :2] == RED).all()
    assert (pixels[4:12, 5:] == BLUE).all()


def test_squash_keeps_everything():
    pixels = apply(two_colours(), fit="squash")
    assert (pixels[:, :2] == RED).all()
    assert (pixels[:, 5:] == BLUE).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", [(1, 1), (1, 400), (300, 2), (16, 16), (7, 5)])
def test_any_proportions_become_square(fit, size):
    assert apply(encode(Image.new("RGB", size, RED), "PNG"), fit=fit).shape == (16, 16, 3)


def test_a_square_image_is_the_same_with_every_fit():
    content = encode(noise(50, 50), "PNG")
    cropped = apply(content)
    for fit in FITS:
        np.testing.assert_array_equal(apply(content, fit=fit), cropped)


def test_the_interpolation_is_used():
    content = encode(noise(50, 50), "PNG")
    expected = open_bytes(content).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(apply(content, interpolation="lanczos"), np.asarray(expected))


# --- as before ----------------------------------------------------------------------------------


def decode_as_before(content: bytes, size: int) -> np.ndarray:
    """How plain images were decoded before there was a preprocessing."""
    image = open_bytes(content)
    image.draft(None, (2 * size, 2 * size))
    image = ImageOps.exif_transpose(image).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(48, 48), (128, 48), (50, 333), (640, 480), (16, 16), (3, 5)])
def test_plain_images_have_the_same_pixels_as_before(image_format, size):
    content = encode(noise(*size), image_format)
    np.testing.assert_array_equal(apply(content), decode_as_before(content, 16))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_turned_images_are_upright_as_before(orientation, image_format):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encode(noise(40, 30), image_format, exif=exif)
    np.testing.assert_array_equal(apply(content), decode_as_before(content, 16))


# --- EXIF ---------------------------------------------------------------------------------------


def test_an_orientation_after_the_pixels_of_a_png_counts():
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    image, ending = noise(20, 20), chunk(b"IEND", b"")
    plain = encode(image, "PNG")
    late = plain.removesuffix(ending) + chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    turned = encode(image.transpose(Image.Transpose.ROTATE_180), "PNG")
    np.testing.assert_array_equal(apply(late + ending), apply(turned))


def test_exif_data_that_cannot_be_read_turn_nothing():
    image = noise(20, 20)
    damaged = encode(image, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    np.testing.assert_array_equal(apply(damaged), apply(encode(image, "JPEG")))


# --- transparency -------------------------------------------------------------------------------


def transparent_files() -> dict[str, bytes]:
    """Images that are wholly transparent."""
    clear = Image.new("RGBA", (20, 20), (200, 0, 0, 0))
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([9, 9, 9, 250, 0, 0])
    return {
        "RGBA": encode(clear, "PNG"),
        "WebP": encode(clear, "WEBP", lossless=True, exact=True),
        "TIFF": encode(clear, "TIFF"),
        "LA": encode(clear.convert("LA"), "PNG"),
        "palette, one index": encode(palette, "PNG", transparency=1),
        "palette, an opacity a colour": encode(palette, "PNG", transparency=b"\xff\x00"),
        "GIF": encode(palette, "GIF", transparency=1),
        "RGB with a clear colour": encode(
            Image.new("RGB", (20, 20), (1, 2, 3)), "PNG", transparency=(1, 2, 3)
        ),
        "L with a clear grey": encode(Image.new("L", (20, 20), 5), "PNG", transparency=5),
        "1 bit with a clear value": encode(Image.new("1", (20, 20), 0), "PNG", transparency=0),
        "grey of 16 bits with opacity": write_png(np.zeros((20, 20, 2), np.uint16), 4),
        "RGB of 16 bits with opacity": write_png(np.zeros((20, 20, 4), np.uint16), 6),
    }


@pytest.mark.parametrize("kind", transparent_files())
@pytest.mark.parametrize("value_range", [None, TWELVE_BITS])
def test_the_background_shows_through_whatever_is_transparent(kind, value_range):
    content = transparent_files()[kind]
    pixels = apply(content, background=(10, 20, 30), value_range=value_range)
    assert (pixels == (10, 20, 30)).all()


def test_an_image_in_memory_with_an_opaque_palette_is_no_exception():
    image = Image.new("RGBA", (20, 20), (200, 0, 0, 0)).quantize(4)
    assert (Preprocessing(16).apply(image) == 255).all()


# --- more than 8 bits ---------------------------------------------------------------------------


def deep_files(values: np.ndarray) -> dict[str, bytes]:
    """Files with grey values of 12 bits, uint16 (H, W)."""
    opaque = np.full(values.shape, 65_535, np.uint16)
    colours = np.stack([values] * 3, -1)
    return {
        "grey PNG": encode(Image.fromarray(values), "PNG"),
        "grey TIFF": encode(Image.fromarray(values), "TIFF"),
        "compressed TIFF": encode(Image.fromarray(values), "TIFF", compression="tiff_lzw"),
        "TIFF of 32 bits": encode(Image.fromarray(values.astype(np.int32)), "TIFF"),
        "float TIFF": encode(Image.fromarray(values.astype(np.float32)), "TIFF"),
        "RGB PNG": write_png(colours, 2),
        "RGBA PNG": write_png(np.dstack([colours, opaque]), 6),
        "grey PNG with opacity": write_png(np.dstack([values, opaque]), 4),
        "RGB TIFF": rgb_tiff(colours),
    }


def rgb_tiff(values: np.ndarray) -> bytes:
    """An uncompressed TIFF with 16 bits a colour, which Pillow cannot write."""
    height, width = values.shape[:2]
    data = values.astype("<u2").tobytes()
    bits_at = 8 + 2 + 10 * 12 + 4
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 3, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, bits_at + 6),
        (277, 3, 1, 3),
        (278, 3, 1, height),
        (279, 4, 1, len(data)),
        (284, 3, 1, 1),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    return header + entries + struct.pack("<I", 0) + struct.pack("<HHH", 16, 16, 16) + data


VALUES = RNG.integers(0, 4096, (16, 16)).astype(np.uint16)


@pytest.mark.parametrize("kind", deep_files(VALUES))
def test_values_of_12_bits_keep_their_grey_levels(kind):
    content = deep_files(VALUES)[kind]
    assert is_deep(open_bytes(content))
    values, _ = read_deep_values(open_bytes(content))
    np.testing.assert_array_equal(values if values.ndim == 2 else values[..., 1], VALUES)
    pixels = apply(content, value_range=TWELVE_BITS)
    expected = np.repeat(np.rint(VALUES[..., None] / 4095 * 255), 3, -1)
    assert np.abs(pixels - expected).max() <= 1


def test_an_image_of_8_bits_is_the_same_beside_deep_ones():
    for image in (noise(30, 20), noise(30, 20, 1), noise(30, 20).convert("P")):
        content = encode(image, "PNG")
        assert not is_deep(open_bytes(content))
        scaled = apply(content, value_range=TWELVE_BITS)
        np.testing.assert_array_equal(scaled, apply(content))


def test_values_outside_the_range_are_clipped_and_no_number_is_black():
    values = np.array([[-5, 0, 1], [2, 9, np.nan], [np.inf, -np.inf, 1]], np.float32)
    content = encode(Image.fromarray(values), "TIFF")
    pixels = apply(content, image_size=3, value_range=ValueRange(0, 2))
    assert pixels[..., 0].tolist() == [[0, 0, 128], [255, 255, 0], [255, 0, 128]]


def test_a_clear_grey_of_16_bits_is_transparent():
    content = encode(Image.fromarray(VALUES), "PNG", transparency=int(VALUES[0, 0]))
    pixels = apply(content, value_range=TWELVE_BITS, background=(1, 2, 3))
    assert (pixels[VALUES[0, 0] == VALUES] == (1, 2, 3)).all()


# --- several pages, other modes -----------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_the_first_of_several_pages_is_used(image_format):
    first, second = (Image.new("RGB", (20, 20), colour) for colour in (RED, BLUE))
    content = encode(first, image_format, save_all=True, append_images=[second])
    assert np.abs(apply(content).astype(int) - RED).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "La", "RGBa", "RGBX"])
def test_an_image_in_memory_may_have_any_mode(mode):
    source = "LA" if mode == "La" else "RGBA"
    image = Image.new(source, (20, 20), "white").convert("RGB" if mode == "HSV" else source)
    pixels = Preprocessing(16).apply(image.convert(mode))
    assert np.abs(pixels.astype(int) - 255).max() <= 3


def test_the_normalised_input_is_that_of_training():
    torch = pytest.importorskip("torch")
    from attentune.runners.training.device_data import DeviceData

    preprocessing = Preprocessing(16, mean=(0.1, 0.4, 0.7), std=(0.3, 0.21, 0.17))
    content = encode(noise(30, 20), "PNG")
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    data = DeviceData(None, None, mean * 255.0, std * 255.0)
    trained = data.normalised(torch.from_numpy(preprocessing.apply(open_bytes(content)))[None])
    np.testing.assert_array_equal(trained[0].numpy(), preprocessing.normalise(open_bytes(content)))
