"""The interface of evaluators, which train the architecture of a trial.

A `Trial` has what an `Evaluator` needs: the job, the device, the checkpoint of an earlier run, and
methods that report costs and epochs to the coordinator. An evaluator trains and returns the result.
The built-in one is `recipe_evaluator.RecipeEvaluator`; `tests/runners/workers/test_evaluator.py`
has the contract. The shortest evaluator:

    class Constant:
        def evaluate(self, trial: Trial) -> TrialResult | None:
            trial.report_costs(Costs(params=1, macs=1))
            report = EpochReport(1, train_loss=1.0, accuracy=0.5, val_loss=1.0, lr=0.1, seconds=1.0)
            if trial.report(report) is not Decision.GO_ON:
                return None
            return trial.result(report.accuracy)
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import psutil
import torch

from ...errors import AttentuneError, TrialError
from ..artifacts.trial_folder import UserFiles, publish
from ..classification_metrics import compute_metrics, metric_score
from ..environment import describe_environment
from ..events import Decision, EpochDone, Event, Finished, Measured, Rejected, Started, Stopped
from ..load import LoadMeter
from ..predictions import Predictions, write_predictions
from ..results import PREDICTIONS_FILE, Costs, EpochReport, Job, TrialResult
from ..training.data_parallel import SINGLE_DEVICE, DataParallel
from .checkpoint_schedule import CheckpointWriter, TrialCheckpoints
from .late_decision import LateDecision
from .trial_facts import FinishedTrial, Progress, describe_owner

SendEvent = Callable[[Event], Decision | LateDecision]
"""Sends an event to the coordinator. For an `EpochDone` it waits a little for the decision, and
returns a `LateDecision` if that does not come; for every other event it returns `GO_ON` at once."""

NO_EPOCH = EpochReport(0, math.nan, 0.0, math.nan, 0.0, 0.0)


class Evaluator(Protocol):
    """Trains an architecture and measures its accuracy."""

    def evaluate(self, trial: Trial) -> TrialResult | None:
        """Train and evaluate one architecture.

        Calls `trial.report_costs` once, before training, then `trial.report` after every epoch,
        and returns `trial.result(accuracy)` when all epochs are done. If `trial.report` returns
        anything but `Decision.GO_ON`, it stops and returns None.

        Raises:
            TrialError: the trial failed; the error has the kind of the failure. Any other exception
                also makes the trial fail, with the kind that `trial.classify_failure` finds.
        """


class CostLimitError(Exception):
    """A cost of a trial's network is above a limit of the study. `run_trial` reports it."""

    def __init__(self, costs: Costs, reason: str) -> None:
        super().__init__(reason)
        self.costs, self.reason = costs, reason


