"""Images in memory and facts about them, as values for the rest of the package.

Images are uint8 arrays (N, H, W, C), where H = W is the recipe's image size. They are usually
memory-mapped from the cache, so many workers share one copy and opening takes milliseconds. Means
and standard deviations are those of the training images, per channel, in [0, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...sanitize import MAX_NAME_LENGTH, clean_text
from ..recipe import RGB_CHANNELS
from .preprocessing import Channels, Preprocessing, ValueRange

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
SPLIT_NAMES: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What folders, archives and cells of tables call splits, in lower case."""
WEIGHTS_FILE = "train.weights.npy"
"""The file beside prepared images that has the weights of the training images, if they have any."""
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
"""Numbers of images in a split."""
Weights = npt.NDArray[np.float64]
"""How much images count in the training loss."""


@dataclass(frozen=True, eq=False)
class Split:
    """Labelled images.

    Attributes:
        images: uint8 (N, H, W, C), mapped read-only.
        labels: int64 (N,).
        weights: by which the training loss of each image is multiplied, (N,), with a mean of 1;
            None if all images count equally.
    """

    images: Images
    labels: Labels
    weights: Weights | None = None

    def __len__(self) -> int:
        return len(self.labels)


class _Preprocessed:
    """Data of one preprocessing."""

    preprocessing: Preprocessing

    @property
    def mean(self) -> Channels:
        """Mean that images are normalised with, per channel, in [0, 1]."""
        return self.preprocessing.mean

    @property
    def std(self) -> Channels:
        """Deviation that images are normalised with, per channel, in [0, 1]."""
        return self.preprocessing.std


@dataclass(frozen=True, eq=False)
class Dataset(_Preprocessed):
    """The data of a trial.

    A search trains on `train` and selects on `val`; only `confirm` uses `test`.

    Attributes:
        name: of the data source.
        classes: names of the classes, in the order of the labels.
        preprocessing: how the images were made, and how they are normalised.
        flip: whether mirroring keeps the meaning of an image, which it does not for digits.
        crop: the usual shift of the random crop for these images, pixels.
        broken: images that were left out because they cannot be decoded.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split | None
    preprocessing: Preprocessing
    flip: bool
    crop: int
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceInfo:
    """Facts about a data source, before there is a recipe.

    Attributes:
        name: of the data source.
        classes: names of the classes, in the order of the labels.
        native_size: shorter side of a typical image (the median), pixels.
        image_size: a sensible side to train at if the user chooses none, pixels.
        counts: number of images in each split that the source itself has.
        flip, crop: suitable augmentation for this data at `image_size`; see `Dataset`.
        remarks: sentences on how the source was read, which a user should see.
        value_range: of the values of images with more than 8 bits; None if there are none.
        channels: of images that are arrays; None for images of files, which become grey or RGB.
    """

    name: str
    classes: tuple[str, ...]
    native_size: int
    image_size: int
    counts: dict[str, int]
    flip: bool
    crop: int
    remarks: tuple[str, ...] = ()
    value_range: ValueRange | None = None
    channels: int | None = None

    @property
    def default_channels(self) -> int:
        """Channels of a network's input: 3, or those of arrays that are neither grey nor RGB."""
        return RGB_CHANNELS if self.channels is None or self.channels == 1 else self.channels

    def __post_init__(self) -> None:
        _clean_names(self)
        object.__setattr__(self, "remarks", tuple(map(clean_text, self.remarks)))


@dataclass(frozen=True)
class DataInfo(_Preprocessed):
    """Prepared data: decoded, split, and stored in the cache. It can be converted to JSON and back.

    Attributes:
        name: of the data source.
        classes: names of the classes, in the order of the labels.
        counts: number of images in `train`, `val` and `test`.
        held_out: the splits that the source lacks; they were taken out of its training images.
        preprocessing: how the images were made; its mean and deviation are those of the training
            images.
        flip, crop: as in `Dataset`.
        folder: where the arrays are.
        broken: images that were left out because they cannot be decoded.
        checksums: CRC-32 of the files in `folder`, by name.
        repeated: how many images of `val` are in `train` too, and of `test` in `train` or `val`.
    """

    name: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    held_out: tuple[str, ...]
    preprocessing: Preprocessing
    flip: bool
    crop: int
    folder: Path
    broken: tuple[str, ...] = ()
    checksums: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _clean_names(self)
        object.__setattr__(self, "broken", tuple(map(clean_text, self.broken)))

    @property
    def key(self) -> str:
        """A digest of the source's content and of the settings that determine the images."""
        return self.folder.name

    @property
    def image_size(self) -> int:
        """Side of the images, pixels."""
        return self.preprocessing.image_size

    def to_json(self) -> dict[str, Any]:
        """Plain types only; `from_json` is the inverse."""
        preprocessing = self.preprocessing.to_json()
        return {**asdict(self), "folder": str(self.folder), "preprocessing": preprocessing}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DataInfo:
        """Read what `to_json` wrote, or a version that knew one preprocessing alone.

        Raises:
            KeyError, TypeError, ValueError: `data` is something else.
        """
        fields = dict(data)
        if "preprocessing" not in fields:
            fields["preprocessing"] = {n: fields.pop(n) for n in ("image_size", "mean", "std")}
        fields["preprocessing"] = Preprocessing.from_json(fields["preprocessing"])
        fields |= {name: tuple(fields[name]) for name in ("classes", "held_out", "broken")}
        return cls(**{**fields, "folder": Path(fields["folder"])})


def to_rgb(images: Images) -> Images:
    """Images (…, C) as they are shown, (…, 3): three channels, or the first one in grey."""
    channels = images.shape[-1]
    if channels < RGB_CHANNELS:
        return np.repeat(images[..., :1], RGB_CHANNELS, axis=-1)
    return images if channels == RGB_CHANNELS else images[..., :RGB_CHANNELS]


def _clean_names(info: SourceInfo | DataInfo) -> None:
    """Replace what a file's name may hold and text may not, in the names of data and classes."""
    object.__setattr__(info, "name", clean_text(info.name, MAX_NAME_LENGTH, one_line=True))
    classes = (clean_text(name, MAX_NAME_LENGTH, one_line=True) for name in info.classes)
    object.__setattr__(info, "classes", tuple(classes))
