"""What must be true of a study, whatever trains its trials (docs/architecture.md)."""

from __future__ import annotations

import pytest
from attentune.errors import MachineError, StoreError, TrialError
from attentune.runners.events import Started
from attentune.runners.workers import report_watch
from attentune.studies.database.schema import LeaseRow
from sqlalchemy import delete

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
    bench.run("s", 2, bench.config(recipe={"epochs": 50}), trial_timeout=100.0)
    trials = bench.store.trials.read(bench.store.studies.get("s"))
    assert {t.failure.kind for t in trials if t.failure} == {"timeout"}


def states(bench):
    return [trial.state for trial in bench.store.trials.read("s")]


def test_a_full_disk_stops_the_study_and_fails_no_trial(bench):
    """The trial that met the full disk, and those beside it, are resumed when there is space."""

    def fill(study, trial, report):
        bench.pool.disk_is_full = trial.number >= 7

    bench.pool.workers = 3
    with pytest.raises(
        MachineError, match=r"^No space left.*/data\. The study has stopped.*`attent"
    ):
        bench.run("s", 16, bench.config(sampler="random"), on_epoch=fill)
    assert set(states(bench)) == {"complete", "running"}
    bench.run("s", 16)
    assert states(bench) == ["complete"] * 16


def test_a_study_whose_workers_have_all_gone_waits_for_others(bench, monkeypatch):
    pool = type(bench.pool)
    waits = []

    def leave(study, trial, report):
        bench.pool.workers = 0

    def events(self, timeout):
        events = receive(self, timeout)
        if not events and not self.workers:
            waits.append(len(self.jobs))
            self.workers = int(len(waits) % 3 == 0)
        return events

    receive = pool.events
    monkeypatch.setattr(pool, "events", events)
    bench.run("s", 8, bench.config(sampler="random"), on_epoch=leave)
    assert states(bench) == ["complete"] * 8
    assert len(waits) >= 21
    assert set(waits) == {0}


def test_a_database_that_cannot_be_written_stops_the_study_after_the_running_epochs(
    bench, monkeypatch
):
    """No decision is lost and none is sent twice, whichever write is the first to fail."""
    bench.create("s", bench.config(sampler="random"))
    bench.pool.workers = 2
    begin, writes = bench.store._database.begin, 0
    for failing in range(9, 30, 5):

        def begin_until_full(mode, failing=failing):
            nonlocal writes
            writes += mode != "read"
            if writes > failing and mode != "read":
                raise StoreError("the database cannot be written, because the disk is full.")
            return begin(mode)

        writes = 0
        monkeypatch.setattr(bench.store._database, "begin", begin_until_full)
        with pytest.raises(MachineError, match=r"disk is full.*`attentune resume s`"):
            bench.run("s", 400)
        assert "failed" not in states(bench)
        monkeypatch.setattr(bench.store._database, "begin", begin)
        with begin("write") as connection:  # As when its process has ended.
            connection.execute(delete(LeaseRow))
    bench.run("s", len(states(bench)))
    assert set(states(bench)) == {"complete"}
    for trial in bench.store.trials.read("s"):
        epochs = [epoch.report.epoch for epoch in bench.store.epochs.read("s", trial.number)]
        assert epochs == [1, 2, 3]


def test_ten_failures_in_a_row_stop_the_study_and_resume_counts_anew(bench):
    bench.run("s", 5, bench.config(sampler="random"))
    bench.pool.fails = True
    for ended in (15, 25):
        with pytest.raises(TrialError, match=r"10 trials in a row have failed.*no such luck\. Fix"):
            bench.run("s", 100)
        assert len(states(bench)) == ended
    bench.pool.fails = False
    bench.run("s", 27)
    assert states(bench) == ["complete"] * 5 + ["failed"] * 20 + ["complete"] * 2


def test_a_file_that_cannot_be_used_is_said_and_costs_only_progress(bench, caplog, monkeypatch):
    def without_file(number, worker, resumed_from):
        reason = "checkpoint.safetensors is damaged" if number == 2 else None
        return Started(number, worker, resumed_from, reason)

    monkeypatch.setitem(type(bench.pool).start.__globals__, "Started", without_file)
    bench.run("s", 4, bench.config())
    warnings = [r.getMessage() for r in caplog.records if "cannot be used" in r.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith("Trial 2 ")
    assert [row[3] for row in bench.rows("s")] == ["complete"] * 4


def hang_in(bench, number):
    """Let the workers report nothing about a trial after its first epoch."""
    bench.new_pool = lambda new_pool=bench.new_pool: hanging(new_pool())

    def hanging(pool):
        report = pool._next
        pool._next = lambda job: (
            None if job.number == number and pool.epochs[job.folder] == 1 else report(job)
        )
        return pool


def test_a_worker_that_hangs_costs_its_trial_as_timeout(bench, monkeypatch):
    monkeypatch.setattr(report_watch, "MIN_SILENCE_SECONDS", 2.0)
    monkeypatch.setattr(report_watch, "MAX_SILENCE_EPOCHS", 0)
    hang_in(bench, 6)
    bench.run("s", 8, bench.config(sampler="random"))
    assert states(bench) == ["complete"] * 6 + ["failed", "complete"]
    failure = bench.store.trials.get("s", 6).failure
    assert failure.kind == "timeout"
    assert "reported nothing for" in failure.message
    assert "--trial-timeout" in failure.message


def test_a_stop_does_not_wait_for_a_worker_that_hangs_and_its_trial_can_be_resumed(
    bench, monkeypatch, caplog
):
    monkeypatch.setattr(report_watch, "MIN_STOP_SECONDS", 2.0)
    monkeypatch.setattr(report_watch, "MAX_STOP_EPOCHS", 0)
    bench.create("s", bench.config(sampler="random"))
    new_pool = bench.new_pool
    hang_in(bench, 6)
    bench.run("s", 8, on_epoch=lambda study, trial, _: trial.number == 6 and study.stop())
    assert states(bench) == ["complete"] * 6 + ["running"]
    assert "Trial 6 did not end its epoch within" in caplog.text
    bench.new_pool = new_pool
    bench.run("s", 8)
    assert states(bench) == ["complete"] * 8


def test_a_trial_that_no_worker_takes_ends_the_run_and_is_resumed(bench, monkeypatch):
    start = type(bench.pool).start

    def refuse(pool, job):
        if job.number == 2:
            raise RuntimeError("no worker")
        start(pool, job)

    with monkeypatch.context() as patched:
        patched.setattr(type(bench.pool), "start", refuse)
        with pytest.raises(RuntimeError, match="no worker"):
            bench.run("s", 6, bench.config())
    bench.run("s", 6)
    assert [state for *_, state, _ in bench.rows("s")] == ["complete"] * 6


@pytest.mark.parametrize(("most_images", "state"), [(32, "complete"), (31, "failed")])
def test_a_trial_above_its_memory_is_tried_once_more_with_micro_batches(bench, most_images, state):
    bench.run("s", 5, bench.config(sampler="random", recipe={"batch_size": 128}))
    bench.pool.most_images = most_images
    bench.run("s", 6, trial_memory=4096.0)
    assert states(bench) == ["complete"] * 5 + [state]
    jobs = [(job.number, job.micro_batches, job.memory_limit_mib) for job in bench.pool.started]
    assert jobs == [(5, 1, 4096.0), (5, 4, 4096.0)]
    failure = bench.store.trials.get("s", 5).failure
    if failure is not None:
        assert failure.kind == "out_of_memory"
        assert failure.message.endswith("(also with 4 micro-batches per step)")
