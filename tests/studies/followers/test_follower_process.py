"""The follower as a process: what it says is logged, and it never holds up its parent."""

from __future__ import annotations

import logging
import os
import time
from types import SimpleNamespace

import psutil
import pytest
from attentune.studies.followers import child_process, follower_process
from attentune.studies.followers.follower_process import FollowerProcess
from attentune.studies.followers.target import TrackerTarget

URL = "postgresql://me:secret@host/db"


def followers():
    """The processes that follow; other tests may have left some that have ended."""
    children = psutil.Process().children()
    running = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in running if "hanging_followers" in child.cmdline()]


@pytest.fixture
def start(monkeypatch, caplog):
    """Starts a stand-in that does what the name of the study says."""
    caplog.set_level(logging.INFO, logger="attentune")
    stand_in = SimpleNamespace(**vars(child_process) | {"__name__": "hanging_followers"})
    monkeypatch.setattr(follower_process, "child_process", stand_in)
    target = TrackerTarget.parse("mlflow:http://me:secret@host:5000")
    processes = []

    def run(study):
        processes.append(FollowerProcess(study, URL, target, child_process.SEARCH))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()


def test_messages_are_logged_and_the_database_is_no_argument(start, caplog):
    process = start("ends")
    while not caplog.messages:  # Then it runs, and the system knows its arguments.
        time.sleep(0.01)
    (child,) = followers()
    assert URL not in child.cmdline()
    assert process.end(10)
    assert f"ends mlflow:http://me:secret@host:5000 search {URL}" in caplog.messages
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(("set_by_user", "used"), [(None, "20"), ("7", "7")])
def test_a_server_that_is_gone_is_soon_noticed_unless_the_user_waits(
    start, caplog, monkeypatch, set_by_user, used
):
    if set_by_user is not None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", set_by_user)
    assert start("ends").end(10)
    assert f"timeout {used}" in caplog.messages


def test_a_tracker_that_hangs_is_killed_after_a_bounded_time(start, caplog):
    process = start("hangs")
    began = time.monotonic()
    assert not process.end(0.3)
    assert time.monotonic() - began < 5
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "not everything is logged; `attentune follow hangs --to 'mlflow:" in warning
    assert "secret" not in warning
    assert not followers()


def test_a_process_that_crashes_is_said_once(start, caplog):
    process = start("crashes")
    process._reader.join(10)
    assert not process.end(10)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "has ended (exit code 17). The study goes on; `attentune follow crashes" in warning


def test_a_tracker_that_fails_at_the_end_is_said(start, caplog):
    assert not start("fails").end(10)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings[0] == "no server"
    assert "not everything is logged" in warnings[1]


def test_an_empty_entry_of_the_search_path_is_the_current_folder(start, monkeypatch):
    monkeypatch.syspath_prepend("")
    assert start("ends").end(10)
    assert os.environ.get("ATTENTUNE_DB") != URL
