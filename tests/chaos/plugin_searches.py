"""Searches over an attention of a user that does what it must not do.

The search has to end as without it: every trial of the plan is recorded, the attention is named,
and every architecture without it has the same learning curve to the last bit as when it is trained
in a process that has never seen the attention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from attentune.runners.devices import torch_threads
from attentune.runners.events import Decision, EpochDone, Event
from attentune.runners.results import Job
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import Architecture
from attentune.studies.database.store import Store
from attentune.studies.records import RejectionRecord, TrialRecord

from .attack import AttackRun, Attempt
from .command import Ended, check_stated, run_attentune
from .hostile_plugins import HOSTILE, HostilePlugin
from .small_study import SETTINGS, STUDY

TRIALS, EPOCHS = 12, 3
COMMAND_SECONDS = 400.0
MAX_FAILURES = 8
"""Trials that an attention may cost: two at each of its four sites, because another trial may have
begun before the first one has failed."""

Curve = list[tuple[float, float, float]]


@dataclass
class PluginStudy:
    """What a database holds of a search.

    Attributes:
        trials: by number.
        rejections: in the order in which they were recorded.
        curves: training loss, validation loss and accuracy per epoch, by the number of the trial.
        jobs: what was trained, by the number of the trial.
    """

    trials: list[TrialRecord] = field(default_factory=list)
    rejections: list[RejectionRecord] = field(default_factory=list)
    curves: dict[int, Curve] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> PluginStudy:
        """Read the study in the database of a folder; without the attention's module."""
        study = cls()
        with Store.open(folder / "attentune.db", read_only=True) as store:
            record = store.studies.get(STUDY)
            study.trials = store.trials.read(record)
            study.rejections = store.trials.read_rejections(record)
            for epoch in store.epochs.read(record):
                study.curves.setdefault(epoch.number, []).append(_losses(epoch.report))
            recipe = record.config.json["study"]["recipe"]
            for trial in study.trials:
                study.jobs[trial.number] = _job(trial, recipe, folder)
        return study


def _job(trial: TrialRecord, recipe: dict[str, object], folder: Path) -> Job:
    from attentune.runners.recipe import Recipe

    return Job(
        trial.number,
        trial.parsed,
        Recipe.model_validate(recipe),
        trial.seed,
        folder / "again" / str(trial.number),
    )


def _losses(report: object) -> tuple[float, float, float]:
    names = ("train_loss", "val_loss", "accuracy")
    values = [float(getattr(report, name)) for name in names]
    return values[0], values[1], values[2]


_known_curves: dict[tuple[Architecture, int], Curve] = {}


def train_alone(job: Job) -> Curve:
    """The learning curve of a trial in this process, which imports no attention of a user."""
    key = job.architecture, job.seed
    if key not in _known_curves:
        curve: Curve = []

        def send(event: Event) -> Decision:
            if isinstance(event, EpochDone):
                curve.append(_losses(event.report))
            return Decision.GO_ON

        with torch_threads(1):
            run_trial(job, send, device=torch.device("cpu"))
        _known_curves[key] = curve
    return _known_curves[key]


def search_hostile_plugins(run: AttackRun) -> None:
    """Search over each hostile attention, then resume for one more trial."""
    for plugin in run.each(HOSTILE):
        with run.attempt(plugin) as attempt:
            attack(attempt, plugin)


def attack(attempt: Attempt, plugin: HostilePlugin) -> None:
    """One search over one attention."""
    folder = attempt.folder
    environment = {
        "PYTHONPATH": str(folder),
        "ATTENTUNE_PLUGINS": plugin.write(folder),
        "OMP_NUM_THREADS": "1",
    }
    words = ["search", STUDY, *SETTINGS, "--trials", str(TRIALS), "--epochs", str(EPOCHS)]
    words += ["--sampler", "random", "--seed", "1", "--workers", "1"]
    for attention in ("none", "se", plugin.name):
        words += ["--attention", attention]
    printed = []
    for command in (words, ["resume", STUDY, "--trials", str(TRIALS + 1)]):
        ended = run_attentune(
            *command, cwd=folder, seconds=COMMAND_SECONDS, environment=environment
        )
        if not check_stated(attempt, ended):
            return
        printed.append(ended)
        if plugin.caught == "import":
            check_refused(attempt, plugin, ended)
            return
        if ended.code != 0:
            attempt.unstated(f"the search ended: {ended.shown}")
            return
    check_plugin_study(attempt, plugin, PluginStudy.read(folder), printed)


def check_refused(attempt: Attempt, plugin: HostilePlugin, ended: Ended) -> None:
    """A module that cannot be imported ends the command, which says why."""
    if ended.code not in (1, 2) or plugin.words not in ended.error:
        attempt.unstated(f"the module was not named: {ended.shown}")


def check_plugin_study(
    attempt: Attempt, plugin: HostilePlugin, study: PluginStudy, printed: list[Ended]
) -> None:
    """Report what is wrong with a search over a hostile attention.

    Args:
        attempt: that is checked.
        plugin: the attention.
        study: after the search and its resume.
        printed: what both printed.
    """
    ended = [trial for trial in study.trials if trial.state in ("complete", "failed")]
    if len(ended) != TRIALS + 1:
        attempt.wrong(f"{len(ended)} of {TRIALS + 1} trials have ended")
    failed = [trial for trial in study.trials if trial.failure]
    with_plugin = [t for t in study.trials if f"+{plugin.name}" in t.architecture]
    for trial in set(failed) - set(with_plugin):
        attempt.wrong(f"trial {trial.number} failed without the attention: {trial.failure}")
    complete = [trial for trial in with_plugin if trial.state == "complete"]
    reasons = [rejection.reason for rejection in study.rejections]
    output = "".join(part.out + part.error for part in printed)
    match plugin.caught:
        case "check":
            if failed or (complete and plugin.name != "raises_on_its_map"):
                attempt.wrong(f"trials with the attention ran: {with_plugin}")
            for text in (*reasons, output):
                if plugin.words not in text or plugin.name not in text:
                    attempt.unstated(f"without its name or reason: {text[:300]}")
            if not reasons:
                attempt.wrong("nothing was rejected")
        case "training" | "lost":
            kind = "invalid" if plugin.caught == "training" else "worker_died"
            if not failed or complete:
                attempt.wrong(f"{len(failed)} trials have failed, {len(complete)} are complete")
            for trial in failed:
                if trial.failure.kind != kind or plugin.words not in trial.failure.message:
                    attempt.unstated(f"trial {trial.number}: {trial.failure}")
            if len(failed) > MAX_FAILURES:
                attempt.wrong(f"{len(failed)} trials were spent on it")
        case "harmless":
            if failed or study.rejections or not complete:
                attempt.wrong(f"failed {failed}, rejected {reasons[:1]}, complete {len(complete)}")
    for trial in set(ended) - set(with_plugin) - set(failed):
        expected, curve = train_alone(study.jobs[trial.number]), study.curves[trial.number]
        if curve != expected or any(math.isnan(value) for epoch in curve for value in epoch):
            attempt.wrong(f"trial {trial.number}, {trial.architecture}: {curve}, not {expected}")
