"""Reports of several workers are recorded together, and one that cannot be spoils no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attentune.errors import StoreError
from attentune.runners.events import EpochDone, Finished, Measured, Started
from attentune.runners.results import Costs, EpochReport, TrialResult
from attentune.search.run.report_recorder import ReportRecorder
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store
from attentune.studies.records import SEARCH, StudyRecord

ARCHITECTURE = parse("resnet18")
COSTS = Costs(1000, 2000)


class SharedCosts:
    """Stands for the jobs of a study that measures no latency."""

    def share_latency(self, _architecture: Any, _role: str, costs: Costs) -> Costs:
        return costs


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "s.db", create=True) as store:
        yield store


@pytest.fixture
def record(store: Store) -> StudyRecord:
    record = store.studies.create(
        "s", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
    )
    for number in range(4):
        store.trials.start(record, number, ARCHITECTURE, seed=number)
    return record


@pytest.fixture
def trials() -> dict[int, Any]:
    return {
        n: SimpleNamespace(architecture=ARCHITECTURE, role=SEARCH, costs=None) for n in range(4)
    }


def epoch(number: int, epoch: int) -> EpochDone:
    return EpochDone(number, EpochReport(epoch, 1.0, 0.5, 1.0, 0.1, 2.0))


def finished(number: int, accuracy: float) -> Finished:
    return Finished(number, TrialResult(accuracy, 8, COSTS, 20.0, 18.0, 512.0, {"torch": "2"}))


def transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    modes: list[str] = []
    database = store._database
    transaction = database._transaction

    def counted(mode):
        modes.append(mode)
        return transaction(mode)

    monkeypatch.setattr(database, "_transaction", counted)
    return modes


def test_reports_that_arrive_together_are_one_transaction(store, record, trials, monkeypatch):
    recorder = ReportRecorder(store, record, SharedCosts())
    recorder.record(epoch(3, 1), trials[3])
    reports = [
        Started(0, "w0", 0),
        Measured(1, COSTS),
        epoch(2, 1),
        epoch(3, 1),  # Trained again after an interruption.
        epoch(3, 2),
        finished(1, 0.75),
    ]
    modes = transactions(store, monkeypatch)
    recorder.record_together([*reports, epoch(9, 1)], trials)
    new = [recorder.record(report, trials[report.number]) for report in reports]
    assert modes == ["commit"]  # The result of trial 1 must survive a loss of power.
    assert new == [True, True, True, False, True, True]
    rows = {trial.number: trial for trial in store.trials.read(record)}
    assert rows[0].worker == "w0"
    assert trials[1].costs == COSTS
    assert (rows[1].state, rows[1].accuracy) == ("complete", 0.75)
    assert [rows[n].epochs for n in (2, 3)] == [1, 2]
    assert [(e.number, e.report.epoch) for e in store.epochs.read(record)] == [
        (2, 1),
        (3, 1),
        (3, 2),
    ]


def test_a_report_that_cannot_be_recorded_spoils_no_other(store, record, trials):
    recorder = ReportRecorder(store, record, SharedCosts())
    good, bad, other = epoch(0, 1), finished(1, 1.5), finished(2, 0.5)
    recorder.record_together([good, bad, other], trials)
    assert recorder.record(good, trials[0])
    with pytest.raises(StoreError, match="no fraction"):
        recorder.record(bad, trials[1])
    recorder.record(other, trials[2])
    states = [trial.state for trial in store.trials.read(record)]
    assert states == ["running", "running", "complete", "running"]
    assert len(store.epochs.read(record)) == 1


def test_more_reports_than_a_statement_takes_are_recorded(store, record, trials):
    recorder = ReportRecorder(store, record, SharedCosts())
    reports = [epoch(number, e) for e in range(1, 151) for number in range(4)]
    recorder.record_together(reports, trials)
    assert all(recorder.record(report, trials[report.number]) for report in reports)
    assert len(store.epochs.read(record)) == 600
    assert {trial.epochs for trial in store.trials.read(record)} == {150}
