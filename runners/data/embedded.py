"""Pictures that come with attentune: made from scikit-learn's 1797 scans of handwritten digits.

    digits              one digit, clean; every network reaches 99 %, so it shows that things run
    cluttered-digits    one grey digit somewhere among fragments of others
    cued-digits         three digits in three hues; a faint tint of the picture says which counts

`cued-digits` asks for *look what*, then *look where*, and attentions differ on it visibly. The
scans (8×8, 17 grey levels; Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI
1998) are dealt to training, validation and test once, so that no scan is seen in two splits. Every
picture is drawn from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from .dataset import SPLITS, Images, Labels, SplitName
from .images import BrokenImage, fit_array

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

SIDE = 36
COUNTS = {"train": 6000, "val": 2000, "test": 2000}
_DEALT = {"train": (0.0, 0.6), "val": (0.6, 0.8), "test": (0.8, 1.0)}
_VERSION = 1  # part of the cache key: raise it when a drawing changes


@dataclass(frozen=True)
class Scans:
    """Digit scans of one split: `pictures` (N, 8, 8) in [0, 1] and what they show."""

    pictures: Floats
    digits: Integers

    def __len__(self) -> int:
        return len(self.digits)

    def enlarged(self, side: int) -> Floats:
        """All scans at side × side, bilinear."""
        along = _stretch(side)
        return np.asarray(along @ self.pictures @ along.T, np.float32)


class DigitSource:
    """One of the embedded data sets, as a source; see `source.DataSource`."""

    flip = False
    crop = 2
    native_size = SIDE
    default_size = SIDE
    classes = tuple("0123456789")

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = f"embedded:{name}:{_VERSION}"

    @cached_property
    def _splits(self) -> dict[SplitName, tuple[Images, Labels]]:
        draw = _DRAWINGS[self.name]
        drawn: dict[SplitName, tuple[Images, Labels]] = {}
        for number, split in enumerate(SPLITS):
            rng = np.random.default_rng((_VERSION, sorted(_DRAWINGS).index(self.name), number))
            canvas, labels = draw(_scans(split), COUNTS[split], rng)
            np.clip(canvas, 0, 1, out=canvas)
            drawn[split] = ((canvas * np.float32(255) + np.float32(0.5)).astype(np.uint8), labels)
        return drawn

    def counts(self) -> dict[str, int]:
        """Pictures of every split."""
        return dict(COUNTS)

    def labels(self) -> dict[SplitName, Labels]:
        """What every picture shows, a split."""
        return {split: labels for split, (_, labels) in self._splits.items()}

    def pictures(
        self, split: SplitName, rows: Integers, size: int
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """The chosen pictures at size × size, each with its place in `rows`."""
        images = self._splits[split][0]
        for place, row in enumerate(rows):
            yield place, fit_array(images[row], size)


def _clean(scans: Scans, count: int, rng: np.random.Generator) -> tuple[Floats, Labels]:
    canvas = np.zeros((count, SIDE, SIDE, 3), np.float32)
    which = rng.integers(len(scans), size=count)
    sides = rng.integers(22, 29, size=count)
    corner = (SIDE - sides[:, None]) // 2 + rng.integers(-2, 3, size=(count, 2))
    _paste(canvas, scans, which, sides, corner, np.ones((count, 3), np.float32))
    return canvas, scans.digits[which]


def _cluttered(scans: Scans, count: int, rng: np.random.Generator) -> tuple[Floats, Labels]:
    canvas = np.zeros((count, SIDE, SIDE, 3), np.float32)
    which = rng.integers(len(scans), size=count)
    sides = rng.integers(14, 19, size=count)
    grey = _brightness(count, rng) * np.ones((count, 3), np.float32)
    _paste(canvas, scans, which, sides, _corners(sides, SIDE, rng), grey)
    for _ in range(3):
        _paste_fragment(canvas, scans, _brightness(count, rng) * np.ones((1, 3), np.float32), rng)
    # One grey noise for the three channels: the pictures stay grey.
    canvas += rng.standard_normal((count, SIDE, SIDE, 1), np.float32) * np.float32(0.04)
    return canvas, scans.digits[which]


def _cued(scans: Scans, count: int, rng: np.random.Generator) -> tuple[Floats, Labels]:
    canvas = np.zeros((count, SIDE, SIDE, 3), np.float32)
    half = SIDE // 2
    cells = rng.permuted(np.tile(np.arange(4), (count, 1)), axis=1)[:, :3]
    which = rng.integers(len(scans), size=(count, 3))
    for hue in range(3):
        sides = rng.integers(14, 19, size=count)
        cell = np.stack([cells[:, hue] // 2, cells[:, hue] % 2], axis=1) * half
        colour = _hue(np.full(count, hue)) * _brightness(count, rng)
        _paste(canvas, scans, which[:, hue], sides, cell + _corners(sides, half, rng), colour)
    for _ in range(2):
        colour = _hue(rng.integers(3, size=count)) * _brightness(count, rng)
        _paste_fragment(canvas, scans, colour, rng)
    cue = rng.integers(3, size=count)
    rows = np.arange(count)
    tint = (0.05 * rng.uniform(0.7, 1.3, size=count)).astype(np.float32)
    canvas[rows, :, :, cue] += tint[:, None, None]
    canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(0.15)
    return canvas, scans.digits[which[rows, cue]]


_DRAWINGS: dict[str, Callable[[Scans, int, np.random.Generator], tuple[Floats, Labels]]] = {
    "digits": _clean,
    "cluttered-digits": _cluttered,
    "cued-digits": _cued,
}
EMBEDDED = tuple(sorted(_DRAWINGS))


@cache
def _scans(split: SplitName) -> Scans:
    from sklearn.datasets import load_digits

    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.target))
    first, last = (round(share * len(order)) for share in _DEALT[split])
    dealt = order[first:last]
    pictures = loaded.images[dealt].astype(np.float32) / 16
    return Scans(pictures, loaded.target[dealt].astype(np.int64))


def _stretch(side: int) -> Floats:
    """The matrix (side, 8) of bilinear interpolation along one axis, pixel centres aligned."""
    at = np.clip((np.arange(side) + 0.5) * 8 / side - 0.5, 0, 7)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(8))), np.float32)


def _hue(which: Integers) -> Floats:
    """Red, green or blue, none of them pure: (1, .25, .25) and its permutations."""
    colours = np.full((3, 3), 0.25, np.float32) + 0.75 * np.eye(3, dtype=np.float32)
    chosen: Floats = colours[which]
    return chosen


def _brightness(count: int, rng: np.random.Generator) -> Floats:
    return np.asarray(rng.uniform(0.75, 1, size=(count, 1)), np.float32)


def _corners(sides: Integers, room: int, rng: np.random.Generator) -> Integers:
    """Upper left corners (N, 2) that keep squares of these sides inside a square of side `room`."""
    return rng.integers(0, room - sides[:, None] + 1, size=(len(sides), 2))


def _paste(
    canvas: Floats, scans: Scans, which: Integers, sides: Integers, corner: Integers, colour: Floats
) -> None:
    """Draw one scan onto every canvas, all that have one side at a time."""
    for side in np.unique(sides):
        rows = np.flatnonzero(sides == side)
        _draw(canvas, rows, scans.enlarged(int(side))[which[rows]], corner[rows], colour[rows])


def _paste_fragment(canvas: Floats, scans: Scans, colour: Floats, rng: np.random.Generator) -> None:
    """Draw a piece of 5–7 pixels, cut out of a random scan, onto every canvas."""
    count, whole = len(canvas), 16
    enlarged = scans.enlarged(whole)
    which = rng.integers(len(scans), size=count)
    sides = rng.integers(5, 8, size=count)
    # Cut near the middle of the scan, where the strokes are.
    cut = rng.integers(2, whole - 1 - sides[:, None], size=(count, 2))
    corner = _corners(sides, SIDE, rng)
    colour = np.broadcast_to(colour, (count, 3))
    for side in (5, 6, 7):
        rows = np.flatnonzero(sides == side)
        along = np.arange(side)
        y = (cut[rows, 0, None] + along)[:, :, None]
        x = (cut[rows, 1, None] + along)[:, None, :]
        pieces = enlarged[which[rows, None, None], y, x]
        _draw(canvas, rows, pieces, corner[rows], colour[rows])


def _draw(canvas: Floats, rows: Integers, stamps: Floats, corner: Integers, colour: Floats) -> None:
    """Put stamps (n, s, s) onto the canvases `rows`; where ink meets ink the brighter stays."""
    along = np.arange(stamps.shape[1])
    y = (corner[:, 0, None] + along)[:, :, None]
    x = (corner[:, 1, None] + along)[:, None, :]
    place = (rows[:, None, None], y, x)
    canvas[place] = np.maximum(canvas[place], stamps[..., None] * colour[:, None, None, :])
