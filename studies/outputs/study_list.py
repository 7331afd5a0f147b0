"""The studies of a database, each with its best architecture, for `attentune list`."""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis.best import best_of_table
from ..analysis.findings import ArchitectureSummary
from ..analysis.trial_table import TrialTable
from ..database.store import Store
from ..records import StudySummary
from .read_findings import read_model


@dataclass(frozen=True)
class ListedStudy:
    """One line of `attentune list`. `best` is None while no trial is complete."""

    summary: StudySummary
    best: ArchitectureSummary | None


def list_studies(store: Store) -> list[ListedStudy]:
    """All studies of a database, oldest first, each with its best architecture."""
    return [
        ListedStudy(summary, _best(store, summary) if summary.counts["complete"] else None)
        for summary in store.studies.summarize()
    ]


def _best(store: Store, summary: StudySummary) -> ArchitectureSummary | None:
    table = TrialTable()
    for rows in store.trials.read_complete(summary.study):
        table.update(rows)
    return best_of_table(table, read_model(store, summary.study))