class Trial:
    """One job that an evaluator runs.

    Args:
        job: what to train, with which recipe and seed, and the folder for files.
        send: sends an event to the coordinator.
        device: where the network is trained.
        worker: the name of the worker, for the record.
        parallel: the devices that train the trial together.
    """

    def __init__(
        self,
        job: Job,
        send: SendEvent,
        *,
        device: torch.device,
        worker: str = "here",
        parallel: DataParallel = SINGLE_DEVICE,
    ) -> None:
        self.job, self.device, self.parallel = job, device, parallel
        self._new_job = job
        self._send, self._worker = send, worker
        self._began = time.perf_counter()
        self._checkpoints, self._user_files = TrialCheckpoints(job), UserFiles(job)
        earlier = self._checkpoints.read()
        if earlier and earlier.micro_batches > job.micro_batches:
            # A trial that has run out of memory goes on as it was trained since then.
            self.job = replace(job, micro_batches=earlier.micro_batches)
        self._resumed = earlier is not None
        self._earlier_seconds = earlier.seconds if earlier else 0.0
        self._device_seconds = earlier.device_seconds if earlier else 0.0
        self._refused_result: str | None = None
        self._costs: Costs | None = None
        self._metrics: Mapping[str, float] = {}
        self._metric_score: float | None = None
        self._cost_facts: dict[str, str] = {}
        self._decision = Decision.GO_ON
        self._late: LateDecision | None = None
        self._reported_at = self._began
        self._load = LoadMeter(device)
        self.last_report = earlier.report if earlier else NO_EPOCH

    # Evaluators use the following properties and methods.

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint of an earlier run, from which training continues; None for a new trial."""
        return self._checkpoints.path if self._resumed else None

    @property
    def seconds(self) -> float:
        """Wall time spent on this trial so far, over all its runs."""
        return self._earlier_seconds + time.perf_counter() - self._began

    @property
    def device_seconds(self) -> float:
        """Time for which this trial has kept its devices busy so far, over all its runs.

        That of several devices adds up.
        """
        return self._device_seconds

    @property
    def is_paused(self) -> bool:
        """Whether the decision about the last report was to pause the trial."""
        return self._decision is Decision.PAUSE

    def add_earlier_time(self, seconds: float, device_seconds: float) -> None:
        """Add the time of an earlier run, of which an evaluator keeps its own checkpoint."""
        self._earlier_seconds += seconds
        self._device_seconds += device_seconds

    def report_costs(self, costs: Costs, disturbance: str | None = None) -> None:
        """Report what the network costs, once, before it is trained.

        Args:
            costs: counted or measured.
            disturbance: why the machine was not quiet while they were measured.

        Raises:
            CostLimitError: a cost is above its limit in `job.limits`. Evaluators must not catch it,
                so that the trial ends as rejected.
        """
        if reason := costs.exceeded_limit(self.job.limits):
            raise CostLimitError(costs, reason)
        self._costs = costs
        if disturbance is not None:
            self._cost_facts["latency"] = f"measured on a busy machine: {disturbance}"
        if at_limit := costs.limit_within_noise(self.job.limits):
            self._cost_facts["limit"] = at_limit
        self._send(Measured(self.job.number, costs, disturbance))
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def report_again(self) -> Decision:
        """Repeat the last report of an earlier run, and return the decision about it.

        That run may have ended after it wrote the checkpoint and before its report arrived.
        """
        self._decision = self._send_epoch()
        return self._decision

    def stops_now(self) -> bool:
        """Whether the decision about the last epoch has come since, and is to prune the trial.

        An evaluator may ask in the middle of an epoch, which is not reported then; see
        `late_decision`.
        """
        if self._late is None or self._late.wait(0.0) is not Decision.PRUNE:
            return False
        self._late, self._decision = None, Decision.PRUNE
        self._device_seconds += (time.perf_counter() - self._reported_at) * self.parallel.size
        return True

    def report(self, report: EpochReport, writer: CheckpointWriter | None = None) -> Decision:
        """Report an epoch, and write a checkpoint if one is due or needed.

        Returns:
            The decision. `GO_ON` if it does not come soon; it is honoured at the next report then,
            or by `stops_now`. After the last epoch always `GO_ON`: the trial is complete.

        Args:
            report: the epoch, counted from 1; `seconds` is the time that it kept the device busy.
            writer: writes the state of the training. Without one a trial that is paused starts
                again from its first epoch when it is resumed.

        Raises:
            TrialError: `diverged` if the accuracy or a loss is not finite.
        """
        self._device_seconds += report.seconds * self.parallel.size
        if self._is_pruned_late():
            return Decision.PRUNE
        if self.job.evaluation is None:
            for name in ("train_loss", "accuracy", "val_loss"):
                _check_finite(name.replace("_", " "), getattr(report, name), report.epoch)
        self.last_report = report
        self._load.sample()
        is_last = report.epoch == self.job.recipe.epochs
        saved = writer is None or is_last  # After the last epoch, final weights are saved instead.
        if writer and not saved and self._checkpoints.is_due(writer):
            self._write_checkpoint(writer)
            saved = True
        decision = self._send_epoch()
        if is_last:
            return Decision.GO_ON
        self._decision = decision
        if self.job.evaluation is not None and decision is Decision.GO_ON:
            self._user_files.publish_if_due()
        if writer and decision is Decision.PAUSE and not saved:
            self._write_checkpoint(writer)
        return decision

    def save_predictions(self, predictions: Predictions) -> None:
        """Compute metrics for the result, and write what is kept of the predictions to a file.

        Call it before `result`, and before weights are written: if these are there, so are the
        predictions.

        Args:
            predictions: those from which the accuracy of the result follows.
        """
        metrics = compute_metrics(predictions)
        self._metrics = {key: value for key, value in metrics.items() if key != "accuracy"}
        self._metric_score = metric_score(predictions, self.job.metric)
        kept = predictions.reduced_to(self.job.keep_predictions, self.job.max_predictions_mib)
        if kept is not None:
            path = self.job.folder / PREDICTIONS_FILE
            write_predictions(path, kept, describe_owner(self.job))
            publish(self.job, PREDICTIONS_FILE)

    def result(self, accuracy: float, facts: Mapping[str, str] | None = None) -> TrialResult:
        """The result of a trial whose epochs are all done and whose weights are kept.

        Args:
            accuracy: of the weights that were kept; a fraction.
            facts: further facts to record with the environment, by name.

        Raises:
            TrialError: `diverged` if the accuracy is not finite.
        """
        if self.job.evaluation is None:
            _check_finite("accuracy", accuracy, self.last_report.epoch)
        if self._costs is None:
            raise RuntimeError("an evaluator has to report the costs before it makes a result")
        load = self._load.read()
        return TrialResult(
            accuracy=accuracy,
            epochs=self.last_report.epoch,
            costs=self._costs,
            seconds=self.seconds,
            device_seconds=self._device_seconds,
            peak_memory_mib=peak_memory_mib(self.device),
            environment={**self._describe_environment(), **(facts or {})},
            metrics=self._metrics,
            metric_score=self._metric_score,
            cpu_load=load.cpu,
            gpu_load=load.gpu,
        )

    # `run_trial` uses the following methods.

    def start(self) -> None:
        """Report that the worker has started the trial, and after which epoch it continues."""
        unusable = self._checkpoints.refusal or self._refused_result
        self._send(Started(self.job.number, self._worker, self.last_report.epoch, unusable))

    def refuse_result(self, reason: str) -> None:
        """Train although there are weights, for a reason that `start` reports."""
        self._refused_result = reason

    def begin_anew(self, reason: str) -> None:
        """Delete the checkpoint of the earlier run, and start from the first epoch.

        Args:
            reason: why the checkpoint cannot be used.
        """
        self.was_stopped()  # No decision may be left for a later report.
        self._checkpoints.refuse(reason)
        self.job, self._resumed, self.last_report = self._new_job, False, NO_EPOCH
        self._earlier_seconds = self._device_seconds = 0.0
        self._decision = Decision.GO_ON
        self.start()

    def repeat_result(self, finished: FinishedTrial) -> None:
        """Report the result of an earlier run, which ended before its result was recorded."""
        self._send(Started(self.job.number, self._worker, finished.report.epoch))
        self._send(Measured(self.job.number, finished.result.costs))
        self.last_report = finished.report
        self._send_epoch()
        self.finish(finished.result)

    def finish(self, result: TrialResult) -> None:
        """Report the result, unless the trial turns out to be pruned.

        The coordinator deletes the checkpoint once it has recorded the end of the trial. Until
        then it may be needed: an evaluator need not write weights, from which a result is repeated.
        """
        if self._is_pruned_late():
            self.stop()
        else:
            self._send(Finished(self.job.number, result))

    def was_stopped(self) -> bool:
        """Whether it was decided meanwhile that the trial stops after its last report.

        What has gone wrong since then does not matter. This waits for the decision.
        """
        if self._late is None:
            return False
        decision, self._late = self._late.wait() or Decision.GO_ON, None
        if decision is Decision.GO_ON or self.last_report.epoch == self.job.recipe.epochs:
            return False
        self._decision = decision
        return True

    def reject(self, exceeded: CostLimitError) -> None:
        """Report that a cost is above its limit, so that nothing was trained."""
        self._send(Rejected(self.job.number, exceeded.costs, exceeded.reason))

    def stop(self) -> None:
        """Report that training has stopped before its last epoch, paused or pruned.

        Raises:
            AttentuneError: the coordinator has not decided that it should stop.
        """
        if self._decision is Decision.GO_ON:
            raise AttentuneError(
                "the evaluator returned no result, although the coordinator did not stop the trial"
            )
        spent = (self.last_report.epoch, self.seconds, self._device_seconds)
        load, environment = self._load.read(), self._describe_environment()
        self._send(Stopped(self.job.number, *spent, environment, load.cpu, load.gpu))

    def _send_epoch(self) -> Decision:
        """Send the last report; returns the decision about it, `GO_ON` if it does not come soon."""
        self._reported_at = time.perf_counter()
        answer = self._send(EpochDone(self.job.number, self.last_report))
        if isinstance(answer, Decision):
            return answer
        self._late = answer
        return Decision.GO_ON

    def _is_pruned_late(self) -> bool:
        """Whether the decision that has not come yet is to prune the trial. This waits for it."""
        if self.was_stopped() and self._decision is Decision.PAUSE:
            # The search is being stopped, perhaps because this report could not be recorded.
            self._decision = self._send_epoch()
            self.was_stopped()
        return self._decision is Decision.PRUNE

    def _write_checkpoint(self, writer: CheckpointWriter) -> None:
        progress = Progress(
            self.last_report, self.seconds, self._device_seconds, self.job.micro_batches
        )
        self._checkpoints.write(writer, progress)

    def _describe_environment(self) -> dict[str, str]:
        attentions = (insertion.attention for insertion in self.job.architecture.insertions)
        facts = describe_environment(self.device, self.job.recipe.precision, attentions)
        if self.job.evaluation is not None:
            facts = {name: value for name, value in facts.items() if name != "precision"}
        if self.job.micro_batches > 1:
            facts = {**facts, "micro-batches": str(self.job.micro_batches)}
        if self.parallel.description is not None:
            facts = {**facts, "data parallel": self.parallel.description}
        return {**facts, **self._cost_facts}


def _check_finite(name: str, value: float, epoch: int) -> None:
    if not math.isfinite(value):
        raise TrialError("diverged", f"the {name} was {value} in epoch {epoch}")


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory so far, in MiB: of tensors on a CUDA device, of this process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:  # Windows
        memory = psutil.Process().memory_info()
        return float(getattr(memory, "peak_wset", memory.rss)) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
