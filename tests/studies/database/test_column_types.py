"""What columns make of text from outside."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from attentune.errors import StoreError, StudyError
from attentune.runners.results import Costs, EpochReport, Failure, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.database.store import Store
from attentune.studies.records import StudyRecord
from chaos.hostile_texts import TEXTS, forbidden_in
from chaos.odd_columns import COLUMNS, put_value

SE = parse("resnet18+se(r=16)@all.residual")
STORED = 20_100


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_hostile_text_does_not_stop_a_study(store: Store, study: StudyRecord, text: str, result):
    trials = store.trials
    for number in range(4):
        trials.start(study, number, SE, seed=number, worker=text)
    trials.fail(study, 0, Failure("error", text, text), environment={text: text})
    trials.prune(study, 1, text, environment={"gpu": text})
    trials.reject(study, SE, text, number=2)
    trials.finish(study, 3, replace(result(0.5), environment={text: text}))
    failed, pruned, finished = trials.read(study)
    assert failed.failure is not None
    assert failed.worker is not None
    assert pruned.note is not None
    environments = trials.read_environments(study)
    stored = [failed.failure.message, failed.failure.traceback, failed.worker, pruned.note]
    stored += [rejection.reason for rejection in trials.read_rejections(study)]
    stored += [name + fact for facts in environments.values() for name, fact in facts.items()]
    for value in stored:
        assert not forbidden_in(value)
        assert len(value) < STORED
    assert "\n" not in failed.worker
    assert len(environments) == 2
    assert finished.environment in environments


def test_the_end_of_a_traceback_is_kept(store: Store, study: StudyRecord) -> None:
    store.trials.start(study, 0, SE, seed=0)
    failure = Failure("error", "m" * 10**7, "t" * 10**7 + "\nValueError: here")
    store.trials.fail(study, 0, failure)
    recorded = store.trials.get(study, 0).failure
    assert recorded == failure
    assert recorded.message.startswith("mmm")
    assert recorded.message.endswith("[… of 10000000 characters]")
    assert recorded.traceback.endswith("t\nValueError: here")


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_hostile_name_is_an_unknown_study(store: Store, study: StudyRecord, text: str) -> None:
    with pytest.raises(StudyError, match="there is no study"):
        store.studies.get(text)


OUR_COLUMNS = [
    (table, column)
    for table, columns in COLUMNS.items()
    for column in columns
    if table.startswith("attentune_")
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with a trial in each state, an epoch, a rejection, a probe and a lease."""
    path = tmp_path_factory.mktemp("database") / "attentune.db"
    environment = {"device": "cpu"}
    with Store.open(path, create=True) as store:
        study = store.studies.create(
            "first", backbone="resnet18", objectives=("accuracy", "params"), config={}, seed=0
        )
        for number in range(4):
            store.trials.start(study, number, SE, seed=number, worker="w1")
            store.epochs.record(study, number, EpochReport(1, 1.0, 0.5, 1.1, 0.004, 2.0))
        result = TrialResult(0.5, 1, Costs(9, 9), 2.0, 2.0, 512.0, environment)
        store.trials.finish(study, 0, result)
        store.trials.prune(study, 1, "below", environment={"gpu": "x"})
        store.trials.fail(study, 2, Failure("error", "message", "traceback"))
        store.trials.reject(study, SE, "params is 9")
        store.probes.put({"device": "cpu"}, {"precision": "float32"})
        store.leases.acquire(study)
    return path


def read_everything(path: Path) -> None:
    """Read all that the database holds, as lists, reports and the dashboard do."""
    with Store.open(path, read_only=True) as store:
        store.studies.summarize()
        store.probes.get({"device": "cpu"})
        for study in store.studies.read_all():
            trials = store.trials.read(study)
            store.trials.read(study, confirming=True)
            store.trials.read_rejections(study)
            store.trials.read_environments(study)
            store.epochs.read(study)
            store.leases.holder(study)
            store.studies.spent_seconds(study)
            store.studies.device_seconds(study)
            analyse(study, trials)
            state = StudyState(store, study)
            state.refresh()
            state.analysis.findings()
            _ = state.analysis.insertions


@pytest.mark.parametrize(("table", "column"), OUR_COLUMNS)
@pytest.mark.parametrize(
    "share", [pytest.param(8, id="an eighth"), pytest.param(1, id="all", marks=pytest.mark.slow)]
)
def test_an_odd_value_is_read_as_it_is_or_refused_in_a_sentence(
    table: str, column: str, share: int, database: Path, tmp_path: Path
) -> None:
    values = COLUMNS[table][column]
    first = sum(map(ord, column)) % share
    for number, value in enumerate(values[first::share]):
        damaged = tmp_path / f"{number}.db"
        shutil.copy(database, damaged)
        put_value(damaged, table, column, value, every_row=bool(number % 2))
        try:
            read_everything(damaged)
        except StoreError as error:
            message = str(error)
        else:
            continue
        assert re.search("damaged|cannot be used|schema|holds no|is no architecture", message)
        assert len(message) < 500
