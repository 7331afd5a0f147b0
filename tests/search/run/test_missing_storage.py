"""A database or a folder of artifacts that goes away under a running study."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest
from attentune.errors import MissingStorageError
from attentune.studies.database import leases
from attentune.studies.database.store import Store


def remove_database(folder, _study):
    (folder / "bench.db").unlink()


def move_database(folder, _study):
    (folder / "bench.db").rename(folder / "moved.db")


def replace_database(folder, _study):
    Store.open(folder / "new.db", create=True).close()
    (folder / "new.db").replace(folder / "bench.db")


def move_folder(folder, _study):
    folder.rename(folder.with_name("moved"))


def move_artifacts(folder, _study):
    (folder / "attentune.artifacts").rename(folder / "moved.artifacts")


def remove_artifacts(folder, _study):
    shutil.rmtree(folder / "attentune.artifacts")


def remove_artifacts_which_a_worker_makes_again(folder, study):
    study_folder = study.store.study_folder(study.record)
    shutil.rmtree(folder / "attentune.artifacts")
    (study_folder / "trial-00004").mkdir(parents=True)


ATTACKS = [
    remove_database,
    move_database,
    replace_database,
    move_folder,
    move_artifacts,
    remove_artifacts,
    remove_artifacts_which_a_worker_makes_again,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_stops_the_study_with_a_sentence(bench, tmp_path, monkeypatch, attack):
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    epochs = []

    def on_epoch(study, trial, _report):
        if not epochs:
            study.store.trial_folder(study.record, trial.number).mkdir(parents=True)
        epochs.append(trial.number)
        if len(epochs) == 4:
            attack(tmp_path, study)

    with pytest.raises(MissingStorageError, match=r"was .*(moved|replaced)"):
        bench.run("s", 40, bench.config(), on_epoch=on_epoch)
    assert len(epochs) < 8, "it is noticed at once"
    bench.store.close()
    if attack is replace_database:
        with closing(sqlite3.connect(tmp_path / "bench.db")) as connection:
            assert connection.execute("select * from attentune_studies").fetchall() == []
    elif attack in (remove_database, move_database, move_folder):
        assert not (tmp_path / "bench.db").exists()


def test_a_study_whose_storage_was_put_back_goes_on(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)

    def on_epoch(_study, trial, _report):
        if trial.number == 2 and (tmp_path / "bench.db").exists():
            (tmp_path / "bench.db").rename(tmp_path / "moved.db")

    with pytest.raises(MissingStorageError):
        bench.run("s", 6, bench.config(), on_epoch=on_epoch)
    bench.store.close()
    (tmp_path / "moved.db").rename(tmp_path / "bench.db")
    with closing(sqlite3.connect(tmp_path / "bench.db")) as connection:
        connection.execute("delete from attentune_leases")  # Its process would have ended.
        connection.commit()
    with Store.open(tmp_path / "bench.db") as store:
        bench.store = store
        bench.run("s", 6)
        assert [number for number, *_ in bench.rows("s")] == list(range(6))
