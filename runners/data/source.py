"""What a source of pictures can do, and which source a `--data` text means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...errors import DataError, did_you_mean
from .dataset import Images, Labels, SplitName
from .pictures import Broken

Integers = npt.NDArray[np.int64]
TIMM_PREFIXES = ("torch/", "hfds/", "hfids/", "tfds/")


class Source(Protocol):
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
    ) -> Iterator[tuple[int, Images | Broken]]:
        """The chosen pictures of a split at size × size, each with its place in `rows`."""


def open_source(spec: str) -> Source:
    """The source that `--data spec` means; DataError names the closest embedded data.

    An embedded name wins over a folder of that name (`./digits` is the folder), and a path that
    exists over a timm data set.
    """
    from .embedded import EMBEDDED, DigitSource
    from .folders import open_files

    if spec in EMBEDDED:
        return DigitSource(spec)
    path = Path(spec).expanduser()
    if path.exists():
        return open_files(path)
    if spec.lower().startswith(TIMM_PREFIXES):
        from .timm_sets import TimmSource

        return TimmSource(spec)
    if len(path.parts) > 1 or path.suffix:
        raise DataError(f"there is no file or folder {spec!r}; check the path given as data")
    raise DataError(
        f"{spec!r} is neither embedded data nor a path that exists{did_you_mean(spec, EMBEDDED)}"
    )


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
