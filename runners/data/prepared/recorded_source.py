"""The images of a record, read from a source as it is now: `RecordedSource`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..content_hashes import ImageHashes
from ..dataset import SPLITS, Images, Labels, Rows, SplitName, Weights
from ..images import BrokenImage
from ..preprocessing import Preprocessing, ValueRange
from ..sources.source import DataSource
from .comparison import Location
from .record import DataRecord


class RecordedSource:
    """The images of a record in a source, as a `DataSource`.

    Args:
        record: gives the classes, the labels and the order of the images.
        source: holds the images; None if they are not read.
        locations: where they are in the source, by recorded split.
    """

    detects_any_change = False
    remarks = left_out = ()

    def __init__(
        self,
        record: DataRecord,
        source: DataSource | None,
        locations: Mapping[SplitName, Location],
    ) -> None:
        images = record.image_list.images
        self._images, self._source, self._locations = images, source, locations
        self.name, self.place = record.info.name, record.place
        self.fingerprint = self.earlier_fingerprint = f"record:{record.fingerprint}"
        self.listing_fingerprint = self.fingerprint
        self.classes, self.flip, self.crop = record.classes, record.info.flip, record.crop
        self._value_range = record.info.preprocessing.value_range
        self._channels = record.info.preprocessing.channels
        self.native_size = self.default_size = record.info.image_size
        self.hashes = ImageHashes.of_known(
            {split: listed.names for split, listed in images.items()},
            {split: listed.hashes for split, listed in images.items()},
        )

    def count_images(self) -> dict[str, int]:
        """The number of recorded images in each split."""
        return {split: len(listed.labels) for split, listed in self._images.items()}

    def read_labels(self) -> dict[SplitName, Labels]:
        """The recorded labels."""
        return {split: listed.labels for split, listed in self._images.items()}

    def describe_image(self, split: SplitName, row: int) -> str:
        """The recorded name of an image."""
        return self._images[split].names[row]

    def sample_sizes(self) -> list[tuple[int, int]]:
        """The size of the prepared images."""
        return [(self.native_size, self.native_size)]

    def read_groups(self) -> dict[SplitName, Rows]:
        """The recorded groups."""
        groups = {split: listed.groups for split, listed in self._images.items()}
        return {split: numbers for split, numbers in groups.items() if numbers is not None}

    def read_weights(self) -> dict[SplitName, Weights]:
        """The recorded weights."""
        weights = {split: listed.weights for split, listed in self._images.items()}
        return {split: values for split, values in weights.items() if values is not None}

    def count_channels(self) -> int:
        """The recorded number."""
        return self._channels

    def measure_value_range(self) -> ValueRange | None:
        """The recorded range."""
        return self._value_range

    def read_images(
        self, split: SplitName, rows: Rows, preprocessing: Preprocessing
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """See `DataSource.read_images`."""
        assert self._source is not None
        for origin, positions, rows_now in self._locate(split, rows):
            for index, image in self._source.read_images(origin, rows_now, preprocessing):
                yield int(positions[index]), image
            self._copy_hashes(split, rows[positions], origin, rows_now)

    def read_hashes(self, split: SplitName, rows: Rows) -> None:
        """See `DataSource.read_hashes`."""
        assert self._source is not None
        for origin, positions, rows_now in self._locate(split, rows):
            self._source.read_hashes(origin, rows_now)
            self._copy_hashes(split, rows[positions], origin, rows_now)

    def _locate(self, split: SplitName, rows: Rows) -> Iterator[tuple[SplitName, Rows, Rows]]:
        """The source's splits that hold some images: positions in `rows`, and rows there."""
        location = self._locations[split]
        for number, origin in enumerate(SPLITS):
            positions = np.flatnonzero(location.splits[rows] == number)
            if len(positions):
                yield origin, positions, location.rows[rows[positions]]

    def _copy_hashes(self, split: SplitName, rows: Rows, origin: SplitName, rows_now: Rows) -> None:
        assert self._source is not None
        numbers = self._source.hashes.of(origin)[rows_now].tolist()
        for row, number in zip(rows.tolist(), numbers, strict=True):
            self.hashes.record(split, row, number)
