"""Callbacks: which methods are called, in which order, and what happens if one raises."""

from __future__ import annotations

import inspect
import logging

import pytest
from attentune.runners.results import EpochReport
from attentune.search.run.callback import Callback, RunningTrial, RunOutcome
from attentune.studies.config import Pruning
from attentune.studies.records import TrialRecord
from rich.console import Console

METHODS = [name for name, _ in inspect.getmembers(Callback, inspect.isfunction)]


class Journal(Callback):
    """Records all calls."""

    def __init__(self):
        self.lines = []

    def on_study_start(self, study):
        self.study = study
        self.lines.append(("study start", study.done))

    def on_trial_start(self, trial: RunningTrial):
        self.lines.append(("start", trial.number))

    def on_epoch(self, trial: RunningTrial, report: EpochReport):
        assert trial.last_report == report
        self.lines.append(("epoch", trial.number, report.epoch))

    def on_trial_end(self, trial: RunningTrial, record: TrialRecord):
        assert trial.number not in self.study.running
        self.lines.append(("end", record.number, record.state))

    def on_trial_rejected(self, trial: RunningTrial, reason: str):
        self.lines.append(("rejected", trial.number, reason))

    def on_trial_interrupted(self, trial: RunningTrial, reason: str | None):
        self.lines.append(("interrupted", trial.number, reason))

    def on_stop_requested(self):
        self.lines.append(("stop",))

    def on_study_end(self, outcome: RunOutcome):
        self.lines.append(("study end", outcome.finished, outcome.trials))


def failing(method):
    """A callback that raises in one method."""

    def fail(self, *_):
        raise ValueError(f"no {method}")

    return type("Failing", (Callback,), {method: fail})()


def test_callbacks_hear_of_starts_epochs_and_ends_in_order(bench):
    journal = Journal()
    bench.run("s", 2, bench.config(recipe={"epochs": 2}), callbacks=[journal])
    assert journal.lines == [
        ("study start", 0),
        ("start", 0),
        ("epoch", 0, 1),
        ("epoch", 0, 2),
        ("end", 0, "complete"),
        ("start", 1),
        ("epoch", 1, 1),
        ("epoch", 1, 2),
        ("end", 1, "complete"),
        ("study end", True, 2),
    ]


def test_every_start_is_followed_by_one_end(bench):
    """Also where workers die, trials are pruned, and the study is stopped and resumed."""
    journal = Journal()
    bench.pool.dies_after_epoch = [2, 2, 2, 3]
    pruning = Pruning(pruner="asha", first=2 / 9, eta=2, signal="accuracy")
    config = bench.config(sampler="random", pruning=pruning, recipe={"epochs": 9})

    def stop(study, trial, report):
        if trial.number == 12 and report.epoch == 1:
            study.stop()

    bench.run("s", 14, config, on_epoch=stop, callbacks=[journal])
    bench.run("s", 14, callbacks=[journal])
    running, ends = None, []
    for kind, *details in journal.lines:
        if kind == "start":
            assert running is None
            running = details[0]
        elif kind in ("end", "interrupted"):
            assert running == details[0]
            running = None
            ends.append((kind, details[1]))
    assert running is None
    assert ("end", "failed") in ends
    assert ("end", "pruned") in ends
    assert ("interrupted", None) in ends
    assert ("interrupted", "worker w1 was ended by SIGKILL") in ends
    kinds = [kind for kind, *_ in journal.lines]
    assert kinds.index("stop") < kinds.index("study end")
    assert [line for line in journal.lines if line[0] == "study end"] == [
        ("study end", False, 12),
        ("study end", True, 14),
    ]


@pytest.mark.parametrize("method", METHODS)
def test_a_callback_that_raises_loses_no_result_and_is_logged(bench, caplog, method):
    journal = Journal()

    def stop(study, trial, _report):
        if trial.number == 3:
            study.stop()

    bench.pool.dies_after_epoch = [2]
    with caplog.at_level(logging.ERROR, logger="attentune"):
        bench.run("s", 5, bench.config(), on_epoch=stop, callbacks=[failing(method), journal])
        bench.run("s", 5)
    assert [state for *_, state, _ in bench.rows("s")] == ["complete"] * 5
    assert journal.lines[-1][0] == "study end"
    if method != "on_trial_rejected":  # nothing is rejected here
        assert f"Failing raised ValueError('no {method}'); the study continues" in caplog.messages


def test_on_study_end_is_called_after_an_error_too(bench):
    from attentune.errors import TrialError

    journal = Journal()
    bench.pool.fails = True
    with pytest.raises(TrialError):
        bench.run("s", 9, bench.config(), callbacks=[journal])
    assert [line for line in journal.lines if line[0] == "end"] == [
        ("end", number, "failed") for number in range(3)
    ]
    assert journal.lines[-1] == ("study end", False, 3)


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_display_is_a_callback(bench, terminal):
    from attentune.search.cli.progress import LiveDisplay

    console = Console(width=120, force_terminal=terminal, record=True)
    bench.pool.dies_after_epoch = [2]
    bench.run("s", 7, bench.config(), callbacks=[LiveDisplay(console)])
    text = console.export_text()
    assert "continues from epoch 1" in text
    assert text.count("baseline") == 5
    assert "7/7" in text
