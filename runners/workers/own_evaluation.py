"""What evaluators of a user's own training share: costs, the folder of a trial, its result.

The result of a trial is on the disk before it is reported, as that of the built-in training is, so
that a kill before it is recorded trains nothing again.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from ...errors import DamagedFileError, TrialError
from ...files import atomic_write
from ..artifacts.trial_folder import publish
from ..costs import CostModel
from ..results import RESULT_FILE, USER_FILES_FOLDER, Costs, Job, TrialResult
from ..user_evaluation import UserEvaluation, named_metric
from .evaluator import Trial
from .measured_costs import add_measured_costs
from .reported_metrics import ReportedMetrics
from .trial_facts import FinishedTrial, own_finished_json, read_own_finished

TIME_FILE = "time.json"
"""In the folder of a trial that is paused: the seconds spent on it, and those of its device."""


def files_folder(job: Job) -> Path:
    """The folder for the user's files of a trial."""
    folder = job.folder / USER_FILES_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def continue_time(trial: Trial) -> None:
    """Add the time that was spent on a trial before it was paused, as `keep_time` has written it.

    A file that is damaged costs the record of that time and nothing else.
    """
    with contextlib.suppress(OSError, TypeError, ValueError, RecursionError):
        spent = json.loads((trial.job.folder / TIME_FILE).read_text(encoding="utf-8"))
        seconds = [float(value) for value in spent]
        if len(seconds) == 2 and all(math.isfinite(value) and value >= 0 for value in seconds):
            trial.add_earlier_time(*seconds)


def keep_time(trial: Trial) -> None:
    """Write the time that was spent on a trial which is paused."""
    if trial.is_paused:
        with atomic_write(trial.job.folder / TIME_FILE) as draft:
            draft.write_text(json.dumps([trial.seconds, trial.device_seconds]), encoding="utf-8")
        publish(trial.job, TIME_FILE)
        publish(trial.job, USER_FILES_FOLDER)


def measure_own_costs(job: Job, device: torch.device) -> tuple[Costs, str | None]:
    """The costs of the network of a trial, before the user's code trains it.

    Args:
        job: the costs to measure, and those that are known.
        device: where to measure the latency.

    Returns:
        The costs, and why the machine was not quiet while the latency was measured; None if it was.
    """
    costs = job.costs
    if costs is None:
        model = CostModel(job.architecture.backbone, job.recipe, job.num_classes)
        costs = model.price(job.architecture)
    return add_measured_costs(costs, job, job.num_classes, device)


def finish_evaluation(
    trial: Trial,
    evaluation: UserEvaluation,
    metrics: ReportedMetrics,
    facts: Mapping[str, str] | None = None,
) -> TrialResult:
    """The result of a trial with these metrics, which is written to the disk first.

    Args:
        trial: of the worker.
        evaluation: names the metrics that are expected.
        metrics: of the trained network.
        facts: further facts to record with the environment, by name.

    Raises:
        TrialError: `invalid` if a metric of the study is missing.
    """
    if missing := [key for key in _expected(evaluation) if key not in metrics.metrics]:
        example = ", ".join(f'"{key}": …' for key in _expected(evaluation))
        raise TrialError(
            "invalid",
            f"{evaluation.target} has measured no {' and no '.join(missing)}; it has to return "
            f"{{{example}}}",
        )
    searched = evaluation.searched
    if trial.last_report.epoch == 0:
        trial.report(metrics.epoch_report(trial.job.recipe.epochs, searched, trial.seconds))
    further = {name: value for name, value in metrics.metrics.items() if name != "accuracy"}
    result = replace(
        trial.result(metrics.accuracy, facts),
        metrics=further,
        metric_score=metrics.score(searched),
    )
    publish(trial.job, USER_FILES_FOLDER)
    write_own_result(trial.job, FinishedTrial(trial.last_report, result))
    (trial.job.folder / TIME_FILE).unlink(missing_ok=True)
    publish(trial.job, TIME_FILE)
    return result


def _expected(evaluation: UserEvaluation) -> list[str]:
    return [named_metric(text).key for text in evaluation.metrics]


def write_own_result(job: Job, finished: FinishedTrial) -> None:
    """Write the result of a trial to its folder."""
    with atomic_write(job.folder / RESULT_FILE) as draft:
        draft.write_text(json.dumps(own_finished_json(finished, job)), encoding="utf-8")
    publish(job, RESULT_FILE)


def read_own_result(job: Job) -> FinishedTrial | None:
    """The result of an earlier run of a trial; None if there is none.

    Raises:
        DamagedFileError: the file is damaged, or of another trial.
    """
    path = job.folder / RESULT_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} cannot be read: {error}") from error
    return read_own_finished(facts, job)
