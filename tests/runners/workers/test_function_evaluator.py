"""Trials that a user's own function trains."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import own_training
import psutil
import pytest
import torch
from attentune.runners.events import Decision, EpochDone, Failed, Finished, Stopped
from attentune.runners.results import (
    RESULT_FILE,
    UNMOVED_ATTENTIONS,
    USER_FILES_FOLDER,
    USER_OUTPUT_FILE,
    Costs,
)
from attentune.runners.user_evaluation import UserEvaluation
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse

TESTS = Path(__file__).parents[2]
ATTENTION = parse("test_resnet+se(r=4,start=identity)@all.residual")


@pytest.fixture
def play(job):
    def play(function, decisions=None, metric="miou:max:%", **changes):
        """All events of a trial that a function of `own_training` trains."""
        evaluation = UserEvaluation(
            target=f"own_training:{function}",
            kind="function",
            folder=str(TESTS),
            metrics=(metric,),
        )
        fields = {"costs": Costs(1, 1), "num_classes": 2, **changes}
        events = []

        def send(event):
            events.append(event)
            epoch = event.report.epoch if isinstance(event, EpochDone) else None
            return (decisions or {}).get(epoch, Decision.GO_ON)

        own = replace(job, evaluation=evaluation, metric=evaluation.searched.key, **fields)
        run_trial(own, send, device=torch.device("cpu"))
        return events

    return play


@pytest.mark.parametrize(
    ("function", "kind", "sentence"),
    [
        ("raises", "error", "FileNotFoundError: no masks in /data"),
        ("exits", "error", "called sys.exit(3); it has to return its metrics"),
        ("fails_in_its_own_way", "out_of_memory", "too many images"),
        ("reports_nan", "diverged", "reports for epoch 1 that miou is nan"),
        ("reports_infinity", "diverged", "reports for epoch 1 that miou is inf"),
        ("reports_text", "invalid", "miou is 'good', a str; it has to be a number"),
        ("reports_truth", "invalid", "miou is True, a bool; it has to be a number"),
        ("reports_percent", "invalid", "miou is 71; it is a fraction from 0 to 1"),
        ("reports_too_late", "invalid", "reports epoch 9 after epoch 0; epochs are counted from 1"),
        ("reports_epoch_zero", "invalid", "reports epoch 0 after epoch 0"),
        ("reports_epoch_one_only", "invalid", "returned nothing after 1 of 3 epochs"),
        ("reports_another_name", "invalid", "reports no miou for epoch 1"),
        ("returns_text", "invalid", "returns that miou is 'good', a str"),
        ("returns_nothing", "invalid", 'it has to return {"miou": …}'),
        ("returns_another_name", "invalid", "has measured no miou"),
        ("returns_array", "invalid", "miou is an array of (2,); it has to be a number"),
        ("returns_nan", "diverged", "returns that miou is nan"),
        ("NUMBER", "invalid", "own_training:NUMBER is no function (int)"),
        ("raise", "invalid", "own_training has no raise; did you mean 'raises'?"),
    ],
)
def test_what_goes_wrong_is_said_in_one_sentence(play, function, kind, sentence):
    failed = play(function)[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == kind
    assert sentence in failed.failure.message
    assert "\n" not in failed.failure.message


def test_a_number_or_named_metrics_may_be_returned_without_reports(play):
    finished = play("returns_number")[-1]
    assert isinstance(finished, Finished)
    assert (finished.result.metric_score, finished.result.epochs) == (0.5, 3)
    assert math.isnan(finished.result.accuracy)
    metrics = play("returns_metrics", number=2)[-1].result.metrics
    assert metrics == {"miou": pytest.approx(0.5), "dice": 0.6}


def test_the_score_of_a_metric_to_be_minimised_is_its_negative(play):
    events = play("ignores_decisions", metric="miou:min:mm")
    assert [e.report.score for e in events if isinstance(e, EpochDone)] == [-0.1, -0.2, -0.3]
    assert events[-1].result.metric_score == -0.9


def test_training_without_the_attention_is_no_result(play):
    failed = play("ignores_attention", architecture=ATTENTION)[-1]
    assert isinstance(failed, Failed)
    assert "has trained without the attention of its trial" in failed.failure.message
    for number, function in enumerate(("reads_attention", "returns_number")):
        finished = play(function, architecture=ATTENTION, number=number + 5)[-1]
        assert isinstance(finished, Finished)


def test_attentions_that_were_not_trained_are_recorded(play):
    result = play("trains_a_copy", architecture=ATTENTION)[-1].result
    unmoved, total = result.environment[UNMOVED_ATTENTIONS].split(" of ")
    assert int(unmoved) == int(total) > 1


def test_attentions_of_a_registered_model_are_watched(play):
    failed = play("registers_and_makes_another", architecture=ATTENTION)[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.message == (
        "own_training:registers_and_makes_another has registered the architecture of its trial as "
        "'searched', and has made no model of that name; use it in place of the backbone's own name"
    )
    finished = play("trains_a_registered_model", architecture=ATTENTION, number=8)[-1]
    assert UNMOVED_ATTENTIONS not in finished.result.environment


def test_all_output_goes_to_the_file_of_the_trial(play, job, capfd):
    assert isinstance(play("logs")[-1], Finished)
    output = (job.folder / USER_FILES_FOLDER / USER_OUTPUT_FILE).read_text().splitlines()
    assert output[1:] == ["logged", "printed by a child"]
    assert capfd.readouterr() == ("", "")


def test_a_function_that_ignores_a_decision_ends_nevertheless(play):
    events = play("ignores_decisions", {1: Decision.PRUNE})
    assert [e.report.epoch for e in events if isinstance(e, EpochDone)] == [1]
    assert isinstance(events[-1], Stopped)


def test_what_a_function_changes_in_its_process_does_not_outlast_the_trial(play):
    assert isinstance(play("changes_its_process")[-1], Finished)
    assert torch.get_default_dtype() == torch.float32


def test_processes_may_be_started_and_those_left_are_ended(play, job):
    assert play("loads_with_processes")[-1].result.metric_score == pytest.approx(0.6)
    result = play("leaves_a_process", folder=job.folder.parent / "other")[-1].result
    assert result.environment["processes left running"] == "1"
    output = (job.folder.parent / "other" / USER_FILES_FOLDER / USER_OUTPUT_FILE).read_text()
    pid = int(output.split()[-1])
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_random_numbers_are_paired_by_the_seed(play, job):
    def draw(number, **changes):
        folder = job.folder.parent / f"draw-{number}"
        return play("draws_numbers", folder=folder, **changes)[-1].result.metric_score

    assert draw(1, seed=1) == draw(2, seed=1, architecture=ATTENTION) != draw(3, seed=2)


def test_an_interrupted_training_equals_an_uninterrupted_one(play, job):
    changes = {
        "architecture": parse("own_training:make_segmenter+se(r=4,start=identity)@all.post"),
        "recipe": job.recipe.model_copy(update={"input": (3, 8, 12)}),
    }
    whole = play("train_segmenter", folder=job.folder.parent / "whole", **changes)
    parts = play("train_segmenter", {2: Decision.PAUSE}, **changes)
    assert isinstance(parts[-1], Stopped)
    parts += play("train_segmenter", **changes)

    def curve(events):
        return [(e.report.epoch, e.report.score) for e in events if isinstance(e, EpochDone)]

    assert curve(parts) == curve(whole)
    assert [epoch for epoch, _ in curve(parts)] == [1, 2, 3]
    assert parts[-1].result.metrics == whole[-1].result.metrics
    assert UNMOVED_ATTENTIONS not in whole[-1].result.environment


def test_the_time_of_a_trial_is_that_of_all_its_runs(play, job):
    stopped = play("by_formula", {1: Decision.PAUSE}, metric="miou:max")[-1]
    (job.folder / "time.json").write_text("[1000.0, 500.0]")
    result = play("by_formula", metric="miou:max")[-1].result
    assert stopped.seconds < 100
    assert result.seconds > 1000
    assert result.device_seconds > 500
    assert not (job.folder / "time.json").exists()


def test_a_result_that_was_not_recorded_is_not_trained_again(play, job, monkeypatch):
    first = play("returns_number")[-1].result
    monkeypatch.setattr(own_training, "returns_number", own_training.raises)
    assert play("returns_number")[-1].result == first
    path = job.folder / RESULT_FILE
    facts = json.loads(path.read_text())
    facts["result"]["metric_score"] = "high"
    path.write_text(json.dumps(facts))
    assert isinstance(play("returns_number")[-1], Failed)
