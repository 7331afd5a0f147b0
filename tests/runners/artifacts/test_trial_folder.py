"""Trials whose files are at a URL: they go on on any machine, and outlast an absent storage."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attentune.errors import MachineError
from attentune.runners.artifacts import trial_folder as module
from attentune.runners.artifacts.remote_store import RemoteStore
from attentune.runners.artifacts.store import open_store
from attentune.runners.artifacts.trial_folder import job_on_this_machine, open_folder, publish
from attentune.runners.events import Aborted, Decision, EpochDone, Finished, Started, Stopped
from attentune.runners.results import CHECKPOINT_FILE, USER_FILES_FOLDER, Costs, EpochReport, Job
from attentune.runners.training import checkpoint
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse

TRIAL = "study-0123abcd/trial-00007"


class Writer:
    size = 0

    def __call__(self, path, facts):
        checkpoint.save(path, facts, [torch.zeros(3)])


class CountingEvaluator:
    """Reports epochs, and writes a checkpoint after each."""

    def evaluate(self, trial):
        trial.report_costs(Costs(1, 1))
        for epoch in range(trial.last_report.epoch + 1, trial.job.recipe.epochs + 1):
            trial._checkpoints._write_seconds = 0.0  # Each one is due.
            report = EpochReport(epoch, 1.0, 0.5, 1.0, 0.1, 1.0)
            if trial.report(report, Writer()) is not Decision.GO_ON:
                return None
        return trial.result(0.5)


@pytest.fixture
def root(tmp_path, cache, monkeypatch):
    del cache
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "here"))
    open_store.cache_clear()
    module._store_at.cache_clear()
    yield f"file://{tmp_path}/bucket/attentune.artifacts"
    open_store.cache_clear()


@pytest.fixture
def job(root, tiny_recipe, tmp_path) -> Job:
    recipe = tiny_recipe.model_copy(update={"epochs": 4})
    architecture = parse("test_resnet+eca@all.residual")
    return Job(7, architecture, recipe, 0, tmp_path / "x", folder_url=f"{root}/{TRIAL}")


@pytest.fixture
def other_machine(tmp_path, monkeypatch):
    def move(name="there"):
        monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / name))
        open_store.cache_clear()
        module._store_at.cache_clear()

    return move


def run(job, pause_at=None):
    events = []

    def send(event):
        events.append(event)
        paused = isinstance(event, EpochDone) and event.report.epoch == pause_at
        return Decision.PAUSE if paused else Decision.GO_ON

    run_trial(job, send, device=torch.device("cpu"), evaluator=CountingEvaluator())
    return events


def test_a_trial_goes_on_on_another_machine_from_what_was_uploaded(job, root, other_machine):
    assert isinstance(run(job, pause_at=2)[-1], Stopped)
    assert [*open_store(root).files(TRIAL)] == [CHECKPOINT_FILE]
    assert not job_on_this_machine(job).folder.exists(), "the copy takes no space afterwards"
    other_machine()
    events = run(job)
    assert (events[0].resumed_from, type(events[-1])) == (2, Finished)


def test_a_trial_whose_upload_failed_is_aborted_and_loses_nothing_here(job, root, monkeypatch):
    upload = RemoteStore.upload
    run(job, pause_at=1)

    def refuse(self, source, key):
        raise MachineError("cannot write s3://bucket (it does not exist); check it")

    def upload_twice(self, source, key):
        monkeypatch.setattr(RemoteStore, "upload", refuse)
        return upload(self, source, key)

    monkeypatch.setattr(RemoteStore, "upload", upload_twice)
    aborted = run(job)[-1]
    assert isinstance(aborted, Aborted)
    assert aborted.reason == "cannot write s3://bucket (it does not exist); check it"
    monkeypatch.setattr(RemoteStore, "upload", upload)
    events = run(job, pause_at=4)
    assert isinstance(events[0], Started)
    assert events[0].resumed_from == 3, "two was uploaded, and three was written here"


def test_what_was_uploaded_from_elsewhere_is_newer_than_an_old_copy(job, root, other_machine):
    first = open_folder(job)
    (first.folder / "state").write_text("old")
    publish(first, "state")
    other_machine("there")
    second = open_folder(job)
    assert (second.folder / "state").read_text() == "old"
    (second.folder / "state").write_text("newer")
    publish(second, "state")
    other_machine("here")
    assert (open_folder(job).folder / "state").read_text() == "newer"
    open_store(root).delete(f"{TRIAL}/state")
    assert not (open_folder(job).folder / "state").exists(), "it was deleted there"


def test_the_files_of_a_users_code_are_uploaded_if_they_have_changed(job, root, monkeypatch):
    files = open_folder(job).folder / USER_FILES_FOLDER
    (files / "a").mkdir(parents=True)
    (files / "a" / "x").write_text("1")
    (files / "y").write_text("2")
    uploaded = []
    upload = RemoteStore.upload
    monkeypatch.setattr(
        RemoteStore, "upload", lambda *a: (uploaded.append(a[2].removeprefix(TRIAL)), upload(*a))[1]
    )
    here = job_on_this_machine(job)
    publish(here, USER_FILES_FOLDER)
    (files / "y").write_text("changed")
    (files / "a" / "x").unlink()
    publish(here, USER_FILES_FOLDER)
    assert uploaded == ["/files/a/x", "/files/y", "/files/y"]
    assert [*open_store(root).files(TRIAL)] == ["files/y"]


def test_copies_that_nobody_continues_are_deleted_after_a_week(job, monkeypatch):
    abandoned = open_folder(job).folder
    monkeypatch.setattr(module, "ABANDONED_FOLDER_SECONDS", -1.0)
    open_folder(replace(job, folder_url=job.folder_url.replace("00007", "00008")))
    assert not abandoned.exists()


def test_without_a_url_nothing_is_copied(job, tmp_path):
    local = replace(job, folder_url=None)
    assert open_folder(local) is local
    publish(local, CHECKPOINT_FILE)
    assert not (tmp_path / "here").exists()
