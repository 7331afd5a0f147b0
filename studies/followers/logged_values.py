"""What is logged of a study and its trials, as values that do not depend on the tracker.

Each trial is one run. Its parameters are what was chosen (the columns of `attentune export-table`)
and the settings of its recipe; its metrics are the epochs, and at the end the final values by the
keys that JSON has too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import AttentuneError
from ..analysis.findings import Findings
from ..objectives import Objective
from ..outputs.trials_table import architecture_choices
from ..records import LOADS, EpochRecord, StudyRecord, TrialRecord
from ..text.formatting import short_architecture

Parameter = str | int | float | bool
MAX_NAME_LENGTH = 100
"""Characters of the name of a run."""
MAX_PARAMETER_LENGTH = 500
"""Characters of a parameter; MLflow's older servers refuse longer ones."""
STUDY_RUN_PREFIX = "study"


@dataclass(frozen=True)
class LoggedStart:
    """A trial that begins, as a run of a tracker.

    Attributes:
        number: of the trial in its study.
        name: the number and the insertions.
        role: one of the roles in `studies.records`.
        parameters: what was chosen, and how it is trained.
        started_at: seconds since 1970.
    """

    number: int
    name: str
    role: str
    parameters: Mapping[str, Parameter]
    started_at: float


@dataclass(frozen=True)
class LoggedEpoch:
    """The metrics of one epoch of a trial.

    Attributes:
        epoch: counted from 1.
        metrics: by name, such as `train/loss`.
        time: seconds since 1970, as if the trial had run without interruption.
    """

    epoch: int
    metrics: Mapping[str, float]
    time: float


