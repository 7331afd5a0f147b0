"""Callbacks of a running study: for a display, an experiment tracker, or a user's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...runners.results import Costs, EpochReport, Job
from ...spaces.architecture import Architecture
from ...studies.alternatives import alternative_kind
from ...studies.config import RunPlan, StudyConfig
from ...studies.estimator.study_model import StudyModel
from ...studies.records import StudyRecord, TrialRecord
from ...studies.text.formatting import plural


@dataclass
class RunningTrial:
    """A trial that a worker is running.

    Attributes:
        role: one of the roles in `studies.records`.
        started: when it was given to its worker, in seconds of `time.monotonic`.
        costs: of its architecture; None until the worker has measured them.
        last_report: its last epoch in this run; None before the first.
        pruned: why it is being pruned; None if it is not.
        recorded_epochs: epochs that were recorded before this run; some may be trained again.
    """

    job: Job
    role: str
    started: float
    costs: Costs | None = None
    last_report: EpochReport | None = None
    pruned: str | None = None
    recorded_epochs: int = 0

    @property
    def number(self) -> int:
        """The trial's number in its study."""
        return self.job.number

    @property
    def counts(self) -> bool:
        """Whether it is one of the plan's trials, as all are but those of alternatives."""
        return alternative_kind(self.role) is None

    @property
    def architecture(self) -> Architecture:
        """What is being trained."""
        return self.job.architecture


@dataclass(frozen=True)
class RunOutcome:
    """How a run of a study ended.

    Attributes:
        finished: whether the plan was completed; False after an interrupt or an error.
        trials: the number of trials that have ended, those of earlier runs included.
        extra_trials: the number of trials of alternatives that have ended in this run.
    """

    finished: bool
    trials: int
    extra_trials: int = 0

    @property
    def sentence(self) -> str:
        """The message to the user after an interrupted run."""
        return f"Stopped after {plural(self.trials, 'trial')}. Everything is saved."


class RunningStudy(Protocol):
    """A study while it runs, as callbacks see it."""

    config: StudyConfig
    plan: RunPlan
    record: StudyRecord

    @property
    def database(self) -> str:
        """The URL of the database, password included, for a process that reads it."""

    @property
    def earlier(self) -> Sequence[TrialRecord]:
        """The trials that were recorded before this run, by number."""

    @property
    def model(self) -> StudyModel:
        """The model of the study, from which the estimates that are shown follow."""

    @property
    def running(self) -> Mapping[int, RunningTrial]:
        """The trials that run now, by number."""

    @property
    def done(self) -> int:
        """The number of trials that have ended, those of earlier runs included."""

    @property
    def seconds_left(self) -> float:
        """Seconds until the first time budget is used up; infinite if there is none."""

    @property
    def stopping(self) -> bool:
        """Whether the study is being stopped, so that no more trials are started."""

    def stop(self) -> None:
        """Start no more trials. Running epochs end and are saved."""


class Callback:
    """Called while a study runs. Override the methods that you need; by default they do nothing.

    Each method is called in the coordinator's process, after the event has been recorded. The
    coordinator waits until it returns, so it should return soon. An exception in a callback is
    logged with its traceback, and the study continues: a display or a tracker that fails must not
    lose a result.

    Every `on_trial_start` is followed by exactly one of `on_trial_end`, `on_trial_rejected` and
    `on_trial_interrupted`, unless the run itself ends with an error.
    """

    def on_study_start(self, study: RunningStudy) -> None:
        """A run begins. `study` is kept up to date during the run."""

    def on_trial_start(self, trial: RunningTrial) -> None:
        """The trial was given to a worker, which starts or resumes it."""

    def on_epoch(self, trial: RunningTrial, report: EpochReport) -> None:
        """The trial has finished an epoch."""

    def on_trial_end(self, trial: RunningTrial, record: TrialRecord) -> None:
        """The trial has ended: `record.state` is `complete`, `pruned` or `failed`."""

    def on_trial_rejected(self, trial: RunningTrial, reason: str) -> None:
        """A measured cost of the trial exceeds its limit. It was not trained and has no record."""

    def on_trial_interrupted(self, trial: RunningTrial, reason: str | None) -> None:
        """The trial was interrupted and will resume from its last epoch.

        If its worker was lost, it resumes in this run, and `reason` says what happened. If the
        study is being stopped, it resumes in the next run, and `reason` is None.
        """

    def on_stop_requested(self) -> None:
        """The study stops after its running epochs, because of Ctrl-C, `RunningStudy.stop` or an
        error."""

    def on_study_end(self, outcome: RunOutcome) -> None:
        """The run has ended, possibly with an error."""
