"""Databases to test on, and small studies with known answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from attentune.runners.results import Costs, EpochReport, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.dashboard import live_trials
from attentune.studies.database.store import Store
from attentune.studies.records import SEARCH, StudyRecord
from postgresql_servers import DATABASES, new_database

ENVIRONMENT = {"device": "cpu (test)", "torch": "2.13.0", "attentune commit": "0123456789ab"}
MACS = 1_820_000_000


@pytest.fixture(params=DATABASES)
def target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Where a new database can be made: a path, or a PostgreSQL URL with a schema of its own."""
    monkeypatch.chdir(tmp_path)
    with new_database(request.param, tmp_path) as target:
        yield target


@pytest.fixture
def store(target: str) -> Iterator[Store]:
    with Store.open(target, create=True) as opened:
        yield opened


@pytest.fixture
def reader(store: Store, target: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Another connection, whose states read the database whenever they are asked to."""
    monkeypatch.setattr(live_trials, "REFRESH_SECONDS", 0.0)
    with Store.open(target, read_only=True) as opened:
        yield opened


@pytest.fixture
def study(store: Store) -> StudyRecord:
    return store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy", "params"), config={}, seed=0
    )


@pytest.fixture
def epoch() -> Callable[..., EpochReport]:
    """Makes the report of an epoch; fields that do not matter have defaults."""

    def make(number: int, accuracy: float = 0.5, **fields: float) -> EpochReport:
        defaults = {"train_loss": 1.0, "val_loss": 1.1, "lr": 0.004, "seconds": 2.0}
        return EpochReport(epoch=number, accuracy=accuracy, **{**defaults, **fields})

    return make


@pytest.fixture
def result() -> Callable[..., TrialResult]:
    """Makes the result of a complete trial; fields that do not matter have defaults."""

    def make(accuracy: float = 0.5, params: int = 1000, **costs: float) -> TrialResult:
        return TrialResult(
            accuracy=accuracy,
            epochs=8,
            costs=Costs(params, MACS, **costs),
            seconds=20.0,
            device_seconds=18.0,
            peak_memory_mib=512.0,
            cpu_load=0.93,
            environment=ENVIRONMENT,
        )

    return make


Add = Callable[..., int]


@pytest.fixture
def add(
    store: Store,
    study: StudyRecord,
    epoch: Callable[..., EpochReport],
    result: Callable[..., TrialResult],
) -> Add:
    """Run a whole trial through the store; its number."""
    numbers = iter(range(1000))

    def run(
        text: str,
        accuracy: float | None = None,
        params: int = 1000,
        *,
        seed: int = 0,
        role: str = SEARCH,
        **costs: Any,
    ) -> int:
        number = next(numbers)
        store.trials.start(study, number, parse(text), seed=seed, role=role)
        if accuracy is not None:
            for done in (1, 2):
                store.epochs.record(study, number, epoch(done, accuracy * done / 2))
            store.trials.finish(study, number, result(accuracy, params, **costs))
        return number

    return run


@pytest.fixture
def add_study_in_mm(store: Store) -> Callable[[Sequence[str], Sequence[float]], StudyRecord]:
    """Add a study of a user's own metric: an error in mm, of which less is better."""

    def add_study(texts: Sequence[str], errors: Sequence[float]) -> StudyRecord:
        study = store.studies.create(
            "own", backbone="resnet18", objectives=("error:min:mm", "params"), config={}, seed=0
        )
        for number, (text, error) in enumerate(zip(texts, errors, strict=False)):
            store.trials.start(study, number, parse(text), seed=0)
            result = TrialResult(math.nan, 1, Costs(1, 1), 1.0, 1.0, None, {}, metric_score=-error)
            store.trials.finish(study, number, result)
        return study

    return add_study