@dataclass(frozen=True)
class TrialEnd:
    """How a trial has ended.

    Attributes:
        state: `complete`, `pruned`, `failed` or `rejected`.
        metrics: final values and costs by their key; of a confirming trial with `test_` before
            those that follow from the test split.
        facts: further texts, such as the kind and the message of a failure.
        ended_at: seconds since 1970.
    """

    state: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    ended_at: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether trackers should show it as a run that did what it was meant to do."""
        return self.state in ("complete", "pruned")


@dataclass(frozen=True)
class StudyProgress:
    """What a search has concluded after some trials.

    Attributes:
        ended: the number of trials of the search that had ended.
        metrics: the best estimate, its gain, the size of the front, trials by state.
        facts: the best architecture.
        time: seconds since 1970 at which the last of these trials had ended.
    """

    ended: int
    metrics: Mapping[str, float]
    facts: Mapping[str, str]
    time: float


def trial_start(
    study: StudyRecord, trial: TrialRecord, reached: Mapping[str, Collection[int]] | None = None
) -> LoggedStart:
    """What is logged when a trial begins.

    Args:
        study: of the trial.
        trial: as the database holds it.
        reached: as in `architecture_choices`.
    """
    architecture = trial.parsed
    # Tables and figures count stages from 1; a stage without attention is a choice, too.
    choices: dict[str, Parameter] = {
        f"s{stage}.attention": "none" for stage in range(1, (study.config.stages or 0) + 1)
    }
    stages = study.config.stages or 0
    for column, choice in architecture_choices(architecture, stages, reached).items():
        if choice:
            choices[column] = int(choice) if choice.isdecimal() else choice
    parameters: dict[str, Parameter] = {
        "architecture": trial.architecture,
        "key": trial.key,
        "backbone": architecture.backbone,
        "seed": trial.seed,
        "role": trial.role,
        **choices,
        **_recipe_parameters(study, trial),
    }
    name = f"{trial.number:04d} {short_architecture(architecture)}"
    return LoggedStart(
        trial.number,
        name if len(name) <= MAX_NAME_LENGTH else name[: MAX_NAME_LENGTH - 1] + "…",
        trial.role,
        {key: _shortened(value) for key, value in parameters.items()},
        trial.started_at.timestamp(),
    )


def study_parameters(study: StudyRecord) -> dict[str, Parameter]:
    """What is logged of a study: what it searches, and the settings of its recipe."""
    parameters: dict[str, Parameter] = {
        "study": study.name,
        "backbone": study.backbone,
        "objectives": ", ".join(study.objectives),
        "metric": study.metric.key,
        "seed": study.seed,
        "attentune": study.version,
    }
    if attentions := study.config.attentions:
        parameters["attentions"] = ", ".join(attentions)
    try:
        settings = study.config.recipe.model_dump(mode="json")
    except AttentuneError:  # Another version wrote it.
        settings = {}
    parameters |= _as_parameters(settings)
    return {key: _shortened(value) for key, value in parameters.items()}


def logged_epochs(
    metric: Objective, trial: TrialRecord, epochs: Iterable[EpochRecord]
) -> list[LoggedEpoch]:
    """What is logged of the epochs of a trial, in their order.

    Args:
        metric: what the study searches for.
        trial: to which the epochs belong.
        epochs: all that are recorded.
    """
    logged, time = [], trial.started_at.timestamp()
    for report in sorted((record.report for record in epochs), key=lambda report: report.epoch):
        time += report.seconds if math.isfinite(report.seconds) else 0.0
        metrics = {
            "train/loss": report.train_loss,
            "train/lr": report.lr,
            "val/loss": report.val_loss,
            "val/accuracy": report.accuracy,
            f"val/{metric.key}": metric.value_of(report.score),
        }
        logged.append(LoggedEpoch(report.epoch, _numbers(metrics), time))
    return logged


def trial_end(trial: TrialRecord, metrics: Mapping[str, float]) -> TrialEnd | None:
    """What is logged when a trial has ended; None while it runs.

    Args:
        trial: as the database holds it.
        metrics: its further metrics by key.
    """
    if trial.state == "running":
        return None
    measured = {**trial.values, **metrics}
    costs = _cost_names(trial)
    prefix = "test_" if trial.confirms else ""
    values = {
        name if name in costs else f"{prefix}{name}": value for name, value in measured.items()
    }
    durations = {
        name: getattr(trial, name)
        for name in ("seconds", "device_seconds", "peak_memory_mib", *LOADS)
    }
    values |= {name: value for name, value in durations.items() if value is not None}
    facts = {"worker": trial.worker, "note": trial.note}
    if trial.failure is not None:
        facts |= {"failure_kind": trial.failure.kind, "failure_message": trial.failure.message}
    ended = trial.finished_at or trial.started_at
    return TrialEnd(
        trial.state,
        _numbers({**values, "epochs": float(trial.epochs)}),
        {name: fact for name, fact in facts.items() if fact},
        ended.timestamp(),
    )


def study_progress(findings: Findings, ended: Sequence[TrialRecord]) -> StudyProgress:
    """What is logged of a study after some trials.

    Args:
        findings: of exactly these trials.
        ended: the trials that had ended, in the order of their ends.
    """
    metric, best = findings.metric, findings.best
    metrics = {f"trials/{state}": float(count) for state, count in findings.counts.items()}
    metrics.pop("trials/running", None)
    metrics["front/size"] = float(len(findings.front))
    facts = {}
    if best is not None:
        metrics[f"best/{metric.key}"] = metric.value_of(best.score)
        facts = {"best_architecture": str(best.architecture), "best_trial": str(best.number)}
        if best.gain is not None:
            metrics["best/gain"] = best.gain
    last = ended[-1]
    time = (last.finished_at or last.started_at).timestamp()
    return StudyProgress(len(ended), _numbers(metrics), facts, time)


def _recipe_parameters(study: StudyRecord, trial: TrialRecord) -> dict[str, Parameter]:
    """The settings of a trial's recipe that are not the defaults."""
    try:
        confirmation = study.config.confirmation if trial.confirms else None
        epochs = confirmation.epochs if confirmation and trial.alternative is None else None
        recipe = study.config.recipe_of(trial.role, epochs, trial.seed)
        settings = recipe.model_dump(mode="json", exclude_defaults=True)
    except AttentuneError:  # Another version wrote it.
        return {}
    return _as_parameters({**settings, "epochs": recipe.epochs, "lr": recipe.lr})


def _as_parameters(settings: Mapping[str, Any]) -> dict[str, Parameter]:
    """The settings of a recipe as parameters `recipe.NAME`; lists as text."""
    return {
        f"recipe.{name}": value if isinstance(value, Parameter) else str(value)
        for name, value in settings.items()
        if value is not None and value not in ([], ())
    }


def _cost_names(trial: TrialRecord) -> set[str]:
    return set() if trial.costs is None else set(vars(trial.costs))


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that are numbers; NaN stays, so that a loss that diverged shows."""
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _shortened(value: Parameter) -> Parameter:
    if isinstance(value, str) and len(value) > MAX_PARAMETER_LENGTH:
        return value[: MAX_PARAMETER_LENGTH - 1] + "…"
    return value
