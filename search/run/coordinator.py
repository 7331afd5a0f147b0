"""The loop that runs a study: one process that owns every proposal and every write.

It keeps the workers busy, records what they say, and answers after every epoch. An interrupt lets
the running epochs end and be saved; whatever is unfinished then, or after a crash, goes on from its
last epoch at the next resume.
"""

from __future__ import annotations

import math
import shlex
import time
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from ...errors import TrialError
from ...runners.events import (
    Decision,
    EpochDone,
    Event,
    Failed,
    Finished,
    Measured,
    Rejected,
    Started,
    Stopped,
    WorkerDied,
)
from ...runners.results import Costs, EpochReport, Failure, Job
from ...runners.workers.pool import Pool
from ...spaces.architecture import Architecture
from ...studies.config import RunPlan, StudyConfig
from ...studies.records import CONFIRM, TrialRecord
from ..pruning.base import Pruner
from ..trial_source import Proposal, TrialSource
from .study_lease import StudyLease

MAX_LOST_WORKERS = 3
"""A trial that loses so many workers has failed."""
MAX_FAILURES_AT_START = 3
"""If so many trials fail before any succeeds, the study stops."""
HEARTBEAT_SECONDS = 5.0
"""Seconds between two signs of life in the database."""


class Callback(Protocol):
    """Somebody who wants to know what happens: the live display, a test."""

    def trial_started(self, trial: RunningTrial) -> None:
        """A worker has taken the trial."""

    def happened(self, trial: RunningTrial, event: Event) -> None:
        """An event of a running trial, after it was recorded."""

    def tick(self) -> None:
        """Some time has passed."""


@dataclass
class RunningTrial:
    """A trial that a worker has now."""

    job: Job
    role: str
    began: float
    costs: Costs | None = None
    pruned: str | None = None

    @property
    def number(self) -> int:
        """The trial's number in its study."""
        return self.job.number

    @property
    def architecture(self) -> Architecture:
        """What is being trained."""
        return self.job.architecture


