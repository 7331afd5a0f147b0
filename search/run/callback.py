"""What a running study tells to whoever wants to know: a display, an experiment tracker, a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...runners.results import Costs, EpochReport, Job
from ...spaces.architecture import Architecture
from ...studies.config import RunPlan, StudyConfig
from ...studies.records import TrialRecord
from ...studies.text.formatting import plural


@dataclass
class RunningTrial:
    """A trial that a worker has now.

    Attributes:
        role: what the trial is for, one of the roles in `studies.records`.
        started: when its worker took it, in seconds of `time.monotonic`.
        costs: what its architecture costs, once the worker has measured it.
        last_report: its last epoch in this run; None before the first.
        pruned: why it is being stopped; None if it is not.
    """

    job: Job
    role: str
    started: float
    costs: Costs | None = None
    last_report: EpochReport | None = None
    pruned: str | None = None

    @property
    def number(self) -> int:
        """The trial's number in its study."""
        return self.job.number

    @property
    def architecture(self) -> Architecture:
        """What is being trained."""
        return self.job.architecture


@dataclass(frozen=True)
class RunOutcome:
    """How a run of a study ended.

    Attributes:
        finished: whether the plan was fulfilled; false after an interrupt or an error.
        trials: how many trials have ended so far, those of earlier runs included.
    """

    finished: bool
    trials: int

    @property
    def sentence(self) -> str:
        """What an interrupted run tells the user."""
        return f"Stopped after {plural(self.trials, 'trial')}. Everything is saved."


class RunningStudy(Protocol):
    """A study while it runs, as callbacks see it."""

    config: StudyConfig
    plan: RunPlan

    @property
    def earlier(self) -> Sequence[TrialRecord]:
        """The trials that were recorded before this run, by number."""

    @property
    def running(self) -> Mapping[int, RunningTrial]:
        """The trials that run now, by number."""

    @property
    def done(self) -> int:
        """How many trials have ended, those of earlier runs included."""

    @property
    def seconds_left(self) -> float:
        """Seconds until a budget of time is used up; infinite without one."""

    @property
    def stopping(self) -> bool:
        """Whether no trial will be started any more."""

    def stop(self) -> None:
        """Start no more trials. Running epochs end and are saved."""


class Callback:
    """Is told what happens in a running study. Override what you need; every method does nothing.

    Each method is called in the coordinator's process, after what it tells about has been recorded.
    The coordinator waits meanwhile, so it should return soon. An exception in a callback is logged
    with its traceback, and the study continues: a display or a tracker that fails must not lose a
    result.

    Every `on_trial_start` is followed by exactly one of `on_trial_end`, `on_trial_rejected` and
    `on_trial_interrupted`, unless the run itself ends with an error.
    """

    def on_study_start(self, study: RunningStudy) -> None:
        """A run begins. `study` stays current while it lasts."""

    def on_trial_start(self, trial: RunningTrial) -> None:
        """A worker has been given the trial, to start it or to resume it."""

    def on_epoch(self, trial: RunningTrial, report: EpochReport) -> None:
        """The trial has finished an epoch."""

    def on_trial_end(self, trial: RunningTrial, record: TrialRecord) -> None:
        """The trial is complete, pruned or failed: `record.state` says which."""

    def on_trial_rejected(self, trial: RunningTrial, reason: str) -> None:
        """A measured cost of the trial exceeds its limit. It was not trained and has no record."""

    def on_trial_interrupted(self, trial: RunningTrial, reason: str | None) -> None:
        """The trial will resume from its last epoch.

        In this run, if its worker was lost, which `reason` then describes; in the next run, if the
        study is being stopped.
        """

    def on_stop_requested(self) -> None:
        """Somebody has asked the study to stop, by Ctrl-C or `RunningStudy.stop`."""

    def on_study_end(self, outcome: RunOutcome) -> None:
        """The run is over, also if it was ended by an error."""
