"""A study whose files are at a URL: which are kept, its copy, its removal."""

from __future__ import annotations

import pytest
from attentune.runners.artifacts.store import open_store
from attentune.runners.artifacts.trial_folder import open_folder, publish
from attentune.runners.results import CHECKPOINT_FILE, PREDICTIONS_FILE, WEIGHTS_FILE
from attentune.search.run.copy_studies import copy_studies, select_studies
from attentune.studies.database import artifact_copies
from attentune.studies.database.artifact_copies import DRAFT_FILE, RemoteFolderCopy
from attentune.studies.database.store import Store


@pytest.fixture
def url(tmp_path, cache):
    del cache
    open_store.cache_clear()
    yield f"file://{tmp_path}/bucket"
    open_store.cache_clear()


@pytest.fixture
def study(bench, url):
    bench.create("s", bench.config())
    return bench.store.studies.change_config(
        bench.store.studies.get("s"), lambda config: {**config, "artifacts": url}
    )


def write_files(_study, trial, report):
    """What a worker leaves: a checkpoint after each epoch, and a result after the last one."""
    job = open_folder(trial.job)
    names = [CHECKPOINT_FILE]
    if report.epoch == job.recipe.epochs:
        names += [PREDICTIONS_FILE, WEIGHTS_FILE]
    for name in names:
        (job.folder / name).write_bytes(bytes(1000))
        publish(job, name)


def files_of(store, name="s"):
    record = store.studies.get(name)
    return sorted(store.artifacts_of(record).files(record.folder))


def test_checkpoints_go_and_weights_are_kept_as_planned(bench, study, caplog):
    bench.run("s", 2, on_epoch=write_files)
    kept = [
        (f"trial-{n:05d}/{file}") for n in range(2) for file in (WEIGHTS_FILE, PREDICTIONS_FILE)
    ]
    assert files_of(bench.store) == sorted(kept)
    weights = bench.store.trial_file("s", 1, WEIGHTS_FILE)
    assert weights.read_bytes() == bytes(1000)
    bench.run("s", 3, on_epoch=write_files, keep_weights="none")
    assert files_of(bench.store) == [f"trial-{n:05d}/{PREDICTIONS_FILE}" for n in range(3)]
    assert not caplog.records


def test_a_removed_study_leaves_nothing_even_if_the_url_was_away(bench, study, monkeypatch, url):
    bench.run("s", 1, on_epoch=write_files)
    artifacts = bench.store.artifacts_of(study)
    monkeypatch.setattr(type(artifacts), "delete", lambda *_: False)
    bench.store.delete_study("s")
    assert artifacts.files(study.folder)
    monkeypatch.undo()
    Store.open(bench.store.url.removeprefix("sqlite:///")).close()
    assert artifacts.files("") == {}, "the next command finishes the removal"
    assert not list(bench.store.artifacts.glob("*"))


def test_a_copy_has_files_of_its_own(bench, study, tmp_path):
    bench.run("s", 2, on_epoch=write_files)
    sizes: list[int] = []
    with Store.open(tmp_path / "copy.db", create=True) as target:
        records = select_studies(bench.store)
        (copied,) = copy_studies(bench.store, target, records, sizes.append)
        assert (copied.artifacts.files, sum(sizes)) == (4, copied.artifacts.size)
        assert files_of(target) == files_of(bench.store)
        bench.store.delete_study("s")
        assert len(files_of(target)) == 4
        assert target.trial_file("s", 0, WEIGHTS_FILE).read_bytes() == bytes(1000)


def test_a_copy_that_fails_leaves_nothing(bench, study, tmp_path, monkeypatch):
    bench.run("s", 1, on_epoch=write_files)
    artifacts, before = bench.store.artifacts_of(study), files_of(bench.store)
    with Store.open(tmp_path / "copy.db", create=True) as target:
        monkeypatch.setattr(RemoteFolderCopy, "give_name", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(copy_studies(bench.store, target, select_studies(bench.store)))
        assert target.studies.read_all() == []
    assert {name.partition("/")[0] for name in artifacts.files("")} == {study.folder}
    assert files_of(bench.store) == before


def test_what_a_killed_copy_has_left_is_deleted_by_a_later_one(bench, study, monkeypatch):
    bench.run("s", 1, on_epoch=write_files)
    artifacts = bench.store.artifacts_of(study)
    RemoteFolderCopy(artifacts, study.folder, "study-00000001", lambda _: None)
    assert f"study-00000001/{DRAFT_FILE}" in artifacts.files("")
    copy = RemoteFolderCopy(artifacts, study.folder, "study-00000002", lambda _: None)
    assert f"study-00000001/{DRAFT_FILE}" in artifacts.files(""), "it may still be running"
    copy.give_name()
    monkeypatch.setattr(artifact_copies, "DRAFT_SECONDS", -1.0)
    RemoteFolderCopy(artifacts, study.folder, "study-00000003", lambda _: None).discard()
    folders = {name.partition("/")[0] for name in artifacts.files("")}
    assert folders == {study.folder, "study-00000002"}
