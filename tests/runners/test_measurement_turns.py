"""Measurements take turns across processes, survive kills, and wait a bounded time for quiet."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from attentune.runners import measurement_turns
from attentune.runners.measurement_turns import (
    OtherProcesses,
    least_core_usage,
    measurement_turn,
    wait_for_quiet_core,
)

HOLDER = """
import time
from attentune.runners import measurement_turns
measurement_turns.MAX_QUIET_SECONDS = 0.0
with measurement_turns.measurement_turn():
    print("measuring", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(measurement_turns, "least_core_usage", lambda: 0.0)


def test_processes_take_turns_and_a_killed_one_gives_its_turn_back(monkeypatch):
    monkeypatch.setattr(measurement_turns, "MAX_TURN_SECONDS", 0.1)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "measuring\n"
        with measurement_turn() as problem:
            assert problem == "other measurements took longer than 0 s"
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with measurement_turn() as problem:
        assert problem is None
    with measurement_turn() as problem:  # The turn before has ended.
        assert problem is None


def test_without_a_cache_folder_it_is_measured_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "file"))
    with measurement_turn() as problem:
        assert problem.startswith("measurements could not take turns (")


def test_a_measurement_waits_for_a_quiet_core_but_not_for_ever(monkeypatch):
    usage = iter([0.9, 0.5, 0.1, 0.9])
    monkeypatch.setattr(measurement_turns, "least_core_usage", lambda: next(usage))
    assert wait_for_quiet_core()
    assert next(usage) == 0.9  # It waited for the third sample, and no longer.
    monkeypatch.setattr(measurement_turns, "least_core_usage", lambda: 0.9)
    monkeypatch.setattr(measurement_turns, "MAX_QUIET_SECONDS", 0.0)
    assert not wait_for_quiet_core()
    with measurement_turn() as problem:
        assert problem == "no core was idle"


def test_the_least_used_core_of_this_process_is_found(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(measurement_turns.psutil, "cpu_percent", lambda *_, **__: [90.0, 5.0, 40.0])
    monkeypatch.setattr(measurement_turns.os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    assert least_core_usage() == pytest.approx(0.4)


def test_the_share_of_other_processes_does_not_include_this_one(monkeypatch):
    clocks = iter([(0.0, 10.0), (2.0, 13.0)])
    monkeypatch.setattr(OtherProcesses, "_clocks", lambda _: next(clocks))
    monkeypatch.setattr(measurement_turns.psutil, "cpu_count", lambda: 2)
    assert OtherProcesses().share() == pytest.approx(0.75)
    monkeypatch.undo()
    others, until = OtherProcesses(), time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0 <= others.share() <= 1
