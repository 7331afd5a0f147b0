"""The settings of `attentune search`, from options, from a TOML file, or from a script.

A setting is declared once, as a field of the model that keeps it: `Recipe` and `RunPlan` hold most
of them, `SearchRequest` adds those of the search itself. A new field of `Recipe` becomes an option
and a key of `--config` by itself. `LEFT_OPEN` lists the settings that a request may leave to
attentune; `resolve.py` decides them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from ...errors import UsageError, did_you_mean
from ...runners.artifacts.location import parse_location
from ...runners.recipe import MAX_COUNT, MAX_SEED, ONECYCLE_WARMUP, RATES, Recipe
from ...runners.results import DEFAULT_MAX_PREDICTIONS_MIB
from ...spaces.search_space.space import OwnAttentionPolicy, Space, load_space
from ...studies.config import (
    DEFAULT_MAX_WEIGHTS_MIB,
    DEFAULT_OBJECTIVES,
    SAMPLERS,
    MetricName,
    ObjectiveNames,
    Pruning,
    RunPlan,
    SamplerName,
    StudyConfig,
    validated,
)
from ...studies.objectives import objective
from ...toml_files import read_toml
from . import units
from .contradictions import check_contradictions

Names = tuple[str, ...]
Count = Annotated[float, Field(gt=0), BeforeValidator(units.parse_count)]
Milliseconds = Annotated[float, Field(gt=0), BeforeValidator(units.parse_milliseconds)]
Mebibytes = Annotated[float, Field(gt=0), BeforeValidator(units.parse_mebibytes)]

Preset = Literal["none", "light", "standard", "strong"]
AUGMENTATION_FIELDS = (
    "flip", "crop", "cutout", "crop_scale", "color_jitter", "randaugment", "erasing", "mixup",
    "cutmix",
)  # fmt: skip
"""The fields of the recipe that `augment` decides."""


@dataclass(frozen=True)
class LeftOpen:
    """How a request leaves a setting open.

    Attributes:
        value: what leaves it open: `auto`, or None if it is simply left out.
        meaning: the value that is then used, for `--help` and the guide.
    """

    value: Literal["auto"] | None
    meaning: str


LEFT_OPEN: dict[str, LeftOpen] = {
    "sampler": LeftOpen("auto", "grid if every architecture fits into the trials, else additive"),
    "workers": LeftOpen(None, "one per core on a CPU; --workers-per-gpu on each GPU"),
    "workers_per_gpu": LeftOpen("auto", "1, 2 or 4, while the measured throughput rises"),
    "image_size": LeftOpen(None, "depends on the data"),
    "stem": LeftOpen(
        "auto",
        "small, or stride1 with pretrained weights, if images have at most 48 pixels and the last "
        "feature map would be smaller than 4×4, or if that would be 1×1",
    ),
    "init": LeftOpen("auto", "pretrained for photographs where timm has weights, else scratch"),
    "interpolation": LeftOpen(None, "that of pretrained weights, else bicubic"),
    "epochs": LeftOpen(None, "8, or more for at least 200 steps in all"),
    "batch_size": LeftOpen(None, "128, or down to 16 for at least 16 steps an epoch"),
    "drop_last": LeftOpen(None, "no"),
    "lr": LeftOpen("auto", "tuned on the bare backbone"),
    "attention_lr": LeftOpen(
        "auto", "tuned with pretrained weights on the backbone with one attention, else --lr"
    ),
    "weight_decay": LeftOpen(
        None, " or ".join(f"{rates.weight_decay:g} with {name}" for name, rates in RATES.items())
    ),
    "warmup": LeftOpen(
        None, f"{Recipe.model_fields['warmup'].default}, or {ONECYCLE_WARMUP} with onecycle"
    ),
    "in_chans": LeftOpen("auto", "3, or what arrays have that are neither grey nor RGB"),
    "value_range": LeftOpen(None, "the range of the data's values"),
    "max_pixels": LeftOpen(None, "90M"),
    "flip": LeftOpen(None, "depends on --augment and the data"),
    **dict.fromkeys(AUGMENTATION_FIELDS[1:], LeftOpen(None, "depends on --augment")),
    "precision": LeftOpen("auto", "the fastest, measured"),
    "memory_format": LeftOpen("auto", "the fastest, measured"),
    "max_weights_size": LeftOpen(None, f"{DEFAULT_MAX_WEIGHTS_MIB / 2**10:g} GiB"),
    "max_predictions_size": LeftOpen(None, f"{DEFAULT_MAX_PREDICTIONS_MIB:g} MiB"),
}
"""Settings that a request may leave open."""
_DERIVED_FIELDS = {"data_seed", "decay", "ema", "channels_last", "init_digest", "normalisation"}
"""Fields of the recipe that follow from other settings: from `seed`, `lr`, `memory_format`, or
`init`."""
CONVERGED = "converged"
"""The value of `until`, and of `budget`, with which a search ends once it has converged."""
PARSERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("budget", "device_budget", "trial_timeout"), units.parse_seconds),
    **dict.fromkeys(
        ("max_predictions_size", "max_weights_size", "trial_memory"), units.parse_mebibytes
    ),
    "value_range": units.parse_range,
    "max_pixels": units.parse_whole,
    "input": units.parse_shape,
}
"""Read the settings of `RunPlan` and `Recipe` that have a unit, or are two numbers."""


def _request_field(name: str, field: FieldInfo) -> tuple[Any, Any]:
    """Type and default that a model's field has in a request, where it may be left open."""
    kind: Any = (
        Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    )
    if (parse := PARSERS.get(name)) is not None:
        kind = Annotated[kind, BeforeValidator(partial(_parse_unless_none, parse))]
    if name not in LEFT_OPEN:
        return kind, Field(field.default, description=field.description)
    value = LEFT_OPEN[name].value
    if value is None:
        kind = kind | None
    elif get_origin(kind) is Literal:
        kind = Literal[(value, *get_args(kind))]  # So that messages show one list of choices.
    else:
        kind = kind | Literal[value]
    return kind, Field(value, description=field.description)


