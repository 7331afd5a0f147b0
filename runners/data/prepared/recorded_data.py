"""The data of a study that has a record of them: `RecordedData`.

Classes and splits come from the record, and the images from the source as it is now. Where the
source differs from the record, `RecordedData.open` raises an error that says what has changed. If
that is allowed, the study goes on with those of the recorded images that are still there, in their
recorded classes and splits; what was added is not used.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ....errors import DataError
from ....files import find_path
from ...recipe import Recipe
from ..dataset import DataInfo, SplitName
from ..sources.resolve import SOURCE_KINDS, open_source, source_kind
from ..sources.source import DataSource, SourceOptions
from .cache import (
    find_prepared_data,
    plan_source,
    prepare_images,
    with_normalisation,
)
from .comparison import MISSING, DataComparison, compare_with_record
from .known_sources import has_known_content, knows_prepared_data, remember_same_content
from .prepare import Preparation, Progress, data_key
from .record import DataRecord, read_image_list, split_settings
from .recorded_source import RecordedSource
from .splits import RowSelection, SplitPlan
from .verified_files import has_damaged_images

logger = logging.getLogger(__name__)


def record_data(recipe: Recipe, info: DataInfo) -> DataRecord:
    """The record of data that were just prepared from the recipe's source.

    Args:
        recipe: with which they were prepared.
        info: the prepared data.

    Raises:
        DataError: the source or the list of images beside the data is gone.
    """
    options = SourceOptions.of(recipe)
    source = open_source(recipe.data, options)
    record = DataRecord(
        source_kind(recipe.data),
        source.place,
        info,
        split_settings(recipe),
        options,
        source.crop,
        read_image_list(info),
    )
    if knows_prepared_data(source, recipe, info.key):
        remember_same_content(source, record.fingerprint)
    return record


def record_unrecorded_data(recipe: Recipe, info: DataInfo) -> DataRecord | None:
    """The record of data that attentune 0.1 has prepared without one.

    Args:
        recipe: of the study.
        info: the prepared data.

    Returns:
        None if the source is no folder or archive, so that it cannot change; or if its images are
        not those that were prepared, as far as their labels show it.

    Raises:
        DataError: the source cannot be read.
    """
    options = SourceOptions.of(recipe)
    kind, source = source_kind(recipe.data), open_source(recipe.data, options)
    if kind != "files":
        return None
    labels = source.read_labels()
    plan = plan_source(source, recipe)
    for split, selection in plan.selections.items():
        prepared = np.load(info.folder / f"{split}.labels.npy")
        if not info.broken and not np.array_equal(
            labels[selection.split][selection.rows], prepared
        ):
            return None
    if len(source.classes) != len(info.classes):
        return None
    preparation = Preparation(source, plan, recipe)
    preparation.read_hashes()
    source.hashes.save()
    image_list, settings = preparation.list_images(), split_settings(recipe)
    return DataRecord(kind, source.place, info, settings, options, source.crop, image_list)


def find_recorded_data(record: DataRecord, recipe: Recipe) -> DataInfo | None:
    """Prepared data of a study, from the cache; None if they are not there.

    The source is not opened.

    Args:
        record: of the study's data.
        recipe: of a trial of the study; chooses the split and the image size.
    """
    return RecordedData(record, None).find(recipe)


class RecordedData:
    """The recorded data of a study, and the source that holds the images now.

    Args:
        record: of the study's data.
        source: as it is now; None if it is gone.
        allow_changed: whether to go on if the source differs from the record.
    """

    def __init__(
        self, record: DataRecord, source: DataSource | None, *, allow_changed: bool = False
    ) -> None:
        self.record, self.source = record, source
        self._allow_changed = allow_changed

    @classmethod
    def open(
        cls,
        record: DataRecord,
        place: str | None = None,
        *,
        allow_changed: bool = False,
        allow_gone: bool = False,
    ) -> RecordedData:
        """Open the source of recorded data, and compare it with the record.

        Args:
            record: of the study's data.
            place: where the same content is now; None: where it was.
            allow_changed: go on if it differs.
            allow_gone: go on if it cannot be read, for a caller that needs no images.

        Raises:
            DataError: it differs; the message says what has changed.
        """
        data = cls(record, None, allow_changed=allow_changed)
        try:
            if place is not None:
                options = _options_at(record, place)
                data.source = open_source(place, options)
                data.record = record.at(data.source.place, source_kind(place), options)
            else:
                data.source = SOURCE_KINDS[record.kind].open(record.place, record.options)
            if has_known_content(data.source, record.fingerprint):
                return data
            changes = data.changes
        except DataError as error:
            if place is not None or not (allow_changed or allow_gone):
                raise DataError(f"{str(error).rstrip('.')}. {_ADVICE}") from error
            logger.warning("The data could not be compared with what was searched on: %s.", error)
            data.source = None
            return data
        if not changes:
            remember_same_content(data.source, record.fingerprint)
            return data
        sentence = describe_changes(data.source.place, changes)
        if not allow_changed:
            raise DataError(f"{sentence}. {_ADVICE}")
        logger.warning("%s. What is left is used as it was searched on.", sentence)
        return data

    @property
    def has_changed(self) -> bool:
        """Whether the source was compared with the record, and is different or gone."""
        if self.source is None:
            return True
        return "_comparison" in self.__dict__ and bool(self.changes)

    @property
    def changes(self) -> tuple[str, ...]:
        """What has changed in the source since the record was made, each in a few words."""
        return self._comparison.changes

    @cached_property
    def _comparison(self) -> DataComparison:
        if self.source is None:
            raise DataError(
                f"the images of {self.record.place} cannot be read, and the cache has no copy of "
                "them; give the place where they are now with --data"
            )
        comparison = compare_with_record(self.record, self.source)
        self.source.hashes.save()
        return comparison

    def find(self, recipe: Recipe) -> DataInfo | None:
        """The data of a recipe from the cache, without the source; None if they are not there."""
        if (recorded := self.record.info_of(recipe)) is not None:
            return find_prepared_data(recorded.key)
        view = RecordedSource(self.record, None, {})
        preparation = Preparation(view, self._plan(recipe), recipe)
        if not preparation.knows_hashes:
            return None
        return find_prepared_data(preparation.content_key)

    def prepare(
        self, recipe: Recipe, progress: Progress | None = None, *, verify: bool = False
    ) -> DataInfo:
        """Prepare the data of a recipe from the recorded images.

        Args:
            recipe: of the study, or of its alternatives or further splits.
            progress: called with the number of images done and of all images.
            verify: read prepared images to the end, and prepare them again if they are damaged.

        Raises:
            DataError: the images are gone, or have changed since the record was made.
        """
        info = self.find(recipe)
        if info is not None and not (verify and has_damaged_images(info)):
            return self._checked(recipe, info)
        if self.changes and not self._allow_changed:
            raise DataError(f"{describe_changes(self.record.place, self.changes)}. {_ADVICE}")
        view = RecordedSource(self.record, self.source, self._comparison.locations)
        plan = self._plan(recipe)
        remaining = self._without_missing(plan)
        recorded = self.record.info_of(recipe)
        if remaining is plan:
            key = None if recorded is None else recorded.key
            info = prepare_images(Preparation(view, plan, recipe, key), progress, verify=verify)
            return self._checked(recipe, info)
        # Trials of fewer images are still normalised as the record says.
        known = recorded or self.record.info
        normalisation = known.mean, known.std
        preparation = Preparation(view, remaining, recipe, None, normalisation)
        return prepare_images(preparation, progress, verify=verify)

    def _plan(self, recipe: Recipe) -> SplitPlan:
        """The splits of a recipe: the recorded ones, or others of the recorded images."""
        image_list = self.record.image_list
        if split_settings(recipe) == self.record.settings:
            return image_list.plan
        view = RecordedSource(self.record, None, {})
        return plan_source(view, recipe)

    def _without_missing(self, plan: SplitPlan) -> SplitPlan:
        """A plan without the images that are gone; the plan itself if none is."""
        selections: dict[SplitName, RowSelection] = {}
        num_missing = 0
        for split, selection in plan.selections.items():
            is_there = self._comparison.locations[selection.split].rows[selection.rows] != MISSING
            num_missing += int(np.sum(~is_there))
            selections[split] = replace(selection, rows=selection.rows[is_there])
            if not is_there.any():
                raise DataError(f"none of the images of the {split} split is left; search anew")
        if not num_missing:
            return plan
        train = selections["train"]
        labels = self.record.image_list.images[train.split].labels[train.rows]
        counts = np.bincount(labels, minlength=len(self.record.classes))
        if not counts.all():
            name = self.record.classes[int(np.argmin(counts))]
            raise DataError(f"no training image of class {name!r} is left; search anew")
        logger.warning(
            "%s recorded images are gone and are left out; accuracies are those of other images "
            "than before.",
            f"{num_missing:,}",
        )
        return replace(plan, selections=selections)

    def _checked(self, recipe: Recipe, info: DataInfo) -> DataInfo:
        """The prepared data, normalised by the recipe, if they are those of the record.

        Another version of Pillow or of its JPEG library may decode the same files to slightly other
        values. That is said, and the study goes on.
        """
        info, recorded = with_normalisation(info, recipe), self.record.info_of(recipe)
        if recorded is None or _checksums(info, "images") == _checksums(recorded, "images"):
            return info
        if self._has_same_content(recipe, info, recorded):
            logger.warning(
                "The files of %s are those that the study was searched on, but they are decoded to "
                "slightly other values, as by another version of Pillow. The study goes on with "
                "these values.",
                info.name,
            )
            return info
        sentence = f"the images of {info.name} are not those that the study was searched on"
        if not self._allow_changed:
            raise DataError(f"{sentence}. {_ADVICE}")
        logger.warning("%s.", sentence)
        return info

    def _has_same_content(self, recipe: Recipe, info: DataInfo, recorded: DataInfo) -> bool:
        """Whether data were prepared from the same files as recorded ones, in the same order.

        Args:
            recipe: of the data.
            info: of the data.
            recorded: the recorded ones, which were prepared with the same recipe.
        """
        if _checksums(info, "labels") != _checksums(recorded, "labels"):
            return False  # Other images were left out because they cannot be decoded.
        try:
            image_list = read_image_list(info)
        except DataError:
            return False
        if split_settings(recipe) == self.record.settings:
            return image_list.digest == self.record.image_list.digest
        # The record does not list the content of images that are in further data alone.
        view = RecordedSource(self.record, None, {})
        return data_key(view, image_list, recipe) == recorded.key


_ADVICE = (
    "Restore the images, give the place of the same images with --data, or go on with those that "
    "are left, as they were searched on, with --allow-changed-data"
)


def describe_changes(place: str, changes: tuple[str, ...]) -> str:
    """One clause: the data at a place are not what a study was searched on, and why."""
    listed = "; ".join(changes)
    return f"the data in {place} have changed since the study was searched on them: {listed}"


def _checksums(info: DataInfo, kind: str) -> dict[str, int]:
    """Those of the files of one kind, `images` or `labels`."""
    checksums = info.checksums.items()
    return {name: number for name, number in checksums if name.endswith(f".{kind}.npy")}


def _options_at(record: DataRecord, place: str) -> SourceOptions:
    """How a source is read that was moved to another place.

    The images of a table that were in a folder of their own are looked for there, and then at the
    same way from the table.
    """
    if (kind := source_kind(place)) != record.kind:
        options = record.options
        return SourceOptions(skip_broken=options.skip_broken, max_pixels=options.max_pixels)
    if kind != "table":
        return record.options
    root = record.options.data_root
    if root is None or find_path(root) is not None:
        return record.options
    way = os.path.relpath(root, Path(record.place).parent)
    return replace(record.options, data_root=str(Path(place).resolve().parent / way))
