"""What a source of pictures can do, and what suits pictures of a kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .dataset import Images, Labels, SplitName
from .images import BrokenImage

Integers = npt.NDArray[np.int64]


class DataSource(Protocol):
    """Labelled pictures somewhere. Making one is cheap; everything else may read files.

    Attributes:
        identity: changes when the pictures do; part of the cache's key.
        classes: names of the classes, in the order of the labels.
        native_size: shorter side of a typical picture, pixels.
        default_size: a sensible side to train at.
        flip, crop: which augmentations belong to these pictures; None: a share of the size.
    """

    name: str

    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def native_size(self) -> int: ...  # noqa: D102
    @property
    def default_size(self) -> int: ...  # noqa: D102
    @property
    def flip(self) -> bool: ...  # noqa: D102
    @property
    def crop(self) -> int | None: ...  # noqa: D102

    def counts(self) -> dict[str, int]:
        """Pictures of the splits that the source has."""

    def labels(self) -> dict[SplitName, Labels]:
        """Labels of the splits that the source has; `train` is always there."""

    def pictures(
        self, split: SplitName, rows: Integers, size: int
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """The chosen pictures of a split at size × size, each with its place in `rows`."""


def sensible_size(native: int) -> int:
    """A size to train at: the native one, made round, and at most 224 pixels."""
    step = 4 if native < 64 else 32
    return max(8, min(224, round(native / step) * step))


def mirrors(name: str, classes: tuple[str, ...]) -> bool:
    """Whether flipping keeps the meaning: not for characters, told by their names."""
    words = name.lower()
    if any(word in words for word in ("mnist", "svhn", "digit", "omniglot", "letters")):
        return False
    return not all(len(c) == 1 for c in classes)
