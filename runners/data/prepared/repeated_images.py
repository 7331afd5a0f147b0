"""Images that are in several splits or classes.

Images of a video, copies and augmented copies make results on held-out images too good: the network
has seen them. Equal images are recognised by their pixels as they are trained on. Images that are
nearly equal are recognised by a perceptual hash: an image is reduced to 32×32 grey values, of whose
discrete cosine transform the 8×8 lowest frequencies without the constant ones are compared with
their median, which gives 64 bits (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, section 3.2; the mean filter before the reduction is left out, since the images
are reduced by averaging). Two images are nearly equal if at most `MAX_DIFFERENT_BITS` differ and
their thumbnails of 16×16 pixels nowhere differ by more than `MAX_GREY_DIFFERENCE` in grey, nor by
`MAX_MEAN_DIFFERENCE` in colour on average: drawings of one kind have similar low frequencies, and
different ones are no copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...recipe import RGB_CHANNELS
from ..dataset import Images, SplitName

Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
MAX_DIFFERENT_BITS = 4
MAX_GREY_DIFFERENCE = 12
MAX_MEAN_DIFFERENCE = 5
MAX_COMPARED_IMAGES = 50_000
"""With more images, nearly equal ones are not searched for: all pairs are compared."""
_HASH_SIDE_PIXELS = 32
_THUMBNAIL_SIDE_PIXELS = 16
THUMBNAIL_VALUES = 3 * _THUMBNAIL_SIDE_PIXELS**2
_ROWS_PER_BLOCK = 512
_GREY = np.array([0.299, 0.587, 0.114])
"""How much red, green and blue count in grey (ITU-R BT.601)."""
_PAIRS_PER_BLOCK = 2**14
EVALUATION_SPLITS: dict[SplitName, tuple[SplitName, ...]] = {
    "val": ("train",),
    "test": ("train", "val"),
}
"""The splits that are used for choices before each split is."""


def hash_pixels(image: Images) -> int:
    """A hash of 64 bits of the pixels of an image; equal images have equal hashes."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def count_repeated(hashes: Mapping[SplitName, Hashes]) -> dict[str, int]:
    """How many images of `val` are in `train` too, and of `test` in `train` or `val`.

    Args:
        hashes: those of the images of each split, (N,).
    """
    counts = {
        split: int(np.isin(hashes[split], np.concatenate([hashes[s] for s in earlier])).sum())
        for split, earlier in EVALUATION_SPLITS.items()
    }
    return {split: count for split, count in counts.items() if count}


def perceptual_hashes(images: Images) -> Hashes:
    """The perceptual hashes (N,) of images (N, S, S, C)."""
    return np.concatenate([_hash_block(block) for block in _blocks(images)])


def thumbnails(images: Images) -> Images:
    """Images (N, S, S, C) as (N, 768): 16×16 pixels, each the mean of an area in RGB."""
    reduced = [_reduce(block, _THUMBNAIL_SIDE_PIXELS) for block in _blocks(images)]
    return np.concatenate(reduced).round().astype(np.uint8).reshape(len(images), -1)


def find_similar_pairs(hashes: Hashes, small: Images) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of images that are nearly equal.

    Args:
        hashes: perceptual hashes, (N,).
        small: thumbnails, (N, 768).
    """
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(hashes), _ROWS_PER_BLOCK):
        rows = hashes[start : start + _ROWS_PER_BLOCK]
        different = _count_bits(rows[:, None] ^ hashes[None, start:])
        first, second = np.nonzero(different <= MAX_DIFFERENT_BITS)
        keep = second > first
        first, second = first[keep] + start, second[keep] + start
        for begin in range(0, len(first), _PAIRS_PER_BLOCK):
            part = slice(begin, begin + _PAIRS_PER_BLOCK)
            left, right = (small[side[part]].astype(np.int16) for side in (first, second))
            differences = (left - right).reshape(len(left), -1, 3)
            is_near_in_grey = np.abs(differences @ _GREY).max(1) <= MAX_GREY_DIFFERENCE
            near = is_near_in_grey & (np.abs(differences).mean((1, 2)) <= MAX_MEAN_DIFFERENCE)
            pairs += zip(first[part][near].tolist(), second[part][near].tolist(), strict=True)
    return pairs


def equal_pairs(hashes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Each image whose hash another one before it has, after the first of these."""
    first: dict[int, int] = {}
    for index, value in enumerate(hashes):
        if (same := first.setdefault(value, index)) != index:
            yield same, index


def _blocks(images: Images) -> Iterator[Images]:
    for start in range(0, len(images), _ROWS_PER_BLOCK):
        yield images[start : start + _ROWS_PER_BLOCK]


def _hash_block(images: Images) -> Hashes:
    grey = _reduce(images, _HASH_SIDE_PIXELS) @ _GREY
    cosines = _cosines(_HASH_SIDE_PIXELS)[1:9]
    frequencies = (cosines @ grey @ cosines.T).reshape(len(images), 64)
    bits = frequencies > np.median(frequencies, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _cosines(side: int) -> Floats:
    """The matrix of the discrete cosine transform of type II, (side, side)."""
    steps = np.arange(side)
    return np.asarray(np.cos(np.pi / side * np.outer(steps, steps + 0.5)), np.float64)


def _reduce(images: Images, side: int) -> Floats:
    """Images (N, S, S, C) as (N, side, side, 3), each pixel the mean of an area.

    Of other images than RGB, each of the three values is the mean of every third channel, so that
    all channels count.
    """
    weights = _area_weights(images.shape[1], side)
    rows = np.einsum("is,nstc->nitc", weights, images.astype(np.float64), optimize=True)
    reduced = np.asarray(np.einsum("jt,nitc->nijc", weights, rows, optimize=True), np.float64)
    channels = images.shape[3]
    if channels == RGB_CHANNELS:
        return reduced
    is_used = np.arange(channels)[:, None] % RGB_CHANNELS == np.arange(RGB_CHANNELS)
    is_used[:, ~is_used.any(0)] = True
    return np.asarray(reduced @ (is_used / is_used.sum(0)), np.float64)


def _area_weights(source: int, target: int) -> Floats:
    """How much each of `source` pixels in a row counts for each of `target`, (target, source)."""
    edges = np.linspace(0, source, target + 1)
    pixels = np.arange(source)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    covered = np.clip(covered, 0, None)
    return np.asarray(covered / covered.sum(1, keepdims=True), np.float64)


def _count_bits(values: Hashes) -> npt.NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):  # NumPy 2
        return np.asarray(np.bitwise_count(values), np.uint8)
    table = np.array([bin(value).count("1") for value in range(256)], np.uint8)
    parts = np.ascontiguousarray(values).view(np.uint8)
    return np.asarray(table[parts].reshape(*values.shape, 8).sum(-1), np.uint8)
