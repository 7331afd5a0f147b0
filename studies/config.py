"""What a study is, as one validated value: the part that never changes, and how far to run it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ..errors import UsageError, did_you_mean
from ..runners.metrics import own_metric
from ..runners.recipe import MAX_COUNT, Recipe
from ..runners.results import DEFAULT_MAX_PREDICTIONS_MIB, KeepPredictions
from ..runners.user_evaluation import UserEvaluation
from ..runners.validation_errors import describe_validation_error
from ..spaces.search_space.space import Space
from .objectives import OBJECTIVES, Objective, metric_objective, objective

SamplerName = Literal["additive", "tpe", "nsga2", "nsga3", "gp", "qmc", "random", "grid"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
DEFAULT_SAMPLER: SamplerName = "additive"

PrunerName = Literal["asha", "front", "none"]
PRUNER_SETTINGS: dict[str, tuple[str, ...]] = {
    "asha": ("first", "eta", "signal"),
    "front": ("first", "eta", "chance"),
    "none": (),
}
"""The fields of `Pruning` that each pruner reads."""
DEFAULT_FIRST_RUNG_OF_FRONT = 0.125
"""The default of `first` for the pruner `front`."""


class Pruning(BaseModel):
    """Which trials are stopped early, and when; the pruners are in `search/pruning`.

    Attributes:
        first: the first rung as a fraction of all epochs; by default 0.25, for `front` 0.125.
        eta: the ratio of one rung to the one before; with `asha`, one trial in `eta` continues.
        signal: what `asha` compares trials by: the validation accuracy at the rung, the mean
            training loss there, or the final accuracy that the model expects.
        chance: `front` stops an architecture whose probability of being on the front is below this
            fraction of the highest probability.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    pruner: PrunerName = "none"
    eta: Annotated[int, Field(ge=2)] = 3
    first: Annotated[float, Field(gt=0, lt=1)] = 0.25
    signal: Literal["accuracy", "train_loss", "expected"] = "expected"
    chance: Annotated[float, Field(gt=0, lt=1)] = 0.15

    @model_validator(mode="before")
    @classmethod
    def _set_first(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and fields.get("pruner") == "front":
            return {"first": DEFAULT_FIRST_RUNG_OF_FRONT, **fields}
        return fields

    @classmethod
    def parse_fields(cls, text: str) -> dict[str, str]:
        """The fields that a text such as `asha` or `asha:first=0.25,eta=4` sets.

        Raises:
            ValueError: the pruner or the setting is unknown, or a value is missing.
        """
        name, _, rest = text.partition(":")
        if name not in PRUNER_SETTINGS:
            raise ValueError(f"{name!r} should be 'asha', 'front' or 'none'")
        fields, known = {"pruner": name}, PRUNER_SETTINGS[name]
        for pair in filter(None, rest.split(",")):
            key, equals, value = (part.strip() for part in pair.partition("="))
            if name == "none":
                raise ValueError("none has no settings; write asha:" + rest)
            if key not in known:
                raise ValueError(f"{name} has no setting {key!r}{did_you_mean(key, known)}")
            if not equals or not value:
                usual = getattr(cls.model_validate({"pruner": name}), key)
                raise ValueError(f"{key} has no value; write {key}={usual}")
            fields[key] = value
        return fields


def check_objectives(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of objectives, each once; ValueError unless one of them is a metric."""
    known = tuple(dict.fromkeys(objective(name).name for name in names))
    if all(objective(name).is_cost for name in known):
        raise ValueError("accuracy must be one of the objectives; add --objective accuracy")
    return known


ObjectiveNames = Annotated[tuple[str, ...], AfterValidator(check_objectives)]
"""Names of objectives, each once. The first metric among them is the one that is searched for; a
user's own evaluation can have further ones."""


def check_metric(name: str) -> str:
    """The name of a metric; ValueError if there is none of that name."""
    try:
        metric = objective(name)
    except UsageError as error:
        if own_metric(name) is not None:
            raise ValueError(str(error)) from None
        names = [o.name for o in OBJECTIVES.values() if not o.is_cost]
        hint = f"; one of your own needs its direction: {name}:max or {name}:min"
        own = hint if name.isidentifier() else ""
        raise ValueError(f"unknown metric {name!r}{did_you_mean(name, names)}{own}") from None
    if metric.is_cost:
        raise ValueError(f"{name} is a cost; choose it with --objective {name}")
    return metric.name


MetricName = Annotated[str, AfterValidator(check_metric)]
"""The name of a metric, or of a user's own one with its direction and unit: `miou:max:%`."""
DEFAULT_OBJECTIVES = ("accuracy", "params")


def measured_costs(objectives: Iterable[str], limits: Iterable[str]) -> tuple[str, ...]:
    """The costs that have to be measured, because an objective or a limit (by key) needs them."""
    keys = {*(objective(name).key for name in objectives), *limits}
    return tuple(key for key in ("latency_ms", "memory_mib") if key in keys)


class StudyConfig(BaseModel):
    """Everything that makes a study's results what they are; stored with it, never changed.

    `tuning` holds what was tried on the bare backbone to find the recipe's learning rate. `limits`
    are upper bounds on costs by their key (`params`, `macs`, `latency_ms`, `memory_mib`).
    `largest_costs` are those of an architecture with the most expensive choices of the space.
    `evaluation` trains the trials if it is a user's own; without it the recipe does.
    `num_classes` are those of the data, or 0 if a user's own evaluation does not say.
    `device` is a kind (`cpu`, `cuda`, `mps`), because results on another kind do not compare.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    backbone: str
    recipe: Recipe
    space: Space
    objectives: ObjectiveNames = DEFAULT_OBJECTIVES
    limits: dict[str, float] = {}
    sampler: SamplerName = Field(DEFAULT_SAMPLER, description="Method that proposes architectures.")
    pruning: Pruning = Field(default_factory=Pruning)
    seed: int = Field(0, ge=0, description="Seed of the study.")
    device: str = "cpu"
    num_classes: int
    evaluation: UserEvaluation | None = None
    stages: int
    reference_latency_ms: float | None = None
    reference_latency_error_ms: float | None = None
    largest_costs: dict[str, float] = {}
    tuning: tuple[dict[str, float], ...] = ()

    @field_validator("limits")
    @classmethod
    def _positive(cls, limits: dict[str, float]) -> dict[str, float]:
        for key, limit in limits.items():
            if limit <= 0:
                raise ValueError(f"the limit on {key} has to be above zero")
        return limits

    @property
    def keys(self) -> tuple[str, ...]:
        """The objectives as keys of a trial's values."""
        return tuple(objective(name).key for name in self.objectives)

    @property
    def metric(self) -> Objective:
        """The metric that is searched for."""
        return metric_objective(objective(name) for name in self.objectives)

    @property
    def measured(self) -> tuple[str, ...]:
        """The costs that have to be measured, because an objective or a limit needs them."""
        return measured_costs(self.objectives, self.limits)


def _known_pool(name: str) -> str:
    from ..runners.workers.pool import POOLS  # multiprocessing, which few readers of a plan need

    if name not in POOLS:
        raise ValueError(f"unknown pool {name!r}{did_you_mean(name, POOLS)}")
    return name


def check_ray_address(address: str) -> str:
    """The address of a Ray cluster; ValueError if it has another form."""
    if address.startswith("ray://"):
        raise ValueError(
            "an address of Ray's client (ray://) cannot be used; run attentune on a node of the "
            "cluster, with --ray-address auto"
        )
    if address not in ("auto", "local") and not re.fullmatch(r"\S+:\d{1,5}", address):
        raise ValueError(f"must be auto, local or HOST:PORT, not {address!r}")
    return address


DEFAULT_MAX_WEIGHTS_MIB = 20 * 2**10
"""Disk space for the weights of a study, MiB, unless a user asks for another."""


class RunPlan(BaseModel):
    """How long to run a study, and on what. Totals are over all runs; `resume` changes the plan.

    `budget` is wall time, `device_budget` the busy time of all devices together, and
    `trial_timeout` the time after which a single trial is ended, all in seconds.
    `trial_memory`, `max_weights_size` and `max_predictions_size` are in MiB; see
    `weights_limit_mib` and `predictions_limit_mib`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    trials: int = Field(
        40, ge=1, le=MAX_COUNT, description="Number of trials in total, baselines included."
    )
    budget: float | None = Field(
        None,
        gt=0,
        description="Wall time in total, e.g. 2h or 90m; converged means --until converged.",
    )
    until: Literal["trials", "converged"] = Field(
        "trials",
        description="When to end: after all trials; or, at the latest then, when the search has "
        "converged, so that the next 20 trials are expected to add less than --min-gain.",
    )
    min_gain: float = Field(
        0.1,
        gt=0,
        le=100,
        description="Expected gain of the next 20 trials, in points (of AUROC and log loss in "
        "hundredths, of a metric of your own in its unit), below which the search has converged.",
    )
    device_budget: float | None = Field(
        None, gt=0, description="Busy time of all devices together, e.g. 8h."
    )
    trial_timeout: float | None = Field(
        None, gt=0, description="Maximum time for one trial, e.g. 30m."
    )
    trial_memory: float | None = Field(
        None,
        gt=0,
        description="Maximum memory of one trial: of its worker, or on its GPU; e.g. 4GiB.",
    )
    workers: int | None = Field(
        None, ge=1, le=MAX_COUNT, description="Trials that run at the same time."
    )
    workers_per_gpu: int = Field(
        1, ge=1, le=MAX_COUNT, description="Trials that run at the same time on one GPU."
    )
    pool: Annotated[str, AfterValidator(_known_pool)] = Field(
        "local",
        description="Where workers run; local: processes on this machine; ray: actors on the nodes "
        "of a Ray cluster, one for each of its CPUs, or --workers-per-gpu for each of its GPUs.",
    )
    ray_address: Annotated[str, AfterValidator(check_ray_address)] = Field(
        "auto",
        description="Ray cluster for --pool ray: auto for that of this machine, HOST:PORT of its "
        "head node, or local to start one on this machine.",
    )
    device: str = Field("auto", description="Device: auto, cpu, cuda, cuda:1 or mps.")
    alternatives: bool = Field(
        False,
        description="Also train what one would do instead of attention, with the seeds of the bare "
        "backbone: the next larger backbone of its family, half as many epochs again, larger "
        "images. These do not count as trials, but their time counts.",
    )
    keep_weights: Literal["all", "front", "none"] = Field(
        "all",
        description="Trained weights to keep for export; front: those of the Pareto front, the "
        "best architecture, the bare backbone, alternatives and confirming trials.",
    )
    max_weights_size: float | None = Field(
        None,
        gt=0,
        description="Disk space for the weights, e.g. 50GiB; beyond it, those of the trials "
        "farthest from the front are deleted.",
    )
    keep_predictions: KeepPredictions = Field(
        "all",
        description="What to keep of each trial's predictions for the validation images (test "
        "images in confirm), for metrics and comparisons; classes: no probabilities.",
    )
    max_predictions_size: float | None = Field(
        None,
        gt=0,
        description="Maximum size of the class probabilities of one trial, e.g. 64MiB; of larger "
        "ones only the predicted classes are kept.",
    )

    @property
    def weights_limit_mib(self) -> float:
        """The disk space for weights, MiB."""
        return DEFAULT_MAX_WEIGHTS_MIB if self.max_weights_size is None else self.max_weights_size

    @property
    def predictions_limit_mib(self) -> float:
        """The maximum size of the class probabilities of one trial, MiB."""
        limit = self.max_predictions_size
        return DEFAULT_MAX_PREDICTIONS_MIB if limit is None else limit


def validated(model: type[BaseModel], command: str, **fields: Any) -> Any:
    """Make a model from values that a user gave.

    Args:
        model: the class.
        command: the command that took the values; the message begins with it.
        **fields: the values.

    Raises:
        UsageError: a value is wrong; the message describes the first one.
    """
    _check_switches(model, command, fields)
    try:
        return model(**fields)
    except ValidationError as error:
        raise UsageError(describe_validation_error(error, command)) from None


def _check_switches(model: type[BaseModel], command: str, fields: Mapping[str, Any]) -> None:
    """Refuse True and False where a number is meant: Python takes them for 1 and 0."""
    for name, value in fields.items():
        values = value if isinstance(value, list | tuple) else [value]
        field = model.model_fields.get(name)
        is_switch = field is None or bool in (field.annotation, *get_args(field.annotation))
        if not is_switch and any(isinstance(item, bool) for item in values):
            raise UsageError(f"{command}: {name}: takes a value, not {value!r}")
