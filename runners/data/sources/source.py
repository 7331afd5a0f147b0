"""The interface of data sources, which read labelled images.

To add a source, write a class with these methods and add it to the table in `resolve`. Every source
passes the contract suite in `tests/runners/data/sources/test_source.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...recipe import Recipe
from ..content_hashes import ImageHashes
from ..dataset import Images, Labels, Rows, SplitName, Weights
from ..files.file_names import LeftOutFiles
from ..image_limits import ImageLimits
from ..images import BrokenImage
from ..preprocessing import Preprocessing, ValueRange
from .split_folders import LAYOUT_BY_NAMES, FolderLayout

MAX_DEFAULT_SIZE_PIXELS = 224


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read, besides the text that names it; fields of `Recipe`.

    Attributes:
        data_root: the folder or archive that the paths of a table are relative to.
        column: the columns of a table by role, as in `label=species`.
        skip_broken: whether images that are not there are left out.
        layout: what the user says about the folders of a folder or an archive.
        max_pixels: of the largest image that is decoded; None: the default.
    """

    data_root: str | None = None
    column: tuple[str, ...] | None = None
    skip_broken: bool = False
    layout: FolderLayout = LAYOUT_BY_NAMES
    max_pixels: int | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> SourceOptions:
        """Those of a recipe."""
        return cls.of_settings(dict(recipe))

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> SourceOptions:
        """Those among some settings of a recipe; others have their defaults."""
        return cls(
            data_root=settings.get("data_root"),
            column=settings.get("column"),
            skip_broken=settings.get("skip_broken", False),
            layout=FolderLayout(settings.get("split_folders"), settings.get("leave_out", ())),
            max_pixels=settings.get("max_pixels"),
        )

    @property
    def limits(self) -> ImageLimits:
        """How large an image may be."""
        return ImageLimits.of(self.max_pixels)

    @property
    def are_for_tables(self) -> bool:
        """Whether an option is set that only a table has."""
        return self.data_root is not None or self.column is not None


DEFAULT_OPTIONS = SourceOptions()


class DataSource(Protocol):
    """Labelled images in splits.

    Creating one is cheap; everything else may read files or the network, and raises DataError if
    that fails. A source that lacks a validation or test split has images held out of `train` by
    `splits.plan_splits`.

    Attributes:
        name: the name of the data in reports and messages.
        place: a text that opens the source again, from any folder: an absolute path, or a name.
        fingerprint: a text that changes when files change, which is cheap to compute: it follows
            from what the system says of files, without reading them.
        earlier_fingerprint: what attentune 0.1 has computed, for the keys of its studies.
        detects_any_change: whether any later change of a file would change the fingerprint. It
            would not within the resolution of a file system's clock.
        hashes: of the content of the images, as far as they were read; see `ImageHashes`.
        classes: names of the classes, in the order of the labels.
        native_size: shorter side of a typical image, pixels.
        default_size: a sensible side to train at, pixels.
        flip: whether mirroring keeps the meaning of an image.
        crop: the usual shift in pixels at the default size; None for an eighth of the image.
        remarks: sentences on how the source was read and on what is left out, which a user should
            see.
        left_out: files of the source that are no images of the data, counted.
        listing_fingerprint: as `fingerprint`, but it also changes with what is left out.
    """

    name: str

    @property
    def place(self) -> str: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def earlier_fingerprint(self) -> str: ...  # noqa: D102
    @property
    def detects_any_change(self) -> bool: ...  # noqa: D102
    @property
    def hashes(self) -> ImageHashes: ...  # noqa: D102
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
    @property
    def remarks(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def left_out(self) -> tuple[LeftOutFiles, ...]: ...  # noqa: D102
    @property
    def listing_fingerprint(self) -> str: ...  # noqa: D102

    def count_images(self) -> dict[str, int]:
        """The number of images in each split that the source has."""

    def read_labels(self) -> Mapping[SplitName, Labels]:
        """The labels (N,) of each split that the source has; `train` is always among them."""

    def describe_image(self, split: SplitName, row: int) -> str:
        """The name of an image in messages."""

    def sample_sizes(self) -> list[tuple[int, int]]:
        """Width and height, in pixels, of some images of the training split."""

    def read_groups(self) -> Mapping[SplitName, Rows]:
        """The number of the group (N,) of each image, in each split; empty without groups.

        Images of one group, such as those of one patient, are never held out apart.
        """

    def read_weights(self) -> Mapping[SplitName, Weights]:
        """The weight (N,) of each image, from 0 on, in each split; empty without weights.

        The training loss of an image is multiplied by its weight.
        """

    def count_channels(self) -> int | None:
        """The number of channels of images that are arrays; None for other images.

        Raises:
            DataError: it is not the same for all images.
        """

    def measure_value_range(self) -> ValueRange | None:
        """The range of values if there are images with more than 8 bits; None if there are none.

        Reads these images, and the headers of all that may be such images.
        """

    def read_images(
        self, split: SplitName, rows: Rows, preprocessing: Preprocessing
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """Read some images of a split, in any order.

        Args:
            split: a key of `read_labels`.
            rows: (n,) numbers of different images, which are also positions in the split's labels.
            preprocessing: makes images of one size and mode.

        Yields an index into `rows` with its image, uint8 (S, S, channels), once for every row. An
        image that cannot be decoded is a `BrokenImage`. The hashes of the images are known
        afterwards.
        """

    def read_hashes(self, split: SplitName, rows: Rows) -> None:
        """Read some images of a split without decoding them, so that their hashes are known.

        Args:
            split: a key of `read_labels`.
            rows: (n,) numbers of different images.
        """


def sensible_size(native_size: int) -> int:
    """A size to train at: the native one, rounded, and at most `MAX_DEFAULT_SIZE_PIXELS`."""
    step = 4 if native_size < 64 else 32
    return max(8, min(MAX_DEFAULT_SIZE_PIXELS, round(native_size / step) * step))


def allows_flips(name: str, classes: tuple[str, ...]) -> bool:
    """Whether mirroring keeps the meaning of the images, guessed from names; not for characters."""
    lowered = name.lower()
    if any(word in lowered for word in ("mnist", "svhn", "digit", "omniglot", "letters")):
        return False
    return not all(map(_is_character, classes))


def _is_character(name: str) -> bool:
    """Whether a class is called by a digit, a letter or a sign of any script.

    A Chinese character (猫, a cat) and an emoji are words, and say what an image shows.
    """
    if len(name) != 1:
        return False
    is_word = unicodedata.name(name, "").startswith("CJK") or unicodedata.category(name) == "So"
    return not is_word
