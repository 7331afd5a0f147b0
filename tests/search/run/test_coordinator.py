"""What must be true of a study, whatever trains its trials (docs/architecture.md)."""

from __future__ import annotations

import pytest
from attentune.errors import TrialError

BASELINES = [
    "test_resnet",
    "test_resnet+se(r=16,start=identity)@all.residual",
    "test_resnet+eca(start=identity)@all.residual",
    "test_resnet+cbam(r=16,start=identity)@all.residual",
    "test_resnet+ca(r=32,start=identity)@all.residual",
]


def test_an_interrupt_lets_the_epoch_end_and_resume_continues_from_it(bench):
    def interrupt(study, trial, report):
        if trial.number == 6 and report.epoch == 1:
            study.stop()

    stopped = bench.run("s", 12, bench.config(), on_epoch=interrupt)
    assert stopped.stopping
    running = [
        t for t in bench.store.trials.read(bench.store.studies.get("s")) if t.state == "running"
    ]
    assert [(t.number, t.epochs) for t in running] == [(6, 2)]

    bench.run("s", 12)
    assert bench.pool.started[0].number == 6
    bench.run("whole", 12, bench.config())
    assert bench.rows("s") == bench.rows("whole")


def test_totals_count_the_trials_of_earlier_runs(bench):
    bench.run("s", 7, bench.config())
    bench.run("s", 7)
    assert not bench.pool.started
    bench.run("s", 9)
    assert len(bench.pool.started) == 2


def test_a_lost_worker_costs_its_trial_one_epoch_and_the_study_continues(bench):
    bench.pool.dies_after_epoch = [2]
    bench.run("s", 6, bench.config())
    assert [state for *_, state, _ in bench.rows("s")] == ["complete"] * 6
    assert [job.number for job in bench.pool.started] == [0, 0, 1, 2, 3, 4, 5]


def test_a_trial_that_keeps_losing_workers_fails_and_the_study_continues(bench):
    bench.pool.dies_after_epoch = [2, 2, 2]
    bench.run("s", 6, bench.config())
    trials = bench.store.trials.read(bench.store.studies.get("s"))
    assert trials[0].failure.kind == "worker_died"
    assert [t.state for t in trials[1:]] == ["complete"] * 5


def test_a_study_whose_first_trials_fail_stops_and_repeats_its_baselines_later(bench):
    bench.pool.fails = True
    with pytest.raises(TrialError, match=r"first 3 trials all failed.*no such luck") as caught:
        bench.run("s", 30, bench.config())
    assert caught.value.kind == "error"
    assert len(bench.rows("s")) == 3

    bench.pool.fails = False
    bench.run("s", 12)
    bare = [state for _, text, _, state, _ in bench.rows("s") if text == "test_resnet"]
    assert bare[0] == "failed"
    assert bare[-1] == "complete"
    complete = [text for _, text, _, state, _ in bench.rows("s") if state == "complete"]
    assert complete[:5] == BASELINES


def test_a_time_budget_is_a_total_over_all_resumes(bench):
    record = bench.run("s", 6, bench.config()).record
    bench.store.studies.set_spent_seconds(record, 100.0)
    bench.run("s", 50, budget=99.0)
    assert not bench.pool.started


def test_a_trial_past_its_time_fails_as_timeout(bench, monkeypatch):
    from attentune.search.run import coordinator

    clock = iter(range(0, 10**6, 50))
    monkeypatch.setattr(coordinator.time, "monotonic", lambda: float(next(clock)))
    bench.run("s", 2, bench.config(recipe={"epochs": 50}), trial_timeout=500.0)
    trials = bench.store.trials.read(bench.store.studies.get("s"))
    assert {t.failure.kind for t in trials if t.failure} == {"timeout"}