class Coordinator:
    """Runs one study until its plan is fulfilled or it is told to stop."""

    def __init__(
        self,
        lease: StudyLease,
        config: StudyConfig,
        plan: RunPlan,
        trial_source: TrialSource,
        pruner: Pruner,
        pool: Pool,
    ) -> None:
        self.lease, self.store, self.record = lease, lease.store, lease.record
        self.config, self.plan = config, plan
        self.trial_source, self.pruner, self.pool = trial_source, pruner, pool
        self.earlier = trial_source.recover()
        self.running: dict[int, RunningTrial] = {}
        self.waiting = [trial for trial in self.earlier if trial.state == "running"]
        self.losses: Counter[int] = Counter()
        self.done = len(self.earlier) - len(self.waiting)
        self.failures_only = 0
        self.stopping = False
        self._beat = 0.0

    def stop(self) -> None:
        """Start nothing more; let running epochs end and be saved."""
        self.stopping = True

    @property
    def left(self) -> float:
        """Seconds until a budget of time is used up, at the pace of as many workers as run now."""
        limits = [math.inf]
        if self.plan.budget is not None:
            limits.append(self.plan.budget - self.lease.wall)
        if self.plan.device_budget is not None:
            limits.append((self.plan.device_budget - self.lease.device) / max(1, len(self.running)))
        return max(0.0, min(limits))

    def run(self, watcher: Callback) -> None:
        """Run to the end of the plan, or until stopped; `watcher` is told of everything."""
        self.watcher = watcher
        try:
            while True:
                self._fill()
                self.trial_source.write_pending()
                if not self.running:
                    return
                for event in self.pool.events(timeout=0.5):
                    self._handle(event)
                self._expire()
                self._heartbeat()
                self.watcher.tick()
        finally:
            self._heartbeat(force=True)

    def _fill(self) -> None:
        """Give every idle worker something to do, unfinished trials first."""
        while self.pool.idle and not self._enough():
            if self.waiting:
                self._start(_again(self.waiting.pop(0)))
            else:
                self._start(self.trial_source.next_trial())

    def _enough(self) -> bool:
        if self.stopping or not self.left:
            return True
        return not self.waiting and self._all_begun()

    def _all_begun(self) -> bool:
        return self.done + len(self.running) >= self.plan.trials

    def _start(self, new: Proposal) -> None:
        job = Job(
            number=new.number,
            architecture=new.architecture,
            recipe=self.config.recipe,
            seed=new.seed,
            folder=self.store.trial_folder(self.record, new.number),
            measure=self.config.measured,
            limits=self.config.limits,
            costs=new.costs,
            reference_latency_ms=self.config.reference_latency_ms,
            test=new.role == CONFIRM,
        )
        trial = self.running[new.number] = RunningTrial(job, new.role, time.monotonic())
        self.pool.start(job)
        self.trial_source.write_pending()
        self.watcher.trial_started(trial)

    def _handle(self, event: Event) -> None:
        """Record one event, then let the watcher know."""
        trial = self.running.get(event.number)
        if trial is None:
            return
        study, number = self.record, event.number
        match event:
            case Started():
                self.store.trials.set_worker(study, number, event.worker)
            case Measured():
                trial.costs = event.costs
                self.store.trials.set_costs(study, number, event.costs)
            case EpochDone():
                self.lease.device += event.report.seconds
                self.trial_source.on_epoch(number, event.report)
                self.pool.reply(number, self._answer(trial, event.report))
                self.store.epochs.record(study, number, event.report)
                if event.report.epoch == trial.job.recipe.epochs and not self._all_begun():
                    self.trial_source.ask_ahead(trial.job, event.report.accuracy)
            case Finished():
                self.store.trials.finish(study, number, event.result)
                self._ended(number)
            case Failed():
                self.store.trials.fail(study, number, event.failure)
                self._ended(number)
                self._give_up_early(event.failure, trial.role)
            case Rejected():
                self.trial_source.reject(number, trial.architecture, event.costs, event.reason)
                del self.running[number]
            case Stopped() if trial.pruned is not None:
                self.store.trials.prune(
                    study,
                    number,
                    trial.pruned,
                    seconds=event.seconds,
                    device_seconds=event.device_seconds,
                    environment=event.environment,
                )
                self._ended(number)
            case Stopped():
                del self.running[number]
            case WorkerDied():
                self._lost(trial, event)
        self.watcher.happened(trial, event)

    def _answer(self, trial: RunningTrial, report: EpochReport) -> Decision:
        """What the worker is to do after an epoch. The last one is never the time to stop."""
        if report.epoch < trial.job.recipe.epochs and trial.costs is not None:
            trial.pruned = self.pruner.judge(trial.job, trial.role, report, trial.costs)
            if trial.pruned is not None:
                return Decision.PRUNE
        return Decision.PAUSE if self.stopping else Decision.GO_ON

    def _ended(self, number: int) -> None:
        trial = self.store.trials.get(self.record, number)
        self.trial_source.on_trial_end(trial)
        self.pruner.on_trial_end(trial)
        del self.running[number]
        self.done += 1

    def _give_up_early(self, failure: Failure, role: str) -> None:
        """Stop a study of which nothing works, instead of failing to the end of its plan."""
        self.failures_only += 1
        if self.done == self.failures_only == MAX_FAILURES_AT_START:
            verb = "confirm" if role == CONFIRM else "resume"
            command = f"attentune {verb} {shlex.quote(self.record.name)}"
            raise TrialError(
                failure.kind,
                f"the first {MAX_FAILURES_AT_START} trials all failed, the last with: "
                f"{failure.message} Fix the cause, then continue with `{command}`.",
            )

    def _lost(self, trial: RunningTrial, event: WorkerDied) -> None:
        """Let another worker go on from the last epoch, unless this happens again and again."""
        self.losses[trial.number] += 1
        if self.losses[trial.number] < MAX_LOST_WORKERS:
            del self.running[trial.number]
            self.waiting.insert(0, self.store.trials.get(self.record, trial.number))
        else:
            message = f"{event.reason}; {MAX_LOST_WORKERS} workers were lost over this trial"
            self.store.trials.fail(self.record, trial.number, Failure("worker_died", message))
            self._ended(trial.number)

    def _expire(self) -> None:
        limit = self.plan.trial_timeout
        if limit is None:
            return
        for trial in list(self.running.values()):
            if time.monotonic() - trial.began > limit:
                self.pool.kill(trial.number)
                failure = Failure("timeout", f"the trial took longer than {limit:g} s")
                self._handle(Failed(trial.number, failure))

    def _heartbeat(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._beat >= HEARTBEAT_SECONDS:
            self._beat = now
            self.lease.beat()


def _again(trial: TrialRecord) -> Proposal:
    """A trial that was begun; what it costs is counted anew if that was never recorded."""
    architecture = Architecture.parse(trial.architecture)
    return Proposal(trial.number, architecture, trial.seed, trial.role, trial.counted)
