"""Run one trial, from its job to its last event."""

from __future__ import annotations

import gc
import traceback
from dataclasses import replace

import torch

from ...cache_folders import cache_root
from ...errors import AttentuneError, DamagedFileError, DataError, FailureKind, TrialError
from ...machine_faults import machine_fault
from ...sanitize import clean_error, clean_text
from ...spaces.networks.attention_checks import find_attention_at_fault
from ..artifacts.trial_folder import job_on_this_machine, leave_folder, open_folder, publish_output
from ..events import Aborted, Failed
from ..results import RETRY_MICRO_BATCHES, Failure, Job
from ..training.data_parallel import SINGLE_DEVICE, DataParallel
from .command_evaluator import CommandEvaluator
from .evaluator import CostLimitError, Evaluator, SendEvent, Trial
from .function_evaluator import FunctionEvaluator
from .memory_limit import limit_memory
from .own_evaluation import read_own_result
from .process_state import refuse_changes
from .recipe_evaluator import RecipeEvaluator
from .trained_weights import read_result


def run_trial(
    job: Job,
    send: SendEvent,
    *,
    device: torch.device,
    worker: str = "here",
    evaluator: Evaluator | None = None,
    parallel: DataParallel = SINGLE_DEVICE,
) -> None:
    """Run one trial and report its events. Exceptions of the trial are reported, not raised.

    If memory runs out, the trial is run once more with `RETRY_MICRO_BATCHES`, from its last
    checkpoint.

    Args:
        job: the trial.
        send: sends an event to the coordinator; see `SendEvent`.
        device: where the network is trained.
        worker: the name of the worker, for the record.
        evaluator: trains the network; default: that of the job, see `make_evaluator`.
        parallel: the devices that train the trial together. On several, the pool runs it again.
    """
    evaluator = evaluator or make_evaluator(job)
    end = _try_trial(job, send, device, worker, evaluator, parallel)
    # A user's own training has no micro-batches.
    may_retry = job.micro_batches == 1 and job.evaluation is None and parallel.size == 1
    if may_retry and isinstance(end, Failed) and end.failure.kind == "out_of_memory":
        gc.collect()  # Networks are cycles of objects.
        if device.type == "cuda":
            torch.cuda.empty_cache()
        job = replace(job, micro_batches=RETRY_MICRO_BATCHES)
        end = _try_trial(job, send, device, worker, evaluator, parallel)
    if not isinstance(end, Aborted):  # Files of others could not be uploaded, perhaps.
        publish_output(job)
        leave_folder(job)
    if end is not None:
        send(end)


def make_evaluator(job: Job) -> Evaluator:
    """The evaluator that trains a job: the recipe's, or that of a user's own evaluation."""
    if job.evaluation is None:
        return RecipeEvaluator()
    if job.evaluation.kind == "function":
        return FunctionEvaluator(job.evaluation)
    return CommandEvaluator(job.evaluation)


def _try_trial(
    job: Job,
    send: SendEvent,
    device: torch.device,
    worker: str,
    evaluator: Evaluator,
    parallel: DataParallel,
) -> Failed | Aborted | None:
    """Run a trial; if it raises, return the event that ends it. Nothing keeps its memory then."""
    try:
        with limit_memory(job.memory_limit_mib, device):
            job = open_folder(job)
            trial = Trial(job, send, device=device, worker=worker, parallel=parallel)
            _evaluate(trial, evaluator)
        return None
    except (Exception, SystemExit) as error:
        return describe_exception(job, error)
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _evaluate(trial: Trial, evaluator: Evaluator) -> None:
    """Run a trial, continue it, or report the result that an earlier run has left."""
    try:
        own = trial.job.evaluation is not None
        finished = read_own_result(trial.job) if own else read_result(trial.job)
    except DamagedFileError as error:
        finished = None
        trial.refuse_result(str(error))
    if finished is not None:
        trial.repeat_result(finished)
        return
    trial.start()
    try:
        with refuse_changes(trial.job.architecture):
            try:
                result = evaluator.evaluate(trial)
            except DamagedFileError as error:
                if trial.checkpoint is None:
                    raise
                trial.begin_anew(str(error))
                result = evaluator.evaluate(trial)
    except CostLimitError as exceeded:
        trial.reject(exceeded)
        return
    except (Exception, SystemExit):
        if not trial.was_stopped():
            raise
        result = None
    if result is None:
        trial.stop()
    else:
        trial.finish(result)


def describe_exception(job: Job, error: BaseException) -> Failed | Aborted:
    """The event that ends a trial which raised an exception.

    A fault of the machine, or of data that all trials share, is not recorded as the trial's. What
    the code of an attention raises always is.

    Args:
        job: the trial.
        error: what it raised.
    """
    if not isinstance(error, TrialError) and find_attention_at_fault(error) is None:
        folders = (job_on_this_machine(job).folder, cache_root())
        reason = str(error) if isinstance(error, DataError) else machine_fault(error, folders)
        if reason is not None:
            return Aborted(job.number, clean_text(reason))
    kind, message = classify_failure(error)
    if kind == "out_of_memory" and job.micro_batches > 1:
        message = f"{message} (also with {job.micro_batches} micro-batches per step)"
    trace = "".join(traceback.format_exception(error))
    return Failed(job.number, Failure(kind, message, trace))


def classify_failure(error: BaseException) -> tuple[FailureKind, str]:
    """The kind and message that the database records for an exception."""
    message = clean_error(error)
    if isinstance(error, TrialError):
        return error.kind, message
    if (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in message
    ):
        return "out_of_memory", message.splitlines()[0]
    if isinstance(error, AttentuneError):
        return "invalid", message
    if label := find_attention_at_fault(error):
        return "invalid", f"{label} raises {type(error).__name__}: {message}"
    return "error", f"{type(error).__name__}: {message}"
