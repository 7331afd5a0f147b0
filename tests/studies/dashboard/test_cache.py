"""Cached values are as new as the trials that they follow from."""

from __future__ import annotations

import threading
import time

import pytest
from attentune.studies.dashboard import cache
from attentune.studies.dashboard.cache import ComputationError, VersionedCache


def test_a_value_is_computed_once_per_version() -> None:
    cached, calls = VersionedCache(), []

    def compute() -> int:
        calls.append(1)
        return len(calls)

    assert [cached.get("a", compute), cached.get("a", compute)] == [1, 1]
    cached.versions["complete"] += 1
    assert cached.get("a", compute) == 2
    cached.versions["any"] += 1
    assert cached.get("a", compute) == 2


def test_the_least_recently_used_value_is_removed_first(monkeypatch) -> None:
    monkeypatch.setattr(cache, "MAX_VALUES", 2)
    cached = VersionedCache()
    for name in ("a", "b"):
        cached.get(name, lambda: 1)
    cached.get("a", lambda: 2)
    cached.get("c", lambda: 1)
    assert cached.get("a", lambda: 3) == 1
    assert cached.get("b", lambda: 3) == 3


def test_while_a_thread_computes_the_earlier_value_is_shown(monkeypatch) -> None:
    monkeypatch.setattr(cache, "PAUSE_FACTOR", 0)
    monkeypatch.setattr(cache, "FIRST_WAIT_SECONDS", 60.0)
    cached, release = VersionedCache(), threading.Event()
    assert cached.get_in_background("a", lambda: 1) == 1
    version = cached.version
    cached.versions["complete"] += 1

    def compute() -> int:
        release.wait(60)
        return 2

    assert cached.get_in_background("a", compute) == 1
    release.set()
    while cached.version == version:
        time.sleep(0.01)
    assert cached.get_in_background("a", compute) == 2


def test_a_computation_that_fails_is_logged_and_stated_instead_of_awaited(
    monkeypatch, caplog
) -> None:
    monkeypatch.setattr(cache, "PAUSE_FACTOR", 0)
    monkeypatch.setattr(cache, "FIRST_WAIT_SECONDS", 60.0)
    cached, calls = VersionedCache(), []

    def fail() -> int:
        calls.append(1)
        raise ZeroDivisionError("division by zero")

    version = cached.version
    for _ in range(2):
        with pytest.raises(ComputationError, match="ZeroDivisionError: division by zero"):
            cached.get_in_background("a", fail)
    assert len(calls) == 1
    assert cached.version != version
    assert "Traceback" in caplog.text
    cached.versions["complete"] += 1
    with pytest.raises(ComputationError):
        cached.get_in_background("a", lambda: 2)  # Until the new value is there.
    while cached._computing:
        time.sleep(0.01)
    assert cached.get_in_background("a", lambda: 3) == 2