def _parse_unless_none(parse: Callable[[Any], Any], value: Any) -> Any:
    return None if value is None else parse(value)


if TYPE_CHECKING:
    _SharedSettings = BaseModel
else:
    _SharedSettings = create_model(
        "_SharedSettings",
        __config__=ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False),
        **{
            name: _request_field(name, field)
            for model in (RunPlan, Recipe)
            for name, field in model.model_fields.items()
            if name not in _DERIVED_FIELDS
        },
    )


class SearchRequest(_SharedSettings):
    """The requested settings of a study. Quantities may be text (`5M`, `8ms`, `2h`).

    The settings of `RunPlan` and `Recipe` are fields too; read them with `plan` and
    `recipe_settings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    backbone: str = Field(description="timm model, e.g. resnet18.")
    space: str = Field("quick", description="Search space: quick, where, full, or a TOML file.")
    attention: Names | None = Field(
        None, description="Attention to choose from, in place of the space's."
    )
    ratio: tuple[int, ...] | None = Field(
        None, description="Reduction ratio to choose from, in place of the space's."
    )
    position: Names | None = Field(
        None, description="Position to choose from, in place of the space's."
    )
    module: Names | None = Field(
        None,
        description="Module of a network of your own to choose for, by its path, in place of its "
        "stages, e.g. model.6.",
    )
    granularity: Literal["network", "stage", "block"] | None = Field(
        None, description="Level at which attentions are chosen, in place of the space's."
    )
    own_attention: OwnAttentionPolicy | None = Field(
        None,
        description="What to do with attention that the backbone itself has, as SE in "
        "efficientnet_b0: keep it, remove all of it first, or search where it can be removed, in "
        "place of the space's setting. With --attention none, nothing else is searched.",
    )
    start: Literal["paper", "identity"] | None = Field(
        None,
        description="How a module begins, as published (paper) or as the identity, in place of the "
        "space's setting.",
    )

    augment: Literal["auto"] | Preset = Field(
        "auto",
        description="Augmentation of training images: light shifts and mirrors them; standard "
        "crops, mirrors and changes colours; strong adds RandAugment, random erasing, mixup and "
        "CutMix. auto is standard for photographs, and light for small images. Each part has an "
        "option of its own.",
    )
    evaluate: str | None = Field(
        None,
        min_length=1,
        description="Your own training in place of the built-in one: a function, e.g. "
        "my_module:train, or a command, e.g. 'python train.py'. It reads its own data.",
    )
    num_classes: int | None = Field(
        None,
        ge=1,
        le=MAX_COUNT,
        description="Outputs of the head of the networks that --evaluate trains.",
    )
    metric: MetricName = Field(
        "accuracy",
        description="Metric to search for: accuracy, balanced-accuracy, macro-f1, auroc, log-loss "
        "or top5; averages over classes weigh them equally. With --evaluate also one of your own, "
        "with its direction and perhaps a unit: miou:max:%, error:min:mm.",
    )
    objective: ObjectiveNames = Field(
        DEFAULT_OBJECTIVES,
        description="Objective: accuracy (required), params, macs, latency or memory.",
    )
    max_params: Count | None = Field(None, description="Maximum number of parameters, e.g. 5M.")
    max_macs: Count | None = Field(None, description="Maximum number of MACs, e.g. 2G.")
    max_latency: Milliseconds | None = Field(
        None, description="Maximum latency per image, e.g. 8ms."
    )
    max_memory: Mebibytes | None = Field(
        None, description="Maximum memory of a training step, e.g. 2GiB."
    )
    sampler: Literal["auto"] | SamplerName = Field(
        "auto", description=StudyConfig.model_fields["sampler"].description
    )
    pruner: Pruning = Field(
        default_factory=Pruning,
        description="Stops trials early: front stops those that are unlikely to reach the Pareto "
        "front; asha stops all but the best third at each rung; none stops no trial. Settings "
        "follow a colon, e.g. front:chance=0.2.",
    )
    seed: int = Field(
        0, ge=0, le=MAX_SEED, description=StudyConfig.model_fields["seed"].description
    )
    artifacts: str | None = Field(
        None,
        min_length=1,
        description="Folder or URL (s3://bucket/folder) for checkpoints, weights and predictions, "
        "which all nodes of a cluster have to share. Default: beside an SQLite database; for "
        "PostgreSQL, the current folder.",
    )
    memory_format: Literal["auto", "channels_last", "contiguous"] = Field(
        "auto", description="Memory layout of feature maps."
    )

    @model_validator(mode="before")
    @classmethod
    def _budget_of_time(cls, fields: Any) -> Any:
        return split_budget(fields) if isinstance(fields, dict) else fields

    @field_validator("artifacts")
    @classmethod
    def _location(cls, value: str | None) -> str | None:
        return None if value is None else parse_location(value)

    @field_validator("lr", "attention_lr", mode="before")
    @classmethod
    def _learning_rate(cls, value: Any) -> Any:
        try:
            return value if value == "auto" else units.parse_number(value)
        except units.QuantityError:
            raise ValueError("must be auto or a number above zero, e.g. 0.003") from None

    @field_validator("workers_per_gpu", mode="before")
    @classmethod
    def _worker_count(cls, value: Any) -> Any:
        if value != "auto" and not (str(value).isdecimal() and int(value) > 0):
            raise ValueError("must be auto or a number of workers, e.g. 2")
        return value if value == "auto" else int(value)

    @field_validator("in_chans", mode="before")
    @classmethod
    def _channel_count(cls, value: Any) -> Any:
        if value != "auto" and not (str(value).isdecimal() and int(value) > 0):
            raise ValueError("must be auto or a number of channels, e.g. 1")
        return value if value == "auto" else int(value)

    @field_validator("sampler", mode="before")
    @classmethod
    def _known_sampler(cls, value: Any) -> Any:
        known = ("auto", *SAMPLERS)
        if value not in known:
            raise ValueError(f"unknown sampler {value!r}{did_you_mean(str(value), known)}")
        return value

    @field_validator("pruner", mode="before")
    @classmethod
    def _pruning(cls, value: Any) -> Any:
        return Pruning.parse_fields(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_metric(self) -> SearchRequest:
        named = [name for name in self.objective if not objective(name).is_cost]
        if self.metric != "accuracy" and not {"accuracy", self.metric} & {*named}:
            raise ValueError(
                f"--metric {self.metric} and --objective {named[0]} exclude each other"
            )
        return self

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives with the metric that is searched for in place of the accuracy."""
        return tuple(self.metric if name == "accuracy" else name for name in self.objective)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives that are metrics, the one that is searched for first."""
        return tuple(name for name in self.objectives if not objective(name).is_cost)

    @property
    def limits(self) -> dict[str, float]:
        """The cost limits by key: a number, MACs, milliseconds or MiB."""
        limits = {
            "params": self.max_params,
            "macs": self.max_macs,
            "latency_ms": self.max_latency,
            "memory_mib": self.max_memory,
        }
        return {key: value for key, value in limits.items() if value is not None}

    @property
    def plan(self) -> RunPlan:
        """How long to run, and on what; one worker per GPU if that number was left open."""
        fields = self.model_dump(include=set(RunPlan.model_fields))
        if self.is_open("workers_per_gpu"):
            fields["workers_per_gpu"] = 1
        plan: RunPlan = validated(RunPlan, "search", **fields)
        return plan

    @property
    def recipe_settings(self) -> dict[str, Any]:
        """The fields of the recipe, without those that were left open."""
        names = set(Recipe.model_fields) & set(type(self).model_fields)
        fields = self.model_dump(include=names)
        return {name: value for name, value in fields.items() if not self.is_open(name)}

    def is_open(self, name: str) -> bool:
        """Whether the setting was left to attentune."""
        return name in LEFT_OPEN and getattr(self, name) == LEFT_OPEN[name].value

    def resolved_space(self) -> Space:
        """The search space with the requested changes; SpaceError if it is invalid."""
        return load_space(
            self.space,
            attentions=self.attention,
            ratios=self.ratio,
            positions=self.position,
            fallback_positions=() if self.position else None,  # No other than the requested ones.
            modules=self.module,
            granularity=self.granularity,
            start=self.start,
            own_attention=self.own_attention,
        )


def split_budget(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in which `budget` is a time: `--budget converged` means `--until converged`.

    Raises:
        ValueError: it contradicts `until`.
    """
    if fields.get("budget") != CONVERGED:
        return dict(fields)
    if fields.get("until") not in (None, CONVERGED):
        raise ValueError(f"{CONVERGED} contradicts --until {fields['until']}")
    return {**fields, "budget": None, "until": CONVERGED}


