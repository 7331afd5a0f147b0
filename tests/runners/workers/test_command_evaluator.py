"""Trials that a user's own script trains, as a subprocess."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import replace

import psutil
import pytest
import torch
from attentune.runners.events import Decision, EpochDone, Failed, Finished, Stopped
from attentune.runners.results import USER_FILES_FOLDER, USER_OUTPUT_FILE, Costs
from attentune.runners.user_evaluation import UserEvaluation
from attentune.runners.workers.trial import run_trial


@pytest.fixture
def play(job, tmp_path):
    def play(code, decisions=None):
        """All events of a trial that a Python script with this code trains."""
        script = tmp_path / "train.py"
        script.write_text(f"import json, os, pathlib, signal, sys, time\n{code}")
        evaluation = UserEvaluation(
            target=shlex.join([sys.executable, "train.py"]),
            kind="command",
            folder=str(tmp_path),
            metrics=("miou:max:%",),
        )
        events = []

        def send(event):
            events.append(event)
            epoch = event.report.epoch if isinstance(event, EpochDone) else None
            return (decisions or {}).get(epoch, Decision.GO_ON)

        own = replace(job, evaluation=evaluation, metric="miou", costs=Costs(1, 1))
        run_trial(own, send, device=torch.device("cpu"))
        return events

    return play


def test_a_script_reads_its_trial_and_prints_its_metrics(play, job):
    events = play(
        """
assert os.environ["ATTENTUNE_ARCHITECTURE"].startswith("test_resnet+")
assert os.environ["ATTENTUNE_SPLIT"] == "validation"
assert os.environ["ATTENTUNE_DEVICE"] == "cpu"
seed, epochs = int(os.environ["ATTENTUNE_SEED"]), int(os.environ["ATTENTUNE_EPOCHS"])
print("loading")
for epoch in range(1, epochs + 1):
    print("ATTENTUNE", json.dumps({"epoch": epoch, "miou": epoch / 10, "train_loss": 1.5}))
print("ATTENTUNE", json.dumps({"dice": 0.7}))
"""
    )
    reports = [event.report for event in events if isinstance(event, EpochDone)]
    assert [(r.epoch, r.score, r.train_loss) for r in reports] == [
        (1, 0.1, 1.5), (2, 0.2, 1.5), (3, 0.3, 1.5),
    ]  # fmt: skip
    assert events[-1].result.metrics == {"miou": 0.3, "dice": 0.7}
    output = job.folder / USER_FILES_FOLDER / USER_OUTPUT_FILE
    assert output.read_text().startswith("loading\n")


def test_a_script_may_write_its_metrics_to_a_file(play):
    result = play(
        """
with open(os.environ["ATTENTUNE_METRICS"], "a") as file:
    file.write(json.dumps({"epoch": 1, "miou": 0.2}) + "\\n")
    file.flush()
    file.write(json.dumps({"miou": 0.4}))
    file.write("\\n")
"""
    )[-1].result
    assert (result.metric_score, result.epochs) == (0.4, 1)


@pytest.mark.parametrize(
    ("code", "kind", "sentences"),
    [
        ("pass", "invalid", ["has ended without reporting a metric", 'ATTENTUNE {"epoch": 1, "mi']),
        ("sys.exit('no masks')", "error", ["ended with exit code 1", "no masks"]),
        ("os.kill(os.getpid(), signal.SIGKILL)", "error", ["was ended by SIGKILL"]),
        ("print('ATTENTUNE 0.5')", "invalid", ["the script reports '0.5', which is no JSON obj"]),
        ("print('ATTENTUNE {\"miou\": NaN}')", "diverged", ["reports that miou is nan"]),
        ('print(\'ATTENTUNE {"miou": "x"}\')', "invalid", ["miou is 'x', a str"]),
        ("print('ATTENTUNE {\"iou\": 0.5}')", "invalid", ["has measured no miou"]),
        ('print(\'ATTENTUNE {"epoch": 7, "miou": 0.5}\')', "invalid", ["reports epoch 7; "]),
    ],
)
def test_what_goes_wrong_is_said(play, code, kind, sentences):
    failed = play(code)[-1]
    assert isinstance(failed, Failed)
    assert failed.failure.kind == kind
    assert all(sentence in failed.failure.message for sentence in sentences)


def test_a_command_that_does_not_exist_fails_its_trial(job, tmp_path):
    evaluation = UserEvaluation(
        target="./train", kind="command", folder=str(tmp_path), metrics=("miou:max",)
    )
    events = []
    own = replace(job, evaluation=evaluation, metric="miou", costs=Costs(1, 1))
    run_trial(own, lambda e: events.append(e) or Decision.GO_ON, device=torch.device("cpu"))
    assert "cannot be started" in events[-1].failure.message


def test_a_script_that_is_stopped_can_save_its_state_and_leaves_nothing_behind(play, job):
    code = """
import subprocess
folder = pathlib.Path(os.environ["ATTENTUNE_FOLDER"])
child = subprocess.Popen(["sleep", "50"])
(folder / "child").write_text(str(child.pid))
def save(*_):
    (folder / "saved").write_text("state")
    sys.exit()
signal.signal(signal.SIGTERM, save)
print("ATTENTUNE", json.dumps({"epoch": 1, "miou": 0.1}), flush=True)
time.sleep(50)
"""
    began = time.monotonic()
    events = play(code, {1: Decision.PAUSE})
    assert isinstance(events[-1], Stopped)
    assert time.monotonic() - began < 25
    files = job.folder / USER_FILES_FOLDER
    assert (files / "saved").read_text() == "state"
    child = int((files / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    finished = play('print("ATTENTUNE", json.dumps({"miou": 0.5}))')[-1]
    assert isinstance(finished, Finished)
