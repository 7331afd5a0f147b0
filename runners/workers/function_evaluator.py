"""Runs a user's own function, which trains the network of a trial and returns its metrics."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from ...errors import TrialError, UsageError
from ...named_objects import load_named_object
from ...spaces.backbones.timm_compat import import_timm
from ...spaces.networks.insertion_observer import observed_insertions
from ..results import UNMOVED_ATTENTIONS, USER_OUTPUT_FILE, TrialResult
from ..user_evaluation import UserEvaluation
from .evaluator import Trial
from .own_evaluation import (
    continue_time,
    files_folder,
    finish_evaluation,
    keep_time,
    measure_own_costs,
)
from .process_state import restored_settings
from .random_generators import seed_generators
from .reported_metrics import ReportedMetrics, read_metrics
from .user_trial import TrialStoppedError, UserTrial

LEFT_PROCESSES = "processes left running"
"""The fact of an environment that says how many processes a function has left, which were ended."""
END_SECONDS = 3.0
"""Time for such a process to end by itself before it is killed."""
_OF_MULTIPROCESSING = ("resource_tracker", "forkserver")
"""Processes that Python itself keeps for later ones."""


def load_function(evaluation: UserEvaluation) -> Callable[[UserTrial], Any]:
    """The function of an evaluation.

    Raises:
        UsageError: it cannot be imported, or is no function.
    """
    import_timm()  # Where torchvision does not fit torch, the user's code could not import it.
    function = load_named_object(evaluation.target, Path(evaluation.folder))
    if not callable(function):
        raise UsageError(
            f"{evaluation.target} is no function ({type(function).__name__}); name one that takes "
            "a trial and returns its metrics"
        )
    checked: Callable[[UserTrial], Any] = function
    return checked


class FunctionEvaluator:
    """Trains with a user's own function; see `Evaluator`.

    Args:
        evaluation: names the function.
    """

    def __init__(self, evaluation: UserEvaluation) -> None:
        self.evaluation = evaluation

    def evaluate(self, trial: Trial) -> TrialResult | None:
        """The result that follows from what the function returns; None if the trial was stopped."""
        evaluation, job = self.evaluation, trial.job
        continue_time(trial)
        folder = files_folder(job)
        user_trial = UserTrial(trial, evaluation, folder)
        with output_to_file(folder / USER_OUTPUT_FILE):
            function = load_function(evaluation)  # Imported modules may print, or log later.
            trial.report_costs(*measure_own_costs(job, trial.device))
            seed_generators(job.seed)
            with (
                ended_processes() as left,
                restored_settings(),
                processes_allowed(),
                observed_insertions(user_trial.inserted),
            ):
                returned = self._call(function, user_trial)
        if user_trial.stopped:
            keep_time(trial)
            return None
        metrics = self._final_metrics(user_trial, returned)
        if not user_trial.uses_architecture:
            raise TrialError(
                "invalid",
                f"{evaluation.target} has trained without the attention of its trial; make the "
                "network with trial.model(), or call trial.insert(model)",
            )
        inserted = user_trial.inserted
        if inserted.aliases and inserted.is_empty:
            raise TrialError(
                "invalid",
                f"{evaluation.target} has registered the architecture of its trial as "
                f"{inserted.aliases[-1]!r}, and has made no model of that name; use it in place of "
                "the backbone's own name",
            )
        facts = {}
        unmoved, total = inserted.count_unmoved()
        if unmoved:
            facts[UNMOVED_ATTENTIONS] = f"{unmoved} of {total}"
        if left:
            facts[LEFT_PROCESSES] = str(len(left))
        return finish_evaluation(trial, evaluation, metrics, facts)

    def _call(self, function: Callable[[UserTrial], Any], user_trial: UserTrial) -> Any:
        """What the function returns; None if it goes on reporting after it was told to stop."""
        try:
            return function(user_trial)
        except TrialStoppedError:
            return None
        except SystemExit as error:
            raise TrialError(
                "error",
                f"{self.evaluation.target} called sys.exit({error.code!r}); it has to return its "
                "metrics",
            ) from error

    def _final_metrics(self, user_trial: UserTrial, returned: Any) -> ReportedMetrics:
        """The metrics that the function has returned, or else those of its last report."""
        target, last = self.evaluation.target, user_trial.last_metrics
        if returned is not None:
            values = read_metrics(returned, self.evaluation, f"{target} returns")
            earlier = {} if last is None else last.metrics
            return ReportedMetrics({**earlier, **values.metrics}, values.learning)
        searched = self.evaluation.searched.key
        if last is None:
            raise TrialError(
                "invalid",
                f"{target} has returned nothing and reported nothing; it has to return "
                f'{{"{searched}": …}}',
            )
        if user_trial.last_epoch < user_trial.epochs:
            raise TrialError(
                "invalid",
                f"{target} has returned nothing after {user_trial.last_epoch} of "
                f"{user_trial.epochs} epochs, although it was not told to stop; return "
                f'{{"{searched}": …}} if it is done',
            )
        return last


@contextlib.contextmanager
def output_to_file(path: Path) -> Iterator[None]:
    """Append what is printed inside the context to a file, also by C code and by child processes.

    A logger keeps the stream that was there when its library was imported. So the descriptors lead
    to the file, too, and not only Python's streams.
    """
    with path.open("a", encoding="utf-8", errors="replace", buffering=1) as file:
        file.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        with (
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
            _redirected_descriptors(file.fileno()),
        ):
            yield


@contextlib.contextmanager
def _redirected_descriptors(target: int) -> Iterator[None]:
    """Let the descriptors of standard output and of standard error lead to another file."""
    streams = [stream for stream in (sys.__stdout__, sys.__stderr__) if stream is not None]
    kept: list[tuple[int, int]] = []
    try:
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):
                kept.append((descriptor, os.dup(descriptor)))
                os.dup2(target, descriptor)
        yield
    finally:
        for stream in streams:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        for descriptor, copy in kept:
            os.dup2(copy, descriptor)
            os.close(copy)


@contextlib.contextmanager
def processes_allowed() -> Iterator[None]:
    """Let this worker start processes, such as those of a DataLoader, inside the context.

    multiprocessing forbids that to processes which end with their parent, lest their own children
    outlive them. Those of a worker are ended by `ended_processes`. There is no public way.

    They are started as they would be in a script: a worker itself comes from a server process, and
    processes that were started in that way would import torch once more each.
    """
    config: dict[str, Any] = getattr(multiprocessing.current_process(), "_config", {})
    before, method = config.get("daemon"), multiprocessing.get_start_method()
    config["daemon"] = False
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    try:
        yield
    finally:
        config["daemon"] = before
        multiprocessing.set_start_method(method, force=True)


@contextlib.contextmanager
def ended_processes() -> Iterator[list[psutil.Process]]:
    """End the processes that were started inside the context and are still there at its end.

    Yields:
        A list, which holds them afterwards.
    """
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    left: list[psutil.Process] = []
    try:
        yield left
    finally:
        for process in psutil.Process().children(recursive=True):
            if process.pid not in before and not _belongs_to_python(process):
                left.append(process)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(left, timeout=END_SECONDS if left else 0)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()


def _belongs_to_python(process: psutil.Process) -> bool:
    """Whether a process is one that Python keeps for later ones, or has ended already."""
    try:
        command = " ".join(process.cmdline())
        ended = process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True
    return ended or any(name in command for name in _OF_MULTIPROCESSING)
