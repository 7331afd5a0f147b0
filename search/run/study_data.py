"""The data of a study that runs: as they were searched on, or an error that says what has changed.

A study has a record of its data (`runners/data/prepared/record.py`) from its setup on. One of a
version that recorded nothing goes on as it did, and gets its record when it is continued.
"""

from __future__ import annotations

import logging

from ...errors import AttentuneError, StudyError
from ...runners.data import DataInfo, Progress
from ...runners.data.prepared.cache import prepare_unrecorded_data
from ...runners.data.prepared.recorded_data import RecordedData, record_unrecorded_data
from ...runners.data.sources.resolve import open_source
from ...runners.data.sources.source import SourceOptions
from ...runners.recipe import Recipe
from ...studies.database.store import Store
from ...studies.records import StudyRecord
from .data_options import DataOptions

logger = logging.getLogger(__name__)


class StudyData:
    """Prepares the data of a study, its alternatives and its further splits.

    Args:
        store: the database.
        study: whose data they are.
        options: of the command.

    Raises:
        DataError: the data differ from the record, or cannot be read.
        StudyError: data without a record have another number of classes than the study.
    """

    def __init__(
        self, store: Store, study: StudyRecord, options: DataOptions | None = None
    ) -> None:
        self._store, self._study = store, study
        self._options = options or DataOptions()
        self._recorded: RecordedData | None = None
        record = store.data_records.get(study)
        if record is None:
            return
        self._recorded = RecordedData.open(
            record, self._options.data, allow_changed=self._options.allow_changed_data
        )
        now = self._recorded.record
        # A place with other content is used for this command only.
        if now.place != record.place and not self._recorded.has_changed:
            store.data_records.change_facts(study, now)

    def prepare(self, recipe: Recipe, progress: Progress | None = None) -> DataInfo:
        """Prepare the data of a recipe, and record them if they are new.

        Args:
            recipe: of the study, of an alternative, or of a further split.
            progress: called with the number of images done and of all images.

        Raises:
            DataError: the images are gone or cannot be decoded.
            StudyError: as the constructor.
        """
        if self._recorded is None:
            return self._prepare_unrecorded(recipe, progress)
        info = self._recorded.prepare(recipe, progress, verify=True)
        record = self._recorded.record
        if record.info_of(recipe) is None and not self._recorded.has_changed:
            self._recorded.record = record.with_info(recipe, info)
            self._store.data_records.change_facts(self._study, self._recorded.record)
        return info

    def native_size(self, recipe: Recipe) -> int:
        """The shorter side of a typical image, pixels."""
        if self._recorded is not None and self._recorded.source is not None:
            return self._recorded.source.native_size
        spec = self._options.data or recipe.data
        return open_source(spec, SourceOptions.of(recipe)).native_size

    def _prepare_unrecorded(self, recipe: Recipe, progress: Progress | None) -> DataInfo:
        """Prepare data as the version did that has made the study, and record them if possible."""
        config = self._study.config
        if self._options.data is not None:
            recipe = recipe.model_copy(update={"data": self._options.data})
        info = prepare_unrecorded_data(recipe, progress, verify=True)
        num_classes = config.num_classes
        if num_classes is not None and len(info.classes) != num_classes:
            raise StudyError(
                f"{recipe.data} has {len(info.classes)} classes, and the study "
                f"{self._study.name!r} was searched on {num_classes}; restore the class folders, "
                "or start another study."
            )
        try:
            record = record_unrecorded_data(recipe, info)
        except AttentuneError as error:
            logger.debug("no record of the data of %s", self._study.name, exc_info=error)
            return info
        if record is not None and self._is_of_search(recipe):
            self._store.data_records.put(self._study, record)
            self._recorded = RecordedData(record, None)
            self._recorded.source = open_source(recipe.data, SourceOptions.of(recipe))
        return info

    def _is_of_search(self, recipe: Recipe) -> bool:
        """Whether a recipe is that of the study's search, and not of an alternative or split."""
        searched = self._study.config.recipe
        changes = {"epochs": searched.epochs, "data": searched.data}
        return recipe.model_copy(update=changes) == searched
