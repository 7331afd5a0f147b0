"""The folder of artifacts: a database may name only folders that attentune itself makes in it."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from attentune.errors import MissingStorageError, StoreError
from attentune.runners.results import WEIGHTS_FILE
from attentune.studies.database.artifacts import ARTIFACTS, ArtifactFolders, FolderWatch
from attentune.studies.database.store import Store
from attentune.studies.records import StudyRecord

FOREIGN = [
    "",
    ".",
    "..",
    "../outside",
    "/etc",
    "study-0123abcd/../../outside",
    "study-0123ABCD",
    "study-0123abc",
    "study-0123abcde",
    "study-0123abcd\n",
    "study-٠١٢٣abcd",
    "outside",
    "Study-0123abcd",
    "study-0123abcd/trial-00000",
    None,
    7,
]


@pytest.fixture
def sqlite_store(tmp_path: Path):
    with Store.open(tmp_path / "x.db", create=True) as store:
        yield store


@pytest.fixture
def sqlite_study(sqlite_store: Store) -> StudyRecord:
    return create(sqlite_store)


def create(store: Store, name: str = "first", **config: object) -> StudyRecord:
    return store.studies.create(
        name, backbone="resnet18", objectives=("accuracy",), config=config, seed=0
    )


def give_weights(store: Store, study: StudyRecord) -> Path:
    weights = store.trial_file(study, 0, WEIGHTS_FILE)
    weights.parent.mkdir(parents=True)
    weights.write_text("weights")
    return weights


@pytest.mark.parametrize("folder", FOREIGN, ids=repr)
def test_only_folders_of_our_own_form_are_accepted(
    sqlite_store: Store, sqlite_study: StudyRecord, folder: str
) -> None:
    hostile = dataclasses.replace(sqlite_study, folder=folder)
    for read in (
        lambda: sqlite_store.trial_folder(hostile, 0),
        lambda: sqlite_store.trial_file(hostile, 0, WEIGHTS_FILE),
        lambda: FolderWatch(sqlite_store.artifact_folders, hostile),
    ):
        with pytest.raises(StoreError, match="no folder that attentune makes"):
            read()


@pytest.mark.parametrize("number", [-1, "7", 1.5, None], ids=repr)
def test_only_numbers_of_trials_are_accepted(
    sqlite_store: Store, sqlite_study: StudyRecord, number: int
) -> None:
    with pytest.raises(StoreError, match="no number of a trial"):
        sqlite_store.trial_folder(sqlite_study, number)


@pytest.mark.parametrize("folder", [f for f in FOREIGN if isinstance(f, str)], ids=repr)
def test_rm_deletes_nothing_that_a_database_names_elsewhere(
    tmp_path: Path, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    inside = tmp_path / "inside"
    kept = [tmp_path / "outside", inside / "outside", inside / ARTIFACTS / "outside"]
    for place in kept:
        place.mkdir(parents=True)
        (place / "precious").write_text("x")
    with Store.open(inside / "x.db", create=True) as store:
        create(store)
        absolute = str(tmp_path / "outside") if folder == "/etc" else folder
        with closing(sqlite3.connect(inside / "x.db")) as connection:
            connection.execute("update attentune_studies set folder = ?", (absolute,))
            connection.commit()
        store.delete_study("first")
        assert store.studies.read_all() == []
    assert all((place / "precious").read_text() == "x" for place in kept)
    assert "no folder that attentune makes" in caplog.text


def test_a_link_out_of_the_folder_is_neither_used_nor_followed(
    sqlite_store: Store, sqlite_study: StudyRecord, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    (outside / "trial-00000").mkdir(parents=True)
    (outside / "trial-00000" / WEIGHTS_FILE).write_text("precious")
    sqlite_store.artifacts.mkdir()
    link = sqlite_store.artifacts / sqlite_study.folder
    link.symlink_to(outside)
    with pytest.raises(StoreError, match="is a link, or inside one"):
        sqlite_store.trial_file(sqlite_study, 0, WEIGHTS_FILE)
    sqlite_store.delete_study("first")
    assert (outside / "trial-00000" / WEIGHTS_FILE).read_text() == "precious"


def test_a_link_inside_a_study_is_neither_used_nor_followed(
    sqlite_store: Store, sqlite_study: StudyRecord, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    folder = sqlite_store.artifact_folders.of_study(sqlite_study)
    (folder / "trial-00001").mkdir(parents=True)
    (folder / "trial-00000").symlink_to(outside)
    (folder / "trial-00001" / WEIGHTS_FILE).symlink_to(outside / "precious")
    with pytest.raises(StoreError, match="is a link, or inside one"):
        sqlite_store.trial_folder(sqlite_study, 0)
    with pytest.raises(StoreError, match="is a link, or inside one"):
        sqlite_store.trial_file(sqlite_study, 1, WEIGHTS_FILE)
    sqlite_store.delete_study("first")
    assert not folder.exists()
    assert (outside / "precious").read_text() == "x"


def test_a_loop_of_links_is_refused(sqlite_store: Store, sqlite_study: StudyRecord) -> None:
    sqlite_store.artifacts.mkdir()
    link = sqlite_store.artifacts / sqlite_study.folder
    link.symlink_to(link)
    with pytest.raises(StoreError, match="is a link, or inside one"):
        sqlite_store.trial_folder(sqlite_study, 0)


def test_the_whole_folder_of_artifacts_may_be_a_link(
    sqlite_store: Store, sqlite_study: StudyRecord, tmp_path: Path
) -> None:
    (tmp_path / "large disk").mkdir()
    sqlite_store.artifacts.symlink_to(tmp_path / "large disk")
    weights = give_weights(sqlite_store, sqlite_study)
    assert (tmp_path / "large disk" / sqlite_study.folder / "trial-00000").is_dir()
    sqlite_store.delete_study("first")
    assert not weights.exists()


def test_a_copy_of_a_database_keeps_the_weights_of_both(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        weights = give_weights(store, create(store))
    shutil.copy(tmp_path / "x.db", tmp_path / "copy.db")
    with Store.open(tmp_path / "copy.db") as store:
        store.delete_study("first")
    assert weights.exists()
    assert "are kept, because x.db holds the study too" in caplog.text
    with Store.open(tmp_path / "x.db") as store:
        store.delete_study("first")
    assert not weights.exists(), "the last one that holds the study removes them"


def test_a_study_may_keep_its_artifacts_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    (tmp_path / "db").mkdir()
    with Store.open(tmp_path / "db" / "x.db", create=True) as store:
        study, beside = create(store, artifacts=str(shared)), create(store, "b")
        weights = give_weights(store, study)
        assert weights.is_relative_to(shared / ARTIFACTS)
        assert store.artifacts_of("first").folder == shared / ARTIFACTS
        assert store.artifacts_of(beside).folder == store.artifacts == tmp_path / "db" / ARTIFACTS
        watch = FolderWatch(store.artifact_folders, study)
        watch.check()
        monkeypatch.setattr(ArtifactFolders, "remove", kill)
        with pytest.raises(Killed):
            store.delete_study("first")
        monkeypatch.undo()
        assert weights.exists()
    with Store.open(tmp_path / "db" / "x.db") as store:
        assert not weights.parent.parent.exists(), "the next command finishes the removal"
        assert not list(store.artifacts.glob("*.removed"))
    with pytest.raises(MissingStorageError, match="was removed or moved while the study ran"):
        watch.check()


@pytest.mark.parametrize("stored", ["relative", 7, None])
def test_what_is_no_absolute_path_names_no_folder(tmp_path: Path, stored: object) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        assert store.artifacts_of(create(store, artifacts=stored)).folder == store.artifacts


class Killed(BaseException):
    """A process that is killed does nothing more."""


def kill(*_: object) -> None:
    raise Killed


def test_a_removal_that_is_killed_after_its_transaction_is_finished_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        weights, other = give_weights(store, create(store)), give_weights(store, create(store, "b"))
        monkeypatch.setattr(ArtifactFolders, "remove", kill)
        with pytest.raises(Killed):
            store.delete_study("first")
        monkeypatch.undo()
        assert weights.exists()
    with Store.open(tmp_path / "another.db", create=True):
        assert weights.exists(), "another database has nothing to do with it"
    with Store.open(tmp_path / "x.db", read_only=True):
        assert weights.exists()
    with Store.open(tmp_path / "x.db"):
        assert not weights.parent.parent.exists()
    assert [path.name for path in (tmp_path / ARTIFACTS).iterdir()] == [other.parent.parent.name]


def test_a_removal_that_is_killed_before_its_transaction_has_not_taken_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(tmp_path / "x.db", create=True) as store:
        weights = give_weights(store, create(store))
        monkeypatch.setattr(store.studies, "delete", kill)
        with pytest.raises(Killed):
            store.delete_study("first")
    with Store.open(tmp_path / "x.db") as store:
        assert [study.name for study in store.studies.read_all()] == ["first"]
        assert weights.exists()
        assert not list(store.artifacts.glob("*.removed"))
        store.delete_study("first")
    assert not weights.exists()


def test_what_is_left_of_a_removal_cannot_lead_elsewhere(sqlite_store: Store) -> None:
    folder = sqlite_store.artifacts / "study-precious"
    folder.mkdir(parents=True)
    (sqlite_store.artifacts / "study-precious.removed").write_text("x.db")
    Store.open(sqlite_store.name).close()
    assert folder.exists()


def test_a_folder_that_goes_away_is_noticed(
    sqlite_store: Store, sqlite_study: StudyRecord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = FolderWatch(sqlite_store.artifact_folders, sqlite_study)
    watch.check()  # Nothing has been written yet.
    weights = give_weights(sqlite_store, sqlite_study)
    watch.check()
    for gone in (weights.parent.parent, sqlite_store.artifacts):
        moved = gone.rename(gone.with_name("moved"))
        with pytest.raises(MissingStorageError, match="was removed or moved while the study ran"):
            watch.check()
        gone.mkdir()  # A worker makes what is missing.
        with pytest.raises(MissingStorageError, match=f"{gone} was removed"):
            watch.check()
        gone.rmdir()
        moved.rename(gone)
        watch.check()