def read_request(options: Mapping[str, Any], config: Path | None) -> SearchRequest:
    """A request from a TOML file, with options that take precedence over it.

    Args:
        options: settings by name; None and an empty list mean that the setting was left out.
        config: a TOML file whose keys are settings, with `-` or `_` between their words.

    Raises:
        UsageError: the file cannot be read, a setting is unknown, or a value is invalid.
    """
    check_names(options, SearchRequest.model_fields)
    fields = {} if config is None else _read_file(config)
    fields |= {name: value for name, value in options.items() if value not in (None, [])}
    if fields.get("evaluate") is not None:
        fields.setdefault("data", "")
    for name in ("backbone", "data"):
        if name not in fields:
            raise UsageError(
                f"--{name} is missing; write for example --backbone resnet18 --data photos, and "
                "see attentune search --help"
            )
    request: SearchRequest = validated(SearchRequest, "search", **fields)
    check_contradictions(request, fields)
    return request


def _read_file(config: Path) -> dict[str, Any]:
    fields = read_toml(config)
    fields = {name.replace("-", "_"): value for name, value in fields.items()}
    for name, value in fields.items():
        if isinstance(value, dict):
            raise UsageError(f"{config}: settings need no table; remove the line [{name}]")
    check_names(fields, SearchRequest.model_fields, f"{config}: ")
    return fields


def check_names(names: Iterable[str], known: Collection[str], source: str = "") -> None:
    """Raise UsageError for a name that is no setting.

    Args:
        names: of settings.
        known: the names that there are.
        source: where they are from, as the beginning of the message.
    """
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"{source}unknown setting {name!r}{hint}")
