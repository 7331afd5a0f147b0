"""The analysis of a study as its database holds it: what every command and page reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..analysis.analyse import analyse
from ..analysis.findings import Findings
from ..database.store import Store
from ..estimator.study_model import StudyModel, observed_by
from ..records import StudyRecord, TrialRecord
from .judged_images import read_validation_images


def read_model(store: Store, record: StudyRecord) -> StudyModel:
    """The model of a study with its epochs and insertions, without its trials."""
    observed, _ = observed_by(record)
    epochs = store.epochs.read(record, at=observed) if observed else []
    insertions, _ = store.insertions.read(record)
    return StudyModel.of(record, epochs, insertions)


def read_findings(
    store: Store, record: StudyRecord, trials: Sequence[TrialRecord] | None = None
) -> Findings:
    """The findings of a study.

    Args:
        store: the database.
        record: the study.
        trials: those of the search, if they have been read already.
    """
    searched = store.trials.read(record) if trials is None else trials
    return with_images(store, record, analyse(record, searched, read_model(store, record)))


def with_images(store: Store, record: StudyRecord, findings: Findings) -> Findings:
    """Findings with what the predictions of a trial say about the validation images.

    Args:
        store: the database.
        record: the study.
        findings: of its search.
    """
    return replace(findings, images=read_validation_images(store, record, findings))
