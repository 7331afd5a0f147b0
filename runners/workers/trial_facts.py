"""What the files of a trial say about it, besides tensors: how far it has come, and its result.

Both are JSON, and are checked strictly when they are read: values that this version would not have
written are refused, so that no odd number becomes a result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import DamagedFileError
from ..results import Costs, EpochReport, Job, TrialResult

Seconds = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Facts(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True
    )


class _Report(_Facts):
    epoch: int = Field(ge=1)
    train_loss: float
    accuracy: Fraction
    val_loss: float
    lr: float = Field(ge=0)
    seconds: Seconds
    metric_score: float | None = None


class _Costs(_Facts):
    params: int = Field(ge=0)
    macs: int = Field(ge=0)
    latency_ms: float | None = Field(ge=0)
    latency_ratio: float | None = Field(ge=0)
    memory_mib: float | None = Field(ge=0)
    latency_ms_error: float | None = Field(None, ge=0)  # Earlier versions wrote no errors.
    latency_ratio_error: float | None = Field(None, ge=0)


class _Result(_Facts):
    accuracy: Fraction
    epochs: int = Field(ge=1)
    costs: _Costs
    seconds: Seconds
    device_seconds: Seconds
    peak_memory_mib: float = Field(ge=0)
    environment: dict[str, str]
    metrics: dict[str, float] = {}  # Weights of earlier versions have none of what follows.
    metric_score: float | None = None
    cpu_load: Fraction | None = None
    gpu_load: Fraction | None = None


class _Owner(_Facts):
    """The trial that wrote a file."""

    identity: str
    data_key: str | None

    def check(self, job: Job) -> None:
        """Raise a DamagedFileError if the file was written by another trial than `job`."""
        other_data = None not in (self.data_key, job.data_key) and self.data_key != job.data_key
        if self.identity != job.identity or other_data:
            raise DamagedFileError("the file is of another trial, or of other images.")


class _Progress(_Owner):
    report: _Report
    seconds: Seconds
    device_seconds: Seconds
    micro_batches: int = Field(ge=1)


class _FinishedTrial(_Owner):
    report: _Report
    result: _Result


class _OwnReport(_Report):
    """An epoch that a user's own evaluation reports, which may leave out most values."""

    train_loss: float | None  # type: ignore[assignment]
    accuracy: Fraction | None  # type: ignore[assignment]
    val_loss: float | None  # type: ignore[assignment]
    lr: float | None  # type: ignore[assignment]


class _OwnResult(_Result):
    accuracy: Fraction | None  # type: ignore[assignment]


class _OwnFinishedTrial(_Owner):
    report: _OwnReport
    result: _OwnResult


@dataclass(frozen=True)
class Progress:
    """The last epoch of a trial, the seconds spent over all its runs, and `Job.micro_batches`."""

    report: EpochReport
    seconds: float
    device_seconds: float
    micro_batches: int = 1

    def to_json(self, job: Job) -> dict[str, Any]:
        """What the checkpoint of `job` records; `read_progress` is the inverse."""
        return {**describe_owner(job), **asdict(self)}


@dataclass(frozen=True)
class FinishedTrial:
    """The result of a trial, and its last epoch."""

    report: EpochReport
    result: TrialResult

    def to_json(self, job: Job) -> dict[str, Any]:
        """What the weights of `job` record; `read_finished` is the inverse."""
        return {**describe_owner(job), **asdict(self)}


def read_progress(facts: Mapping[str, Any], job: Job) -> Progress:
    """The progress that a checkpoint records.

    Args:
        facts: read from the checkpoint; others than those of `Progress.to_json` are ignored.
        job: the trial that continues.

    Raises:
        DamagedFileError: the facts are of another trial, or cannot be true.
    """
    known = {name: facts[name] for name in _Progress.model_fields if name in facts}
    progress: _Progress = _validated(_Progress, known)
    progress.check(job)
    if progress.report.epoch >= job.recipe.epochs:
        raise DamagedFileError("the checkpoint is of an epoch after which none is written.")
    report = EpochReport(**progress.report.model_dump())
    return Progress(report, progress.seconds, progress.device_seconds, progress.micro_batches)


def read_finished(facts: object, job: Job) -> FinishedTrial:
    """The result that a trial's weights record.

    Args:
        facts: what `FinishedTrial.to_json` returned.
        job: the trial.

    Raises:
        DamagedFileError: the facts are of another trial, or cannot be true.
    """
    finished: _FinishedTrial = _validated(_FinishedTrial, facts)
    finished.check(job)
    report = EpochReport(**finished.report.model_dump())
    fields = finished.result.model_dump()
    result = TrialResult(**{**fields, "costs": Costs(**fields["costs"])})
    scores = [(each.accuracy, each.metric_score) for each in (result, report)]
    same_accuracy = job.test or scores[0] == scores[1]
    if not result.epochs == report.epoch == job.recipe.epochs or not same_accuracy:
        raise DamagedFileError("the result is not that of the trial's last epoch.")
    return FinishedTrial(report, result)


def own_finished_json(finished: FinishedTrial, job: Job) -> dict[str, Any]:
    """What is recorded of a trial that a user's own evaluation has trained; NaN is None in it."""
    facts = finished.to_json(job)
    for part in ("report", "result"):
        facts[part] = {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in facts[part].items()
        }
    return facts


def read_own_finished(facts: object, job: Job) -> FinishedTrial:
    """The inverse of `own_finished_json`.

    Args:
        facts: what it returned.
        job: the trial.

    Raises:
        DamagedFileError: the facts are of another trial, or cannot be true.
    """
    finished: _OwnFinishedTrial = _validated(_OwnFinishedTrial, facts)
    finished.check(job)
    report: dict[str, Any] = {
        name: math.nan if value is None and name != "metric_score" else value
        for name, value in finished.report.model_dump().items()
    }
    result = finished.result.model_dump()
    result |= {"costs": Costs(**result["costs"])}
    if result["accuracy"] is None:
        result["accuracy"] = math.nan
    if not result["epochs"] == report["epoch"] <= job.recipe.epochs:
        raise DamagedFileError("the result is not that of the trial's last epoch.")
    return FinishedTrial(EpochReport(**report), TrialResult(**result))


def describe_owner(job: Job) -> dict[str, Any]:
    """What identifies the trial, and the images, of a file."""
    return {"identity": job.identity, "data_key": job.data_key}


def _validated(model: type[BaseModel], facts: object) -> Any:
    try:
        return model.model_validate(facts)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise DamagedFileError(
            f"the facts of the file are wrong: {field}: {problem['msg']}"
        ) from None
