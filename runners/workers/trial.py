"""Run one trial, from its job to its last event."""

from __future__ import annotations

import traceback

import torch

from ...errors import AttentuneError, FailureKind, TrialError
from ...sanitize import clean_error
from ..events import Failed
from ..results import Failure, Job
from .evaluator import CostLimitError, Evaluator, SendEvent, Trial
from .recipe_evaluator import RecipeEvaluator


def run_trial(
    job: Job,
    send: SendEvent,
    *,
    device: torch.device,
    worker: str = "here",
    evaluator: Evaluator | None = None,
) -> None:
    """Run one trial and report its events. Exceptions of the trial are reported, not raised.

    Args:
        job: the trial.
        send: sends an event to the coordinator; see `SendEvent`.
        device: where the network is trained.
        worker: the name of the worker, for the record.
        evaluator: trains the network; default: a `RecipeEvaluator`.
    """
    try:
        _evaluate(Trial(job, send, device=device, worker=worker), evaluator or RecipeEvaluator())
    except Exception as error:
        kind, message = classify_failure(error)
        send(Failed(job.number, Failure(kind, message, traceback.format_exc())))
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _evaluate(trial: Trial, evaluator: Evaluator) -> None:
    trial.start()
    try:
        result = evaluator.evaluate(trial)
    except CostLimitError as exceeded:
        trial.reject(exceeded)
        return
    if result is None:
        trial.stop()
    else:
        trial.finish(result)


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
    return "error", f"{type(error).__name__}: {message}"
