"""The loop in the follower's process: when it ends, and what it says."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest
from attentune.errors import StudyError
from attentune.studies.database.connection import TransientError
from attentune.studies.followers import child_process
from attentune.studies.followers.child_process import FollowerLoop
from attentune.studies.followers.target import TrackerTarget


class Script:
    """A follower whose updates succeed or raise as a list says, one after the other."""

    def __init__(self, *outcomes, running=0):
        self.outcomes, self.running, self.updates, self.closed = list(outcomes), running, 0, False

    def is_running(self):
        self.running -= 1
        return self.running >= 0

    def update(self):
        self.updates += 1
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(child_process, "SECONDS_BETWEEN_READINGS", 0.0)
    monkeypatch.setattr(child_process, "RETRY_SECONDS", (0.0,))


def run(script, *, while_running=True):
    messages = io.StringIO()
    loop = FollowerLoop(
        script, TrackerTarget.parse("mlflow"), messages, while_running=while_running
    )
    if not while_running:
        loop.end_with_stdin()
    code = loop.run()
    assert script.closed
    return code, messages.getvalue().splitlines()


def test_a_study_is_followed_until_no_process_runs_it_and_then_read_once_more():
    script = Script(running=3)
    assert run(script) == (0, [])
    assert script.updates == 4


def test_an_error_is_said_once_and_so_is_its_end():
    script = Script(ConnectionError("no\nserver"), ConnectionError("no"), running=3)
    code, lines = run(script)
    assert code == 0
    assert lines == [
        "Wmlflow: no server. It is tried again; the study goes on.",
        "Imlflow: logging goes on, and nothing is missing.",
    ]


def test_an_error_of_the_last_update_is_a_failure():
    code, lines = run(Script(ConnectionError()))
    assert (code, lines) == (1, ["Wmlflow: ConnectionError."])


def test_a_study_that_is_gone_ends_the_loop():
    script = Script(StudyError("there is no study 's'."))
    script.is_running = lambda: (_ for _ in ()).throw(StudyError("gone"))
    assert run(script) == (1, ["Wmlflow: there is no study 's'."])


def test_a_server_that_is_restarted_does_not_end_the_loop():
    lost = TransientError("postgresql://host/db cannot be used: the connection was closed.")
    script = Script(None, lost, running=2)
    outcomes = [True, lost, True, False]

    def is_running():
        outcome = outcomes.pop(0)
        if isinstance(outcome, TransientError):
            raise outcome
        return outcome

    script.is_running = is_running
    assert run(script) == (
        0,
        [
            "Wmlflow: postgresql://host/db cannot be used: the connection was closed. It is tried "
            "again; the study goes on.",
            "Imlflow: logging goes on, and nothing is missing.",
        ],
    )
    assert script.updates == 4


def test_a_search_is_followed_until_stdin_ends(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    script = Script(running=100)
    assert run(script, while_running=False) == (0, [])
    assert script.updates == 1
