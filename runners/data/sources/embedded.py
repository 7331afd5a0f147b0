"""Images that come with attentune, made from scikit-learn's 1797 scans of handwritten digits.

    digits              one digit, clean; every network reaches 99 %, so it only serves as a check
    cluttered-digits    one grey digit at a random location among fragments of other digits
    cued-digits         three digits in three hues; a faint tint of the image marks the label's hue

`cued-digits` needs channel attention to read the tint and then spatial attention to find the digit,
so attentions differ visibly on it. The scans (8×8, 17 grey levels; Alpaydin and Kaynak, "Optical
Recognition of Handwritten Digits", UCI 1998) are divided into training, validation and test once,
so no scan is in two splits. Every image is drawn from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from ..content_hashes import ImageHashes, hash_content
from ..dataset import SPLITS, Images, Labels, Rows, SplitName, Weights
from ..images import BrokenImage, preprocess_array
from ..preprocessing import Preprocessing, ValueRange

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

SIDE_PIXELS = 36
COUNTS = {"train": 6000, "val": 2000, "test": 2000}
_SCAN_SHARES = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
"""Where the shuffled scans of each split begin and end, as fractions of all scans."""
_VERSION = 1
"""Part of the fingerprint. Raise it when an image changes."""


@dataclass(frozen=True)
class Scans:
    """Digit scans of one split: `images` (N, 8, 8) in [0, 1] and the `digits` (N,) they show."""

    images: Floats
    digits: Integers

    def __len__(self) -> int:
        return len(self.digits)

    def enlarge(self, side: int) -> Floats:
        """All scans at side × side pixels, by bilinear interpolation."""
        weights = _interpolation_matrix(side)
        return np.asarray(weights @ self.images @ weights.T, np.float32)


class DigitSource:
    """One of the embedded data sets, as a `DataSource`."""

    flip = False
    crop = 2
    remarks = ()
    native_size = SIDE_PIXELS
    default_size = SIDE_PIXELS
    classes = tuple("0123456789")
    left_out = ()

    def __init__(self, name: str) -> None:
        self.name = self.place = name
        self.fingerprint = self.listing_fingerprint = f"embedded:{name}:{_VERSION}"
        self.earlier_fingerprint = self.fingerprint

    detects_any_change = True

    @cached_property
    def hashes(self) -> ImageHashes:
        """Those of the version of the data; an image is named by its number in its split."""
        names = {split: list(map(str, range(COUNTS[split]))) for split in SPLITS}
        numbers = {
            split: [hash_content(f"{self.fingerprint}:{split}:{row}".encode()) for row in rows]
            for split, rows in names.items()
        }
        hashes = {split: np.array(values, np.uint64) for split, values in numbers.items()}
        return ImageHashes.of_known(names, hashes)

    @cached_property
    def _splits(self) -> dict[SplitName, tuple[Images, Labels]]:
        return {split: draw_images(self.name, split, COUNTS[split]) for split in SPLITS}

    def count_images(self) -> dict[str, int]:
        """The number of images in each split."""
        return dict(COUNTS)

    def read_labels(self) -> dict[SplitName, Labels]:
        """The digit of every image, by split."""
        return {split: labels for split, (_, labels) in self._splits.items()}

    def read_groups(self) -> dict[SplitName, Rows]:
        """The splits have no scan in common, so no groups are needed."""
        return {}

    def read_weights(self) -> dict[SplitName, Weights]:
        """All images count equally."""
        return {}

    def count_channels(self) -> None:
        """None: the images are RGB."""

    def measure_value_range(self) -> ValueRange | None:
        """None: the images have 8 bits."""
        return None

    def describe_image(self, split: SplitName, row: int) -> str:
        """The name of an image in messages."""
        return f"{self.name} {split} image {row}"

    def sample_sizes(self) -> list[tuple[int, int]]:
        """All images have one size."""
        return [(SIDE_PIXELS, SIDE_PIXELS)]

    def read_images(
        self, split: SplitName, rows: Rows, preprocessing: Preprocessing
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """See `DataSource.read_images`."""
        images = self._splits[split][0]
        for index, row in enumerate(rows):
            yield index, preprocess_array(images[row], preprocessing)

    def read_hashes(self, split: SplitName, rows: Rows) -> None:
        """Do nothing: they are known."""


def _draw_clean_digits(scans: Scans, count: int, rng: np.random.Generator) -> tuple[Floats, Labels]:
    canvas = np.zeros((count, SIDE_PIXELS, SIDE_PIXELS, 3), np.float32)
    numbers = rng.integers(len(scans), size=count)
    sides = rng.integers(22, 29, size=count)
    corner = (SIDE_PIXELS - sides[:, None]) // 2 + rng.integers(-2, 3, size=(count, 2))
    _paste(canvas, scans, numbers, sides, corner, np.ones((count, 3), np.float32))
    return canvas, scans.digits[numbers]


def _draw_cluttered_digits(
    scans: Scans, count: int, rng: np.random.Generator
) -> tuple[Floats, Labels]:
    canvas = np.zeros((count, SIDE_PIXELS, SIDE_PIXELS, 3), np.float32)
    numbers = rng.integers(len(scans), size=count)
    sides = rng.integers(14, 19, size=count)
    grey = _random_brightness(count, rng) * np.ones((count, 3), np.float32)
    _paste(canvas, scans, numbers, sides, _random_corners(sides, SIDE_PIXELS, rng), grey)
    for _ in range(3):
        _paste_fragment(
            canvas, scans, _random_brightness(count, rng) * np.ones((1, 3), np.float32), rng
        )
    # The three channels share one noise, so the images stay grey.
    canvas += rng.standard_normal((count, SIDE_PIXELS, SIDE_PIXELS, 1), np.float32) * np.float32(
        0.04
    )
    return canvas, scans.digits[numbers]


def _draw_cued_digits(scans: Scans, count: int, rng: np.random.Generator) -> tuple[Floats, Labels]:
    canvas = np.zeros((count, SIDE_PIXELS, SIDE_PIXELS, 3), np.float32)
    half = SIDE_PIXELS // 2
    cells = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)[:, :3]
    numbers = rng.integers(len(scans), size=(count, 3))
    for hue in range(3):
        sides = rng.integers(14, 19, size=count)
        cell_corner = np.stack([cells[:, hue] // 2, cells[:, hue] % 2], axis=1) * half
        colour = _hue_colours(np.full(count, hue)) * _random_brightness(count, rng)
        _paste(
            canvas,
            scans,
            numbers[:, hue],
            sides,
            cell_corner + _random_corners(sides, half, rng),
            colour,
        )
    for _ in range(2):
        colour = _hue_colours(rng.integers(3, size=count)) * _random_brightness(count, rng)
        _paste_fragment(canvas, scans, colour, rng)
    cue = rng.integers(3, size=count)
    rows = np.arange(count)
    tint = (0.05 * rng.uniform(0.7, 1.3, size=count)).astype(np.float32)
    canvas[rows, :, :, cue] += tint[:, None, None]
    canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(0.15)
    return canvas, scans.digits[numbers[rows, cue]]


_DRAWINGS: dict[str, Callable[[Scans, int, np.random.Generator], tuple[Floats, Labels]]] = {
    "digits": _draw_clean_digits,
    "cluttered-digits": _draw_cluttered_digits,
    "cued-digits": _draw_cued_digits,
}
EMBEDDED = tuple(sorted(_DRAWINGS))


def draw_images(
    name: str, split: SplitName, count: int, seed: int | None = None
) -> tuple[Images, Labels]:
    """Draw images of an embedded data set from the scans of one split.

    Args:
        name: of the data set.
        split: whose scans to use.
        count: the number of images.
        seed: None draws the images of the split itself; a seed draws new ones, which are as many
            as `count` asks for and share no drawing with them.

    Returns:
        uint8 images (count, 36, 36, 3) and their labels (count,).
    """
    numbers = (_VERSION, EMBEDDED.index(name), SPLITS.index(split))
    rng = np.random.default_rng(numbers if seed is None else (*numbers, seed))
    canvas, labels = _DRAWINGS[name](_scans_of_split(split), count, rng)
    np.clip(canvas, 0, 1, out=canvas)
    return (canvas * np.float32(255) + np.float32(0.5)).astype(np.uint8), labels


@cache
def _scans_of_split(split: SplitName) -> Scans:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    first, last = (round(share * len(order)) for share in _SCAN_SHARES[split])
    chosen = order[first:last]
    images = loaded.images[chosen].astype(np.float32) / 16
    return Scans(images, loaded.target[chosen].astype(np.int64))


def _interpolation_matrix(side: int) -> Floats:
    """The matrix (side, 8) of bilinear interpolation along one axis, pixel centres aligned."""
    position = np.clip((np.arange(side) + 0.5) * 8 / side - 0.5, 0, 7)
    return np.asarray(np.maximum(0, 1 - np.abs(position[:, None] - np.arange(8))), np.float32)


def _hue_colours(hues: Integers) -> Floats:
    """Red, green or blue, none of them pure: (1, .25, .25) and its permutations."""
    colours = np.full((3, 3), 0.25, np.float32) + 0.75 * np.eye(3, dtype=np.float32)
    rgb: Floats = colours[hues]
    return rgb


def _random_brightness(count: int, rng: np.random.Generator) -> Floats:
    return np.asarray(rng.uniform(0.75, 1, size=(count, 1)), np.float32)


def _random_corners(sides: Integers, outer_side: int, rng: np.random.Generator) -> Integers:
    """Upper left corners (N, 2) of squares with these sides inside a square of `outer_side`."""
    return rng.integers(0, outer_side - sides[:, None] + 1, size=(len(sides), 2))


def _paste(
    canvas: Floats,
    scans: Scans,
    numbers: Integers,
    sides: Integers,
    corner: Integers,
    colour: Floats,
) -> None:
    """Draw one scan onto every canvas.

    Args:
        canvas: (N, H, W, 3), changed in place.
        scans: what to draw from.
        numbers: (N,) the scan for each canvas.
        sides: (N,) the side to which the scan is enlarged, pixels.
        corner: (N, 2) the row and column of its upper left corner.
        colour: (N, 3) the colour of its strokes, in [0, 1].
    """
    for side in np.unique(sides):
        rows = np.flatnonzero(sides == side)
        _stamp(canvas, rows, scans.enlarge(int(side))[numbers[rows]], corner[rows], colour[rows])


def _paste_fragment(canvas: Floats, scans: Scans, colour: Floats, rng: np.random.Generator) -> None:
    """Draw a square of 5 to 7 pixels, cut out of a random scan, onto every canvas."""
    count, whole = len(canvas), 16
    enlarged = scans.enlarge(whole)
    numbers = rng.integers(len(scans), size=count)
    sides = rng.integers(5, 8, size=count)
    # The square is cut near the middle of the scan, where the strokes are.
    cut = rng.integers(2, whole - 1 - sides[:, None], size=(count, 2))
    corner = _random_corners(sides, SIDE_PIXELS, rng)
    colour = np.broadcast_to(colour, (count, 3))
    for side in (5, 6, 7):
        rows = np.flatnonzero(sides == side)
        along = np.arange(side)
        y = (cut[rows, 0, None] + along)[:, :, None]
        x = (cut[rows, 1, None] + along)[:, None, :]
        fragments = enlarged[numbers[rows, None, None], y, x]
        _stamp(canvas, rows, fragments, corner[rows], colour[rows])


def _stamp(
    canvas: Floats, rows: Integers, stamps: Floats, corner: Integers, colour: Floats
) -> None:
    """Draw stamps (n, s, s) onto the canvases `rows`; where strokes overlap, the brighter wins."""
    along = np.arange(stamps.shape[1])
    y = (corner[:, 0, None] + along)[:, :, None]
    x = (corner[:, 1, None] + along)[:, None, :]
    pixels = (rows[:, None, None], y, x)
    canvas[pixels] = np.maximum(canvas[pixels], stamps[..., None] * colour[:, None, None, :])
