"""Records what the model of a study has to know about the insertions of its architectures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Protocol

from ...errors import AttentuneError
from ...spaces.architecture import Architecture
from ...spaces.backbones.sites import SiteMap
from ...studies.estimator.find_insertion_facts import facts_of_insertion
from ...studies.estimator.study_model import StudyModel
from ...studies.insertion_facts import InsertionFacts
from ...studies.records import StudyRecord


class InsertionStore(Protocol):
    """Where facts are recorded; an `InsertionRepository` is one."""

    def read(self, study: StudyRecord, /) -> tuple[dict[str, InsertionFacts], int]:
        """The facts by the text of the insertion, and the last row id."""

    def record(self, study: StudyRecord, facts: Mapping[str, InsertionFacts], /) -> None:
        """Record the facts of insertions that are not recorded yet."""


class InsertionRecorder:
    """Records the facts of each insertion of a study once, before the first trial that has it."""

    def __init__(
        self, store: InsertionStore, record: StudyRecord, site_map: SiteMap, model: StudyModel
    ) -> None:
        """Read what is recorded.

        Args:
            store: where the facts are recorded.
            record: the study.
            site_map: all sites of its backbone.
            model: of the study; it gets the facts too.
        """
        self._store, self._record = store, record
        self._site_map, self._model = site_map, model
        recorded, _ = store.read(record)
        model.add_insertions(recorded)
        self._recorded = set(recorded)

    def record(self, architectures: Iterable[Architecture]) -> None:
        """Record the insertions of some architectures that are not recorded yet."""
        insertions = {str(i): i for architecture in architectures for i in architecture.changes}
        facts: dict[str, InsertionFacts] = {}
        for text in insertions.keys() - self._recorded:
            with suppress(AttentuneError):  # An attention of an earlier trial is not installed.
                facts[text] = facts_of_insertion(insertions[text], self._site_map)
        if facts:
            self._store.record(self._record, facts)
            self._model.add_insertions(facts)
            self._recorded |= facts.keys()
