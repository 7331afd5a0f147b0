"""Pictures in memory, and what is known about them: the values that leave `runners.data`.

Pictures are uint8 arrays (N, H, W, 3), H = W = the recipe's image size, usually memory-mapped from
the cache, so that many workers share one copy and opening costs milliseconds. Means and deviations
are of the training pictures, per channel, in [0, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
Rgb = tuple[float, float, float]
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled pictures: `images` uint8 (N, H, W, 3), mapped read-only; `labels` int64 (N,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """All that a trial may look at.

    Search trains on `train` and selects on `val`; only `confirm` looks at `test`.

    Attributes:
        mean, std: of the training pictures, per channel, in [0, 1].
        flip: whether mirroring keeps the meaning (digits: no).
        crop: how many pixels of shift are usual for these pictures.
        broken: pictures that were left out because they cannot be decoded.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split | None
    mean: Rgb
    std: Rgb
    flip: bool
    crop: int
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceInfo:
    """What a look at a source shows, before any recipe.

    Attributes:
        native_size: side of a typical picture (the median of the shorter sides), pixels.
        image_size: a sensible size to train at, for whoever did not choose one.
        counts: pictures of the splits that the source itself has.
        flip, crop: which augmentations belong to this data, at `image_size`.
    """

    name: str
    classes: tuple[str, ...]
    native_size: int
    image_size: int
    counts: dict[str, int]
    flip: bool
    crop: int


@dataclass(frozen=True)
class DataInfo:
    """Data that is prepared: decoded, split, and lying in the cache. Survives JSON.

    Attributes:
        counts: pictures of `train`, `val` and `test`.
        held_out: the splits that the source lacks, taken out of its training pictures by seed.
        folder: where the arrays lie.
        broken: pictures that were left out because they cannot be decoded.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    counts: dict[str, int]
    held_out: tuple[str, ...]
    mean: Rgb
    std: Rgb
    flip: bool
    crop: int
    folder: Path
    broken: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types only; `from_json` is the inverse."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DataInfo:
        """The inverse of `to_json`; KeyError, TypeError or ValueError if it is no such thing."""
        lists = ("classes", "held_out", "mean", "std", "broken")
        fields = {**data, **{name: tuple(data[name]) for name in lists}}
        return cls(**{**fields, "folder": Path(data["folder"])})
