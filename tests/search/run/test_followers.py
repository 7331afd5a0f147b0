"""Callbacks that log a study: they start a process with the study, and end it with it."""

from __future__ import annotations

import logging

import attentune
import pytest
from attentune.errors import StudyError, UsageError
from attentune.followers import MLflow, TensorBoard, WandB, follow
from attentune.search.run import followers
from attentune.search.run.followers import Follower
from attentune.studies.followers.target import TrackerTarget


@pytest.fixture
def processes(monkeypatch):
    """Records which processes would be started, and how long their ends are waited for."""
    started = []

    class Recorder:
        def __init__(self, *arguments):
            started.append(arguments)

        def end(self, seconds):
            started.append(seconds)

    monkeypatch.setattr(followers, "FollowerProcess", Recorder)
    monkeypatch.setattr(TrackerTarget, "require_package", lambda _: None)
    return started


def test_a_callback_starts_one_process_for_each_run(bench, processes):
    callback = Follower("mlflow:x", end_seconds=3.0)
    bench.run("s", 1, bench.config(recipe={"epochs": 1}), callbacks=[callback])
    bench.run("s", 2, callbacks=[callback])
    start = ("s", bench.store.url, TrackerTarget("mlflow", "x"), "search")
    assert processes == [start, 3.0, start, 3.0]


def test_a_process_that_cannot_be_started_does_not_end_the_study(bench, monkeypatch, caplog):
    def refuse(*_):
        raise OSError("no more processes")

    monkeypatch.setattr(followers, "FollowerProcess", refuse)
    with caplog.at_level(logging.ERROR, logger="attentune"):
        config = bench.config(recipe={"epochs": 1})
        bench.run("s", 1, config, callbacks=[Follower("tensorboard")])
    assert len(bench.rows("s")) == 1
    assert "the study continues" in caplog.text


def test_each_tool_has_a_callback(processes):
    assert TensorBoard().target == TrackerTarget("tensorboard", "runs")
    assert MLflow("http://x").target == TrackerTarget("mlflow", "http://x")
    assert WandB().target == TrackerTarget("wandb")
    assert isinstance(WandB("a/b"), attentune.Callback)


def test_following_what_does_not_exist_is_refused(tmp_path, bench):
    with pytest.raises(StudyError, match="no stud"):
        follow("nothing", "tensorboard", tmp_path / "bench.db")
    with pytest.raises(UsageError, match="names no experiment tracker"):
        follow("nothing", ["runs"], tmp_path / "bench.db")
