"""All trials of an architecture have the latency of its first measurement."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from dataclasses import replace

import pytest
from attentune.runners.events import Measured
from attentune.runners.results import Costs
from attentune.search.run.shared_latencies import SharedLatencies
from attentune.spaces.search_space.space import load_space
from attentune.studies.alternatives import ALTERNATIVE_ROLES
from attentune.studies.records import SEARCH
from example_records import trial


def timed(milliseconds: float, ratio: float | None = 1.5, error: float | None = 0.1) -> Costs:
    return Costs(
        100,
        200,
        latency_ms=milliseconds,
        latency_ratio=ratio,
        latency_ms_error=0.2,
        latency_ratio_error=error,
    )


def test_the_first_measurement_is_that_of_all_trials():
    latencies = SharedLatencies([])
    counted = Costs(100, 200)
    assert latencies.share("a", SEARCH, counted) == counted
    assert latencies.share("a", SEARCH, timed(5.0)) == timed(5.0)
    assert latencies.share("a", SEARCH, timed(6.0, 1.8)) == timed(5.0)
    assert latencies.share("a", SEARCH, replace(counted, memory_mib=9.0)) == replace(
        timed(5.0), memory_mib=9.0
    )
    assert latencies.share("b", SEARCH, counted) == counted


def test_recorded_latencies_count_unless_an_earlier_version_measured_them_without_errors():
    fields = {"latency_ms": 5.0, "latency_ratio": 1.5}
    errors = {"latency_ms_error": 0.2, "latency_ratio_error": 0.1}
    old, new = trial(0, "net+eca@all.mid", 0.5, **fields), trial(1, "net", 0.5, **fields, **errors)
    latencies = SharedLatencies([old, new])
    assert latencies.share(old.key, SEARCH, timed(7.0)).latency_ms == 7.0
    assert latencies.share(new.key, SEARCH, timed(7.0)).latency_ms == 5.0


def test_alternatives_train_the_bare_backbone_but_have_costs_of_their_own():
    latencies = SharedLatencies([])
    latencies.share("bare", SEARCH, timed(5.0, 1.0, 0.0))
    role = next(iter(ALTERNATIVE_ROLES.values()))
    assert latencies.share("bare", role, timed(9.0)) == timed(9.0)


@pytest.fixture
def noisy_latencies(bench, monkeypatch):
    """Measurements that differ each time; the machine is busy."""
    numbers = itertools.count(1)
    kinds = type(bench.pool)

    def costs(job):
        known = job.costs
        if known is not None and known.latency_ms is not None:
            return known
        return replace(timed(5.0 + next(numbers)), params=known.params, macs=known.macs)

    start = kinds.start

    def start_on_a_busy_machine(pool, job):
        start(pool, job)
        events = [
            replace(e, disturbance="no core was idle") if isinstance(e, Measured) else e
            for e in pool.queue
        ]
        pool.queue.clear()
        pool.queue.extend(events)

    monkeypatch.setattr(kinds, "_costs", staticmethod(costs))
    monkeypatch.setattr(kinds, "start", start_on_a_busy_machine)


def test_a_study_measures_every_architecture_once(bench, noisy_latencies, caplog):
    """Also after a resume, and if two trials of one architecture run at the same time."""
    caplog.set_level(logging.WARNING, "attentune")
    bench.pool.workers = 2
    space = load_space("quick", attentions=("none", "eca"), granularity="network")
    config = bench.config(objectives=("accuracy", "latency"), sampler="random", space=space)
    bench.run("s", 7, config)
    bench.run("s", 10)
    figures = defaultdict(set)
    trials = bench.store.trials.read("s", state="complete")
    for record in trials:
        figures[record.key].add((record.latency_ms, record.latency_ms_error))
    assert len(trials) == 10 > len(figures)
    assert all(len(distinct) == 1 for distinct in figures.values())
    announced = [r for r in caplog.records if "machine is busy while latencies" in r.message]
    assert len(announced) == 2  # once a run
