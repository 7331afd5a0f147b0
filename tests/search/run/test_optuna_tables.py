"""Optuna's tables: studies of the user beside those of attentune, and removals that are killed."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing

import optuna
import pytest
from attentune.errors import StoreError, StudyError
from attentune.search.run import optuna_tables, session
from attentune.search.run.optuna_study import OptunaStudy
from attentune.search.run.optuna_tables import MARK, OptunaTables, check_name_is_free
from attentune.search.run.session import create_study, delete_study
from attentune.search.setup.request import read_request
from attentune.studies.database.optuna_rows import OptunaRows
from attentune.studies.database.studies import StudyRepository
from optuna.trial import TrialState


def make_user_study(store, name="s", trials=3, directions=("minimize",)):
    """A study that the user made with Optuna, with its own trials."""
    study = optuna.create_study(study_name=name, storage=store.url, directions=list(directions))
    for _ in range(trials):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        study.tell(trial, [0.5] * len(directions))
    return contents(store, name)


def contents(store, name="s"):
    """All of an Optuna study; None if there is none."""
    if name not in optuna.get_all_study_names(store.url):
        return None
    study = optuna.load_study(study_name=name, storage=store.url)
    trials = [(t.number, t.state, t.values, t.params, t.user_attrs) for t in study.trials]
    return study.directions, study.user_attrs, study.metric_names, trials


@pytest.mark.parametrize("trials", [0, 3])
@pytest.mark.parametrize("directions", [("minimize",), ("maximize", "minimize")])
def test_a_study_of_the_user_is_never_joined(bench, monkeypatch, trials, directions):
    before = make_user_study(bench.store, trials=trials, directions=directions)
    monkeypatch.setattr(session, "warm_up", lambda: None)
    request = read_request({"backbone": "test_resnet", "data": "digits"}, None)
    with pytest.raises(StudyError, match="that attentune did not make"):
        create_study(bench.store, "s", request)
    assert bench.store.studies.read_all() == []
    with pytest.raises(StudyError, match="that attentune did not make"):
        bench.run("s", 3, bench.config())  # It came between the check and the first run.
    assert bench.rows("s") == []
    assert contents(bench.store) == before


@pytest.mark.parametrize("trials", [0, 3])
def test_rm_never_removes_a_study_of_the_user(bench, trials, caplog):
    bench.create("s", bench.config())
    before = make_user_study(bench.store, trials=trials)
    delete_study(bench.store, "s")
    assert bench.store.studies.read_all() == []
    assert contents(bench.store) == before
    assert "the Optuna study 's' is kept" in caplog.text
    with pytest.raises(StudyError, match="holds no studies yet"):
        delete_study(bench.store, "s")
    assert contents(bench.store) == before


def test_a_study_of_the_user_after_ours_was_removed_is_left_alone(bench):
    bench.run("s", 3, bench.config())
    delete_study(bench.store, "s")
    assert contents(bench.store) is None
    before = make_user_study(bench.store)
    with pytest.raises(StudyError, match="choose another name"):
        check_name_is_free(bench.store, "s")
    assert contents(bench.store) == before


def test_a_study_of_the_user_in_place_of_ours_is_neither_joined_nor_removed(bench):
    bench.run("s", 3, bench.config())
    optuna.delete_study(study_name="s", storage=bench.store.url)
    before, rows = make_user_study(bench.store), bench.rows("s")
    with pytest.raises(StudyError, match="that attentune did not make"):
        bench.run("s", 6)
    assert bench.rows("s") == rows
    delete_study(bench.store, "s")
    assert contents(bench.store) == before


def test_a_copy_that_the_user_made_of_ours_is_the_users(bench):
    bench.run("s", 3, bench.config())
    optuna.copy_study(
        from_study_name="s", from_storage=bench.store.url, to_storage=bench.store.url,
        to_study_name="copy",
    )  # fmt: skip
    before = contents(bench.store, "copy")
    for remove_original in (False, True):
        if remove_original:
            delete_study(bench.store, "s")
        with pytest.raises(StudyError, match="that attentune did not make"):
            check_name_is_free(bench.store, "copy")
        with pytest.raises(StudyError):
            delete_study(bench.store, "copy")
    assert contents(bench.store, "copy") == before


def test_a_study_carries_the_name_of_its_folder(bench):
    bench.run("s", 3, bench.config())
    folder = bench.store.studies.get("s").folder
    assert contents(bench.store)[1] == {MARK: {"study": "s", "folder": folder}}


def unmark(store):
    """Make a study as releases before the mark have left it."""
    with closing(sqlite3.connect(store.name)) as connection:
        connection.execute("delete from study_user_attributes")
        connection.commit()


@pytest.mark.parametrize("trials", [0, 2])
def test_a_study_of_an_earlier_release_is_joined_and_marked(bench, trials):
    if trials:
        bench.run("s", trials, bench.config())
    else:
        bench.create("s", bench.config())
        OptunaStudy(("accuracy", "params"), bench.store, bench.store.studies.get("s"))
    unmark(bench.store)
    bench.run("s", 5)
    assert [number for number, *_ in bench.rows("s")] == list(range(5))
    assert MARK in contents(bench.store)[1]
    delete_study(bench.store, "s")
    assert contents(bench.store) is None


def test_what_an_earlier_release_left_of_a_removed_study_is_not_inherited(bench):
    bench.run("s", 2, bench.config())
    unmark(bench.store)
    bench.store.studies.delete("s")  # The earlier release was killed here.
    with pytest.raises(StudyError, match="the removal of an earlier study 's' was not finished"):
        check_name_is_free(bench.store, "s")
    delete_study(bench.store, "s")
    check_name_is_free(bench.store, "s")
    bench.run("s", 2, bench.config())
    assert len(contents(bench.store)[3]) == 2


class Killed(BaseException):
    """A process that is killed does nothing more."""


def kill(*_, **__):
    raise Killed


@pytest.mark.parametrize(
    "victim",
    [(StudyRepository, "delete"), (optuna, "delete_study"), (optuna_tables, "remove_study")],
)
def test_a_removal_that_is_killed_has_removed_all_or_nothing(bench, monkeypatch, victim):
    bench.run("s", 3, bench.config())
    rows, before = bench.rows("s"), contents(bench.store)
    monkeypatch.setattr(*victim, kill)
    with pytest.raises(Killed):
        delete_study(bench.store, "s")
    monkeypatch.undo()
    assert (bench.rows("s"), contents(bench.store)) == (rows, before)
    delete_study(bench.store, "s")
    assert contents(bench.store) is None


def test_a_creation_that_is_killed_leaves_no_study_without_a_mark(bench, monkeypatch):
    bench.create("s", bench.config())
    monkeypatch.setattr(optuna_tables, "mark_study", kill)
    with pytest.raises(Killed):
        bench.run("s", 3)
    monkeypatch.undo()
    assert contents(bench.store) is None
    bench.run("s", 3)
    assert len(contents(bench.store)[3]) == 3


def test_what_is_queued_is_written_together_or_stays_in_the_queue(bench, monkeypatch):
    bench.create("s", bench.config())
    study = OptunaStudy(("accuracy", "params"), bench.store, bench.store.studies.get("s"))
    for _ in range(2):
        study.save(study.ask(), {})
    study.tell(0, [0.5, 10.0])
    with monkeypatch.context() as patch:
        patch.setattr(OptunaRows, "end", kill)
        with pytest.raises(Killed):
            study.write()
    assert contents(bench.store)[3] == []
    study.write()
    states = [state for _, state, *_ in contents(bench.store)[3]]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING]


def test_trials_that_another_program_adds_are_noticed(bench):
    bench.create("s", bench.config())
    study = OptunaStudy(("accuracy", "params"), bench.store, bench.store.studies.get("s"))
    optuna.load_study(study_name="s", storage=bench.store.url).ask()
    study.save(study.ask(), {})
    with pytest.raises(StudyError, match="another program has added trials"):
        study.write()
    assert len(contents(bench.store)[3]) == 1


def test_tables_of_another_version_of_optuna_are_refused_in_a_sentence(bench):
    OptunaTables(bench.store)
    with closing(sqlite3.connect(bench.store.name)) as connection:
        connection.execute("update alembic_version set version_num = 'v9.9.9'")
        connection.commit()
    with pytest.raises(StoreError, match="Optuna's tables in the database cannot be used"):
        OptunaTables(bench.store)


def test_many_may_make_the_tables_at_once(bench, caplog):
    caplog.set_level(logging.WARNING)
    errors = []

    def make():
        try:
            OptunaTables(bench.store)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert make_user_study(bench.store)


def test_an_interrupt_while_the_tables_are_made_leaves_one_file(bench, monkeypatch, tmp_path):
    bench.create("s", bench.config())
    monkeypatch.setattr(optuna.storages.RDBStorage, "remove_session", kill)
    with pytest.raises(Killed) as interrupt:
        OptunaTables(bench.store)
    bench.store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["bench.db"], interrupt
