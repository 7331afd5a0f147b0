"""Random numbers by (seed, epoch, image), the same on every device.

A generator of torch draws other numbers on a GPU than on a CPU, and other numbers for an image if
there are more images or if one more thing is drawn before. Here each number is a hash of what it is
for, so that it depends on nothing else (a counter-based generator: Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", SC 2011).
"""

from __future__ import annotations

from enum import IntEnum

import torch
from torch import Tensor

_MASK_64 = 2**64 - 1
_GOLDEN_RATIO = 0x9E3779B97F4A7C15
_FIRST_FACTOR = 0xBF58476D1CE4E5B9
_SECOND_FACTOR = 0x94D049BB133111EB
_MANTISSA_BITS = 24
"""Random bits of a number, which is what a float32 holds exactly."""


class Draw(IntEnum):
    """What a random number is for. The values are part of the results of trials: never renumber."""

    CROP_AREA = 1
    CROP_RATIO = 2
    CROP_COLUMN = 3
    CROP_ROW = 4
    BRIGHTNESS = 5
    CONTRAST = 6
    SATURATION = 7
    FIRST_OPERATION = 8
    FIRST_SIGN = 9
    SECOND_OPERATION = 10
    SECOND_SIGN = 11
    ERASING = 12
    ERASED_AREA = 13
    ERASED_RATIO = 14
    ERASED_COLUMN = 15
    ERASED_ROW = 16
    MIXING_KIND = 17
    MIXING_SHARE = 18
    CUT_COLUMN = 19
    CUT_ROW = 20


def mix_seed(seed: int, epoch: int) -> int:
    """One 63-bit seed from a seed and an epoch.

    A step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014) decorrelates neighbouring seeds and
    epochs.
    """
    z = (seed * _GOLDEN_RATIO + (epoch + 1) * _FIRST_FACTOR) & _MASK_64
    z = ((z ^ (z >> 30)) * _SECOND_FACTOR) & _MASK_64
    return (z ^ (z >> 31)) >> 1


class ImageDraws:
    """The random numbers of the images of one epoch.

    Args:
        seed: the trial's seed.
        epoch: counted from 0.
    """

    def __init__(self, seed: int, epoch: int) -> None:
        self.key = mix_seed(seed, epoch)

    def uniform(self, draw: Draw, index: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers between `low` and `high`, float32 (n,).

        Args:
            draw: what they are for.
            index: the numbers of the images, int64 (n,).
            low: the lowest number.
            high: above all numbers, except by rounding.
        """
        start = _signed((self.key + draw * _GOLDEN_RATIO) & _MASK_64)
        z = (index + 1) * _signed(_GOLDEN_RATIO) + start  # Products of int64 wrap around.
        # Two rounds, because one leaves neighbouring images correlated where keys differ little.
        for _ in range(2):
            z = (z ^ _shift_right(z, 30)) * _signed(_FIRST_FACTOR)
            z = (z ^ _shift_right(z, 27)) * _signed(_SECOND_FACTOR)
            z = z ^ _shift_right(z, 31)
        fractions = _shift_right(z, 64 - _MANTISSA_BITS).float() * 2.0**-_MANTISSA_BITS
        return low + (high - low) * fractions

    def choice(self, draw: Draw, index: Tensor, count: int) -> Tensor:
        """Whole numbers from 0 to `count` - 1, int64 (n,).

        Args:
            draw: what they are for.
            index: the numbers of the images, int64 (n,).
            count: how many numbers there are to choose from.
        """
        return (self.uniform(draw, index) * count).long().clamp(max=count - 1)

    def sign(self, draw: Draw, index: Tensor) -> Tensor:
        """Either -1 or 1, float32 (n,); see `uniform`."""
        return torch.where(self.uniform(draw, index) < 0.5, -1.0, 1.0)


def _signed(value: int) -> int:
    """The signed number with the same 64 bits."""
    return value - 2**64 if value >= 2**63 else value


def _shift_right(value: Tensor, bits: int) -> Tensor:
    """Shift int64 numbers right and fill with zeros, as for unsigned numbers."""
    return (value >> bits).bitwise_and(2 ** (64 - bits) - 1)
