"""Forecasts of a running search, and searches that end once they have converged."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest
from attentune.search.run import session
from attentune.search.run.gain_forecasts import last_forecast_count
from attentune.search.run.session import run_study


def forecasts(bench: Any, name: str) -> tuple[Any, ...]:
    gains: tuple[Any, ...] = bench.store.studies.get(name).config.expected_gains
    return gains


@pytest.fixture
def run(bench: Any, monkeypatch: Any) -> Any:
    """Runs the study `s` as a process of its own, with workers that need no time."""
    monkeypatch.setattr(session, "make_pool", lambda *_: bench.new_pool())
    monkeypatch.setattr(session, "warm_up", lambda: None)
    bench.create("s", bench.config(sampler="random"))

    def run(**changes: Any) -> Any:
        return run_study(bench.store, bench.store.studies.get("s"), [], changes)

    return run


def test_forecasts_are_made_at_fixed_numbers_of_trials() -> None:
    counts = list(dict.fromkeys(map(last_forecast_count, range(1, 430))))
    assert counts[:5] == [0, 10, 15, 20, 25]
    steps = [later - count for count, later in itertools.pairwise(counts[1:])]
    assert steps == sorted(steps)
    assert counts[-2:] == [400, 420]


@pytest.mark.parametrize("sampler", ["additive", "nsga2"])
def test_a_resumed_study_makes_the_same_forecasts(bench: Any, sampler: str) -> None:
    config = bench.config(sampler=sampler)
    bench.run("whole", 16, config)
    bench.run("s", 12, config)
    assert [gain.after for gain in forecasts(bench, "s")] == [10]
    bench.run("s", 16)
    assert bench.rows("s") == bench.rows("whole")
    assert forecasts(bench, "s") == forecasts(bench, "whole")
    assert [gain.after for gain in forecasts(bench, "s")] == [10, 15]


def test_a_search_ends_once_it_has_converged_and_says_why(run: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, logger="attentune")
    outcome = run(until="converged", min_gain=100.0, trials=40)
    assert (outcome.finished, outcome.trials) == (True, 10)
    assert "The search has converged: 20 more trials are expected to add" in caplog.text
    assert "less than the 100 of --min-gain. To continue nevertheless:" in caplog.text
    assert "`attentune resume s --until trials`" in caplog.text
    assert run().trials == 10, "it stays so"
    assert run(until="trials", trials=12).trials == 12


def test_the_number_of_trials_is_an_upper_bound(run: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, logger="attentune")
    assert run(until="converged", min_gain=1e-6, trials=11).trials == 11
    assert "All 11 trials of the plan have ended before the search has converged" in caplog.text


def test_a_confirmation_does_not_converge(bench: Any, run: Any) -> None:
    run(until="converged", min_gain=100.0)
    bench.confirm("s", top=1, seeds=2)
    confirming = bench.store.trials.read("s", confirming=True)
    assert {trial.state for trial in confirming} == {"complete"}
