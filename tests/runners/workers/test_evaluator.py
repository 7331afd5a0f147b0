"""What every evaluator must do: the contract of `workers.evaluator.Evaluator`."""

from __future__ import annotations

import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from attentune.errors import TrialError
from attentune.runners.events import (
    Decision,
    EpochDone,
    Failed,
    Finished,
    Measured,
    Rejected,
    Started,
    Stopped,
)
from attentune.runners.results import CHECKPOINT_FILE, Costs, EpochReport
from attentune.runners.user_evaluation import UserEvaluation
from attentune.runners.workers.command_evaluator import CommandEvaluator
from attentune.runners.workers.function_evaluator import FunctionEvaluator
from attentune.runners.workers.recipe_evaluator import RecipeEvaluator
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[2]


class FormulaEvaluator:
    """An evaluator of a user: accuracy is a formula of the epoch."""

    def evaluate(self, trial):
        if "s9" in str(trial.job.architecture):
            raise TrialError("invalid", "there is no s9")
        trial.report_costs(Costs(params=10, macs=20))
        for epoch in range(trial.last_report.epoch + 1, trial.job.recipe.epochs + 1):
            report = EpochReport(epoch, 1.0, epoch / 10, 1.0, 0.1, seconds=0.01)
            if trial.report(report) is not Decision.GO_ON:
                return None
        return trial.result(trial.last_report.accuracy, {"formula": "epoch / 10"})


class ForgetfulEvaluator:
    """An evaluator that returns no result although the trial was not stopped."""

    def evaluate(self, trial):
        trial.report_costs(Costs(params=10, macs=20))


def function_evaluator():
    return FunctionEvaluator(
        UserEvaluation(
            target="own_training:by_formula",
            kind="function",
            folder=str(TESTS),
            metrics=("accuracy",),
        )
    )


def command_evaluator():
    lines = "".join(
        f'print("ATTENTUNE", json.dumps(dict(epoch={epoch}, accuracy={epoch / 10})), flush=True);'
        for epoch in (1, 2, 3)
    )
    code = f"import json, time; {lines} time.sleep(0.2)"
    return CommandEvaluator(
        UserEvaluation(
            target=shlex.join([sys.executable, "-c", code]),
            kind="command",
            folder=str(TESTS),
            metrics=("accuracy",),
        )
    )


@pytest.fixture(params=[FormulaEvaluator, RecipeEvaluator, function_evaluator, command_evaluator])
def evaluator(request):
    return request.param()


@pytest.fixture
def play(evaluator):
    def play(job, decisions=None, evaluator=evaluator):
        """All events of a trial; `decisions` after epochs, by number."""
        events = []

        def send(event):
            events.append(event)
            epoch = event.report.epoch if isinstance(event, EpochDone) else None
            return (decisions or {}).get(epoch, Decision.GO_ON)

        job = replace(job, evaluation=getattr(evaluator, "evaluation", None))
        run_trial(job, send, device=CPU, evaluator=evaluator)
        return events

    return play


def test_costs_then_every_epoch_then_the_result_arrive_in_order(play, job):
    events = play(job)
    assert [type(e) for e in events] == [Started, Measured, *[EpochDone] * 3, Finished]
    assert [e.report.epoch for e in events if isinstance(e, EpochDone)] == [1, 2, 3]
    assert {event.number for event in events} == {job.number}
    result = events[-1].result
    assert (result.accuracy, result.epochs) == (events[-2].report.accuracy, 3)
    assert result.costs == events[1].costs
    assert result.device_seconds > 0
    assert result.cpu_load is None or 0 <= result.cpu_load <= 1  # None: it was too short.
    assert result.gpu_load is None
    assert result.environment["torch"] == torch.__version__


@pytest.mark.parametrize("decision", [Decision.PAUSE, Decision.PRUNE])
def test_a_decision_to_stop_is_honoured(play, job, decision):
    events = play(job, {1: decision})
    assert [type(e) for e in events] == [Started, Measured, EpochDone, Stopped]
    assert events[-1].epochs == 1
    assert events[-1].environment["torch"] == torch.__version__
    assert events[-1].cpu_load is None or 0 <= events[-1].cpu_load <= 1


@pytest.mark.parametrize("decision", [Decision.PAUSE, Decision.PRUNE])
def test_after_the_last_epoch_the_trial_is_complete_whatever_is_decided(play, job, decision):
    assert isinstance(play(job, {3: decision})[-1], Finished)


@pytest.mark.parametrize("decision", [Decision.GO_ON, Decision.PRUNE])
def test_a_checkpoint_stays_until_the_coordinator_has_recorded_the_end(play, job, decision):
    play(job, {1: Decision.PAUSE}, evaluator=RecipeEvaluator())
    assert (job.folder / CHECKPOINT_FILE).is_file()
    play(job, {2: decision}, evaluator=RecipeEvaluator())
    assert (job.folder / CHECKPOINT_FILE).is_file()


def test_an_exception_fails_the_trial_with_its_kind(play, job):
    events = play(replace(job, architecture=parse("test_resnet+se(r=4)@s9.residual")))
    assert [type(e) for e in events] == [Started, Failed]
    assert events[-1].failure.kind == "invalid"
    assert "s9" in events[-1].failure.message
    assert "Traceback" in events[-1].failure.traceback


def test_a_cost_above_its_limit_rejects_the_trial_untrained(play, job):
    events = play(replace(job, limits={"params": 1}))
    assert [type(e) for e in events] == [Started, Rejected]
    assert events[-1].reason.endswith("above the limit of 1")
    assert events[-1].costs.params >= 10


def test_a_paused_trial_continues_where_its_evaluator_can_save_it(play, job, evaluator):
    play(job, {2: Decision.PAUSE})
    events = play(job)
    resumed_from = 2 if isinstance(evaluator, RecipeEvaluator) else 0
    assert events[0].resumed_from == resumed_from
    assert isinstance(events[-1], Finished)
    epochs = [e.report.epoch for e in events if isinstance(e, EpochDone)]
    assert epochs == list(range(max(1, resumed_from), 4))  # the last one is reported again


class SpoiledEvaluator(FormulaEvaluator):
    """An evaluator one of whose numbers is not finite."""

    def __init__(self, place, value):
        self.place, self.value = place, value

    def evaluate(self, trial):
        trial.report_costs(Costs(params=10, macs=20))
        report = EpochReport(1, 1.0, 0.5, 1.0, 0.1, seconds=0.01)
        if self.place != "result":
            report = replace(report, **{self.place: self.value})
        trial.report(report)
        return trial.result(self.value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["train_loss", "accuracy", "val_loss", "result"])
def test_a_number_that_is_not_finite_has_diverged(play, job, place, value):
    failed = play(job, evaluator=SpoiledEvaluator(place, value))[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == "diverged"
    assert f"was {value} in epoch 1" in failed.failure.message


def test_an_evaluator_that_gives_up_by_itself_fails(play, job):
    failed = play(job, evaluator=ForgetfulEvaluator())[-1]
    assert isinstance(failed, Failed)
    assert "returned no result" in failed.failure.message
