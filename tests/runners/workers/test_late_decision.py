"""A worker goes on without the decision about an epoch, and honours it when it comes."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace

import pytest
import torch
from attentune.errors import TrialError
from attentune.runners.events import (
    Decision,
    EpochDone,
    Failed,
    Finished,
    Measured,
    Started,
    Stopped,
)
from attentune.runners.results import Costs, EpochReport
from attentune.runners.training import train
from attentune.runners.workers import late_decision
from attentune.runners.workers.late_decision import LateDecision, patience
from attentune.runners.workers.pool import PoolSettings, make_pool
from attentune.runners.workers.recipe_evaluator import RecipeEvaluator
from attentune.runners.workers.trial import run_trial


class Late:
    """A decision that comes while the next epoch is trained, or only when it is waited for."""

    def __init__(self, decision, *, in_epoch=False):
        self.decision, self.in_epoch = decision, in_epoch
        self.was_awaited = False

    def wait(self, seconds=None):
        self.was_awaited |= seconds is None
        return self.decision if seconds is None or self.in_epoch else None


@pytest.fixture
def play(job):
    def play(late=None, evaluator=None, job=job):
        """All events of a trial; `late` are the decisions that come late, by epoch."""
        events = []

        def send(event):
            events.append(event)
            epoch = event.report.epoch if isinstance(event, EpochDone) else None
            return (late or {}).get(epoch, Decision.GO_ON)

        run_trial(job, send, device=torch.device("cpu"), evaluator=evaluator or RecipeEvaluator())
        return events

    return play


def reported(events):
    return [event.report.epoch for event in events if isinstance(event, EpochDone)]


def test_a_trial_whose_decisions_all_come_late_trains_as_any_other(play, job, tmp_path):
    late = {epoch: Late(Decision.GO_ON) for epoch in (1, 2, 3)}
    events = play(late)
    assert [type(e) for e in events] == [Started, Measured, *[EpochDone] * 3, Finished]
    assert reported(events) == [1, 2, 3]
    assert all(decision.was_awaited for decision in late.values())
    whole = play(job=replace(job, folder=tmp_path / "whole"))
    assert events[-1].result.accuracy == whole[-1].result.accuracy


def test_a_trial_that_is_pruned_late_reports_no_further_epoch(play):
    events = play({1: Late(Decision.PRUNE)})
    assert [type(e) for e in events] == [Started, Measured, EpochDone, Stopped]
    assert events[-1].epochs == 1
    # The second epoch was trained in vain, and has kept the device busy.
    assert events[-1].device_seconds > events[-2].report.seconds


def test_a_trial_that_is_pruned_late_stops_in_the_middle_of_the_epoch(play, monkeypatch):
    evaluations = []
    evaluate = train.evaluate

    def counted(*args, **kwargs):
        evaluations.append(1)
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(train, "evaluate", counted)
    decision = Late(Decision.PRUNE, in_epoch=True)
    events = play({1: decision})
    assert [type(e) for e in events] == [Started, Measured, EpochDone, Stopped]
    assert events[-1].epochs == 1
    assert events[-1].device_seconds > events[-2].report.seconds
    assert len(evaluations) == 1
    assert not decision.was_awaited


@pytest.mark.parametrize("in_epoch", [False, True])
def test_a_trial_that_is_paused_late_ends_its_epoch_and_repeats_the_report_before(
    play, job, tmp_path, in_epoch
):
    events = play({1: Late(Decision.PAUSE, in_epoch=in_epoch), 2: Decision.PAUSE})
    # Perhaps the search is being stopped because the first report could not be recorded.
    assert reported(events) == [1, 1, 2]
    assert isinstance(events[-1], Stopped)
    rest = play()
    assert rest[0].resumed_from == 2
    whole = play(job=replace(job, folder=tmp_path / "whole"))
    assert rest[-1].result.accuracy == whole[-1].result.accuracy


@pytest.mark.parametrize("decision", Decision)
def test_after_the_last_epoch_the_trial_is_complete_whatever_is_decided_late(play, decision):
    events = play({3: Late(decision)})
    assert reported(events) == [1, 2, 3]
    assert isinstance(events[-1], Finished)


class FailsInSecondEpoch:
    """An evaluator that fails after its first report."""

    def evaluate(self, trial):
        trial.report_costs(Costs(params=10, macs=20))
        trial.report(EpochReport(1, 1.0, 0.5, 1.0, 0.1, seconds=0.01))
        raise TrialError("diverged", "the training loss was nan in epoch 2")


class EndsEarly(FailsInSecondEpoch):
    """An evaluator that is done after one epoch of three."""

    def evaluate(self, trial):
        trial.report_costs(Costs(params=10, macs=20))
        trial.report(EpochReport(1, 1.0, 0.5, 1.0, 0.1, seconds=0.01))
        return trial.result(0.5)


@pytest.mark.parametrize("decision", [Decision.PRUNE, Decision.PAUSE])
def test_what_fails_after_the_epoch_that_was_to_be_the_last_is_no_failure(play, decision):
    assert isinstance(play({1: Late(decision)}, FailsInSecondEpoch())[-1], Stopped)


def test_what_fails_in_a_trial_that_may_go_on_is_one(play):
    decision = Late(Decision.GO_ON)
    failed = play({1: decision}, FailsInSecondEpoch())[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "diverged"
    assert decision.was_awaited  # The next job would take it for its own.


def test_a_trial_that_is_pruned_late_has_no_result(play):
    assert isinstance(play({1: Late(Decision.PRUNE)}, EndsEarly())[-1], Stopped)
    assert isinstance(play({1: Late(Decision.PAUSE)}, EndsEarly())[-1], Finished)


def test_a_late_decision_is_taken_from_the_pipe_once():
    ours, theirs = multiprocessing.Pipe()
    late = LateDecision(ours)
    assert late.wait(0.0) is None
    theirs.send(Decision.PRUNE)
    theirs.send("the next message")
    assert late.wait(10.0) is Decision.PRUNE
    assert late.wait() is Decision.PRUNE
    assert ours.recv() == "the next message"


def test_patience_is_a_small_part_of_an_epoch():
    assert patience(0.5) == late_decision.MIN_SECONDS
    assert patience(20.0) == pytest.approx(0.4)
    assert patience(3600.0) == late_decision.MAX_SECONDS


@pytest.mark.parametrize("last", [Decision.GO_ON, Decision.PRUNE])
def test_a_pool_whose_every_decision_is_late_serves_one_job_after_the_other(
    cache, job, follow, tmp_path, last
):
    del cache

    def decide(event):
        time.sleep(1.5 * late_decision.MIN_SECONDS)
        return last if event.report.epoch == 2 else Decision.GO_ON

    pool = make_pool("local", PoolSettings("cpu", workers=1))
    try:
        for number in (0, 1):
            pool.start(replace(job, number=number, folder=tmp_path / str(number)))
            events = follow(pool, decide=decide)
            assert {event.number for event in events} == {number}
            assert reported(events) == ([1, 2, 3] if last is Decision.GO_ON else [1, 2])
            assert isinstance(events[-1], Finished if last is Decision.GO_ON else Stopped)
    finally:
        pool.close()
