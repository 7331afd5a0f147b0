"""A process is recognised by boot, PID namespace, number and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from attentune.studies.database import process_identity
from attentune.studies.database.process_identity import ProcessIdentity

IDENTIFY = (
    "from attentune.studies.database.process_identity import ProcessIdentity as P;"
    "print(P.current(), flush=True); input()"
)


def test_this_process_is_alive() -> None:
    identity = ProcessIdentity.current()
    assert identity.is_alive() is True
    assert ProcessIdentity.current() == identity


def test_a_process_is_alive_until_it_has_ended_also_while_it_is_stopped() -> None:
    command = [sys.executable, "-c", IDENTIFY]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        identity = eval(other.stdout.readline())
        assert isinstance(identity, ProcessIdentity)
        assert identity.pid == other.pid
        assert identity.is_alive() is True
        other.send_signal(signal.SIGSTOP)
        os.waitpid(other.pid, os.WUNTRACED)
        assert identity.is_alive() is True
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert identity.is_alive() is False, "a zombie is dead"
        other.wait()
        assert identity.is_alive() is False


def test_a_later_process_with_the_same_number_is_another_one() -> None:
    identity = ProcessIdentity.current()
    assert identity.start is not None
    assert replace(identity, start=identity.start - 1).is_alive() is False


@pytest.mark.parametrize("field", ["boot_id", "pid_namespace"])
@pytest.mark.parametrize("value", ["another", None])
def test_nothing_is_known_of_a_process_elsewhere(field: str, value: str | None) -> None:
    assert replace(ProcessIdentity.current(), **{field: value}).is_alive() is None


def test_a_hidden_process_may_be_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Linux with `hidepid`, where /proc shows a user only processes of their own."""
    identity = ProcessIdentity.current()

    def hide(pid: int) -> float | None:
        raise process_identity.psutil.NoSuchProcess(pid)

    monkeypatch.setattr(process_identity, "_start_time", hide)
    if Path("/proc/self").exists():
        assert identity.is_alive() is None


def test_a_system_without_proc_is_asked_through_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_identity, "_ON_LINUX", False)
    process_identity._boot_id.cache_clear()
    try:
        identity = ProcessIdentity.current()
        assert identity.is_alive() is True
        assert identity.pid_namespace == "none"
        assert replace(identity, start=1.0).is_alive() is False
    finally:
        process_identity._boot_id.cache_clear()
