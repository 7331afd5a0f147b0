"""The loop that runs a study: one process that owns every proposal and every write.

It keeps the workers busy, records what they report, and replies to every epoch with a decision. An
event is recorded before anything follows from it: before the worker is told to go on, before
the trial source and the pruner learn of it, and before the callbacks are called.
After an interrupt, the running epochs end and are saved. The next run resumes unfinished trials
from their last epoch, also after a crash.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from ...errors import AttentuneError, MachineError, MissingStorageError, StudyError
from ...runners.events import (
    END_OF_TRIAL,
    Aborted,
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
from ...runners.results import EpochReport, Failure
from ...runners.workers.pool import Pool
from ...runners.workers.report_watch import ReportWatch
from ...studies.estimator.study_model import StudyModel
from ...studies.text.expected_gain import is_too_little
from ...studies.text.formatting import duration
from ..pruning.base import Pruner
from ..trial_source import Proposal, TrialSource
from .alternative_trials import ExtraTrials, NoExtraTrials
from .callback import Callback, RunningTrial, RunOutcome
from .failure_limits import FailureCounter, as_machine_error
from .lost_workers import LostWorkers
from .report_recorder import ReportRecorder
from .study_files import StudyFiles
from .study_jobs import StudyJobs, propose_resumed
from .study_lease import StudyLease
from .study_run import StudyRun
from .trial_timeout import why_overdue

MAX_STARTS_AT_ONCE = 32
"""Trials that are proposed, and recorded together, before reports are handled again."""
MAX_WORKERS_ASKED_AHEAD = 8
"""With more workers, no proposal is computed before a trial has ended."""
OVERDUE_CHECK_SECONDS = 0.1
"""Between two checks of which trials take too long."""

logger = logging.getLogger(__name__)


class Coordinator:
    """Runs one study until its plan is complete or it is stopped."""

    def __init__(
        self,
        run: StudyRun,
        lease: StudyLease,
        trial_source: TrialSource,
        pruner: Pruner,
        pool: Pool,
        callbacks: Sequence[Callback] = (),
        extra_trials: ExtraTrials | None = None,
    ) -> None:
        """Recover the state that an earlier run has left.

        Args:
            run: the study, and how long to run it.
            lease: the right to run it.
            trial_source: proposes the trials.
            pruner: decides which trials to stop early.
            pool: the workers.
            callbacks: called on every event.
            extra_trials: trials that run beside those of the source and do not count.
        """
        self.store, self.record, self.lease = run.store, run.record, lease
        self.config, self.plan = run.config, run.plan
        self.trial_source, self.pruner, self.pool = trial_source, pruner, pool
        self.callbacks = tuple(callbacks)
        self.files = StudyFiles(run)
        self._busy_announced = False
        self.earlier = trial_source.recover()
        self.running: dict[int, RunningTrial] = {}
        self.waiting = [trial for trial in self.earlier if trial.state == "running"]
        self.extra_trials = extra_trials or NoExtraTrials()
        self._lost_workers = LostWorkers()
        self._jobs = StudyJobs(run, self._lost_workers)
        self._reports = ReportRecorder(run.store, run.record, self._jobs)
        self.done = len(self.earlier) - len(self.waiting)
        self.waiting += self.extra_trials.recover()
        self.ended_extra_trials = 0
        self.failures = FailureCounter(
            self.record.name, trial_source.verb, self.done, self.plan.trials
        )
        self.watch = ReportWatch(self.store.epochs.longest_seconds(self.record))
        self.stopping = False
        self._error: Exception | None = None
        self._awaiting_decision: set[int] = set()
        self._unwritten: list[RunningTrial] = []
        self._next_overdue_check = 0.0

    def stop(self) -> None:
        """Start no more trials. Running epochs end and are saved."""
        self.stopping = True
        self.store.stop_waiting()

    @property
    def model(self) -> StudyModel:
        """The model of the study, from which the estimates that are shown follow."""
        return self.trial_source.model

    @property
    def database(self) -> str:
        """The URL of the database, password included."""
        return self.store.url

    @property
    def seconds_left(self) -> float:
        """Seconds until the first time budget is used up, if as many workers stay busy as now."""
        return self.lease.seconds_left(self.plan, len(self.running))

    def run(self) -> RunOutcome:
        """Run to the end of the plan, or until stopped.

        Raises:
            TrialError: the first trials all failed, or many in a row.
            SpaceError: the limits leave nothing to propose.
            StudyError: another process has taken over the study.
            MachineError: the disk is full, for example. Running epochs have ended and are saved as
                far as possible.
        """
        completed = False
        try:
            self._notify(lambda callback: callback.on_study_start(self))
            self.files.clean_up()
            self._run()
            with self._stopping_on_error():
                self.files.on_study_end()
                self.lease.renew()
            completed = not self.stopping
        except BaseException:
            with suppress(AttentuneError):  # What ends the run is what has to be reported.
                self.lease.renew()
            raise
        finally:
            outcome = RunOutcome(completed, self.done, self.ended_extra_trials)
            self._notify(lambda callback: callback.on_study_end(outcome))
        if self._error is not None:
            raise self._error
        return outcome

    def _run(self) -> None:
        stop_announced = False
        while True:
            more_to_start = False
            with self._stopping_on_error():
                more_to_start = self._start_trials()
            self._write_starts()
            if not self.running and not self._waits_for_workers():
                return
            events = self.pool.events(timeout=0.0 if more_to_start else 0.5)
            with self._stopping_on_error():
                self._reports.record_together(events, self.running)
            for event in events:
                self._handle_or_leave(event)
            self._end_overdue_trials()
            with self._stopping_on_error():
                self.lease.renew_when_due()
            if self.stopping and not stop_announced:
                stop_announced = True
                self._notify(lambda callback: callback.on_stop_requested())

    def _waits_for_workers(self) -> bool:
        """Whether there are trials left, but no worker: all nodes of a cluster may have left."""
        if self.pool.idle or self.stopping or not self.seconds_left:
            return False
        return bool(self.waiting) or not (self._all_started() or self._has_converged())

    @contextmanager
    def _stopping_on_error(self) -> Iterator[None]:
        """Let an error in the context stop the study after its running epochs, which are saved.

        `run` raises it then. If another process has taken over the study, or there is no place any
        more where epochs could be saved, it is raised at once.
        """
        try:
            yield
        except Exception as error:
            if self._error is None:
                if isinstance(error, StudyError | MissingStorageError):
                    raise
                artifacts = self.store.artifacts_of(self.record).folder
                verb = self.trial_source.verb
                self._error = as_machine_error(error, self.record.name, verb, [artifacts]) or error
            # Further errors follow from the first one, for example because no write succeeds.
            self.stopping = True
            logger.debug("the study stops: %r", error, exc_info=error)

    def _handle_or_leave(self, event: Event) -> None:
        """Handle an event. If that fails, the trial pauses, or is left as one to resume."""
        handled = False
        with self._stopping_on_error():
            self._handle(event)
            handled = True
        trial = self.running.get(event.number)
        if handled or trial is None:
            return
        if event.number in self._awaiting_decision:
            self._reply(event.number, Decision.PAUSE)
        if isinstance(event, END_OF_TRIAL):
            self._leave(trial)

    def _notify(self, call: Callable[[Callback], None]) -> None:
        """Call a method of every callback; an exception is logged."""
        for callback in self.callbacks:
            try:
                call(callback)
            except Exception as error:
                name = type(callback).__name__
                logger.exception("%s raised %r; the study continues", name, error)

    def _start_trials(self) -> bool:
        """Give idle workers trials, unfinished ones first. `_write_starts` must follow.

        Returns:
            Whether it has stopped before all workers had one, because epochs wait for decisions.
        """
        for _ in range(MAX_STARTS_AT_ONCE):
            if not self.pool.idle or self.stopping or not self.seconds_left:
                return False
            if (proposal := self._next_proposal()) is None:
                return False
            self._start(proposal)
        return True

    def _next_proposal(self) -> Proposal | None:
        """The trial that an idle worker trains next; None if there is nothing left to start."""
        if self.waiting:
            return propose_resumed(self.waiting.pop(0))
        all_started = self._all_started() or self._has_converged()
        if (extra := self.extra_trials.next_trial(only_these_left=all_started)) is not None:
            return extra
        return None if all_started else self.trial_source.next_trial()

    def _write_starts(self) -> None:
        """Record the trials that workers were given, and tell the callbacks."""
        started, self._unwritten = self._unwritten, []
        with self._stopping_on_error():
            self.trial_source.write_pending()
            self.extra_trials.write_pending()
        for trial in started:
            self._notify(partial(_tell_start, trial))

    def _has_converged(self) -> bool:
        """Whether the plan ends with convergence, and little is expected of further trials."""
        if self.plan.until != "converged":
            return False
        expected = self.trial_source.expected_gain()
        return is_too_little(self.plan, expected, self.record.metric)

    def _all_started(self) -> bool:
        if self.done + len(self.running) < self.plan.trials:
            return False
        running = sum(trial.counts for trial in self.running.values())
        return self.done + running >= self.plan.trials

    def _start(self, proposal: Proposal) -> None:
        job = self._jobs.make_job(proposal)
        trial = RunningTrial(
            job, proposal.role, time.monotonic(), recorded_epochs=proposal.recorded_epochs
        )
        if trial.counts:
            trial.job = job = self.trial_source.job(job)
        else:
            trial.job = job = self.extra_trials.job(job, proposal.role)
        self.running[proposal.number] = trial
        try:
            self.pool.start(job)
        except BaseException:  # No event of this trial will ever arrive.
            del self.running[proposal.number]
            raise
        self.watch.start(proposal.number)
        self._unwritten.append(trial)

    def _handle(self, event: Event) -> None:
        """Record one event of a running trial, then tell the callbacks."""
        trial = self.running.get(event.number)
        if trial is None:
            return
        study, number = self.record, event.number
        self.watch.record_report(
            number, event.report.seconds if isinstance(event, EpochDone) else None
        )
        match event:
            case Started():
                self._reports.record(event, trial)
                if event.unusable is not None:
                    logger.warning(
                        "Trial %d begins anew or from its checkpoint, because a file of its "
                        "earlier run cannot be used: %s",
                        number,
                        event.unusable,
                    )
            case Measured():
                self._handle_costs(trial, event)
            case EpochDone():
                self._handle_epoch(trial, event)
            case Finished():
                self._reports.record(event, trial)
                self._end(trial)
            case Failed():
                self.store.trials.fail(study, number, event.failure)
                self._end(trial)
            case Aborted():
                raise MachineError(event.reason)
            case Rejected():
                self.trial_source.reject(number, trial.architecture, event.costs, event.reason)
                del self.running[number]
                reason = event.reason
                self._notify(lambda callback: callback.on_trial_rejected(trial, reason))
            case Stopped():
                self._handle_stopped(trial, event)
            case WorkerDied():
                self._handle_lost_worker(trial, event)

    def _handle_costs(self, trial: RunningTrial, event: Measured) -> None:
        """Record the costs of a trial."""
        self._reports.record(event, trial)
        if event.disturbance is not None and not self._busy_announced:
            self._busy_announced = True
            logger.warning(
                "The machine is busy while latencies are measured, so their errors are larger: "
                "trial %d, %s.",
                trial.number,
                event.disturbance,
            )

    def _handle_epoch(self, trial: RunningTrial, event: EpochDone) -> None:
        """Record an epoch, then let the worker continue, so that no later one is recorded first."""
        report = event.report
        self._awaiting_decision.add(trial.number)
        is_new = self._reports.record(event, trial)
        self.lease.device_seconds += report.seconds if is_new else 0.0
        if trial.counts:
            self.trial_source.on_epoch(trial.number, report)
        self._reply(trial.number, self._decide(trial, report))
        trial.last_report = report
        is_last = report.epoch == trial.job.recipe.epochs
        if trial.counts and is_last and self._asks_ahead():
            self.trial_source.ask_ahead(trial.job, report.score)
        self._notify(lambda callback: callback.on_epoch(trial, report))

    def _asks_ahead(self) -> bool:
        """Whether the next proposal is computed while the last epoch is evaluated.

        With many workers another trial almost always ends first, and the proposal is another one.
        """
        return self.pool.size <= MAX_WORKERS_ASKED_AHEAD and not self._all_started()

    def _reply(self, number: int, decision: Decision) -> None:
        self._awaiting_decision.discard(number)
        self.pool.reply(number, decision)

    def _decide(self, trial: RunningTrial, report: EpochReport) -> Decision:
        """The decision after an epoch. A trial is never pruned after its last epoch.

        If a later epoch was recorded in an earlier run, that run has decided to go on.
        """
        is_open = trial.recorded_epochs <= report.epoch < trial.job.recipe.epochs
        if trial.counts and is_open and trial.costs is not None:
            trial.pruned = self.pruner.judge(trial.job, trial.role, report, trial.costs)
            if trial.pruned is not None:
                return Decision.PRUNE
        return Decision.PAUSE if self.stopping else Decision.GO_ON

    def _handle_stopped(self, trial: RunningTrial, event: Stopped) -> None:
        """Handle a trial that has stopped, because it was pruned or the study is being stopped."""
        if trial.pruned is None:
            self._leave(trial)
            return
        self.store.trials.prune(
            self.record,
            trial.number,
            trial.pruned,
            seconds=event.seconds,
            device_seconds=event.device_seconds,
            environment=event.environment,
            cpu_load=event.cpu_load,
            gpu_load=event.gpu_load,
        )
        self._end(trial)

    def _handle_lost_worker(self, trial: RunningTrial, event: WorkerDied) -> None:
        """Let another worker resume the trial, unless it has lost too many."""
        failure = self._lost_workers.record(event)
        if failure is None:
            self.waiting.insert(0, self.store.trials.get(self.record, trial.number))
            self._leave(trial, event.reason)
        else:
            self.store.trials.fail(self.record, trial.number, failure)
            self._end(trial)

    def _end(self, trial: RunningTrial) -> None:
        """Pass on the recorded result of a trial that has ended."""
        record = self._reports.ended_trial(trial.number)
        if trial.counts:
            self.trial_source.on_trial_end(record)
            self.pruner.on_trial_end(record)
        self.extra_trials.on_trial_end(record)
        self.files.on_trial_end(record)
        del self.running[trial.number]
        self.done += trial.counts
        self.ended_extra_trials += not trial.counts
        self._notify(lambda callback: callback.on_trial_end(trial, record))
        if trial.counts:
            self.failures.record_end(record)

    def _end_overdue_trials(self) -> None:
        """Fail the trials that take too long; while the study is being stopped, leave them."""
        if time.monotonic() < self._next_overdue_check:
            return
        self._next_overdue_check = time.monotonic() + OVERDUE_CHECK_SECONDS
        self.watch.advance(stopping=self.stopping)
        for trial in list(self.running.values()):
            reason = why_overdue(self.watch, trial.number, self.plan.trial_timeout)
            if reason is not None:
                self.pool.kill(trial.number)
                self._handle_or_leave(Failed(trial.number, Failure("timeout", reason)))
            elif self.watch.delays_stop(trial.number):
                self.pool.kill(trial.number)
                logger.warning(
                    "Trial %d did not end its epoch within %s; it will continue from its last "
                    "checkpoint.",
                    trial.number,
                    duration(self.watch.max_stop),
                )
                self._leave(trial)

    def _leave(self, trial: RunningTrial, reason: str | None = None) -> None:
        """Leave a trial as one to resume; with a reason if that happens in this run."""
        del self.running[trial.number]
        self._notify(lambda callback: callback.on_trial_interrupted(trial, reason))


def _tell_start(trial: RunningTrial, callback: Callback) -> None:
    callback.on_trial_start(trial)
