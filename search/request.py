"""What a user may ask of `attentune search`, from flags and from `study.toml` alike.

The names are those of the flags with underscores. `prepare` turns a request into a `StudyConfig`:
it looks at the data and the backbone and settles everything that was left to `auto`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..errors import SpaceError, UsageError, did_you_mean
from ..runners.data import Progress, inspect_data, prepare_data
from ..runners.recipe import Recipe
from ..runners.results import Costs
from ..spaces.architecture import Architecture
from ..spaces.bound import bind
from ..spaces.space import Space, load_space
from . import quantities
from .config import (
    DEFAULT_SAMPLER,
    SAMPLERS,
    Pruning,
    RunPlan,
    SamplerName,
    StudyConfig,
    validated,
)
from .settle import Memory, settle_computing, settle_learning
from .wording import short_count

Names = tuple[str, ...]


ONECYCLE_WARMUP = 0.25
"""Fraction of the steps; a one-cycle schedule rises for about a third of its way."""


class SearchRequest(BaseModel):
    """A study as it was asked for. Quantities may be text (`5M`, `8ms`, `2h`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str
    data: str
    space: str = "quick"
    attention: Names | None = None
    ratio: tuple[int, ...] | None = None
    position: Names | None = None
    granularity: Literal["network", "stage", "block"] | None = None
    start: Literal["paper", "identity"] | None = None

    objective: Names = ("accuracy", "params")
    max_params: float | None = None
    max_macs: float | None = None
    max_latency: float | None = None
    max_memory: float | None = None
    sampler: SamplerName | Literal["auto"] = "auto"
    pruner: Pruning = Pruning()
    seed: int = Field(0, ge=0)

    trials: int = Field(40, ge=1)
    budget: float | None = None
    device_budget: float | None = None
    trial_timeout: float | None = None
    workers: int | None = Field(None, ge=1)
    workers_per_gpu: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    pool: Literal["local"] = "local"
    device: str = "auto"

    image_size: int | None = Field(None, gt=0)
    stem: Literal["auto", "native", "small"] = "auto"
    init: Literal["scratch", "pretrained"] = "scratch"
    epochs: int = Field(8, ge=1)
    batch_size: int = Field(128, ge=2)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float | Literal["auto"] = "auto"
    weight_decay: float | None = Field(None, ge=0)
    schedule: Literal["wsd", "onecycle", "constant"] = "wsd"
    warmup: float | None = Field(None, ge=0, lt=1)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "float32", "bf16"] = "auto"
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    flip: bool | None = None
    crop: int | None = Field(None, ge=0)
    cutout: int = Field(0, ge=0)
    mirror: bool = False
    cuda_graph: bool = True
    train_limit: int | None = Field(None, gt=0)
    val_fraction: float = Field(0.2, gt=0, lt=1)
    skip_broken: bool = False

    @field_validator("max_params", "max_macs", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        return None if value is None else quantities.count(value)

    @field_validator("max_latency", mode="before")
    @classmethod
    def _milliseconds(cls, value: Any) -> Any:
        return None if value is None else quantities.milliseconds(value)

    @field_validator("max_memory", mode="before")
    @classmethod
    def _mebibytes(cls, value: Any) -> Any:
        return None if value is None else quantities.mebibytes(value)

    @field_validator("lr", mode="before")
    @classmethod
    def _rate(cls, value: Any) -> Any:
        try:
            rate = math.inf if value == "auto" else float(value)
        except (TypeError, ValueError):
            rate = 0.0
        if not rate > 0:
            raise ValueError("has to be auto, or a number above zero such as 0.003")
        return value

    @field_validator("workers_per_gpu", mode="before")
    @classmethod
    def _packed(cls, value: Any) -> Any:
        if value != "auto" and not (str(value).isdecimal() and int(value) > 0):
            raise ValueError("has to be auto, or a number of workers such as 2")
        return value if value == "auto" else int(value)

    @field_validator("budget", "device_budget", "trial_timeout", mode="before")
    @classmethod
    def _seconds(cls, value: Any) -> Any:
        return None if value is None else quantities.seconds(value)

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
        return Pruning.written(value) if isinstance(value, str) else value

    @property
    def limits(self) -> dict[str, float]:
        """The cost limits by key."""
        given = {
            "params": self.max_params,
            "macs": self.max_macs,
            "latency_ms": self.max_latency,
            "memory_mib": self.max_memory,
        }
        return {key: value for key, value in given.items() if value is not None}

    @property
    def plan(self) -> RunPlan:
        """How far to run, with one worker a GPU where that is left to auto."""
        fields = self.model_dump(include=set(RunPlan.model_fields))
        if self.workers_per_gpu == "auto":
            fields["workers_per_gpu"] = 1
        plan: RunPlan = validated(RunPlan, "search", **fields)
        return plan

    def resolved_space(self) -> Space:
        """The search space with the flags' changes."""
        return load_space(
            self.space,
            attentions=self.attention,
            ratios=self.ratio,
            positions=self.position,
            fallback_positions=() if self.position else None,  # what was asked for, or nothing
            granularity=self.granularity,
            start=self.start,
        )


def read_request(flags: Mapping[str, Any], config: Path | None) -> SearchRequest:
    """Flags over the file's settings over the defaults; UsageError for what does not fit."""
    fields: dict[str, Any] = {}
    if config is not None:
        try:
            fields = tomllib.loads(config.read_text("utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read {config}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{config} is not valid TOML: {error}") from None
        fields = {name.replace("-", "_"): value for name, value in fields.items()}
    for name in fields:
        if name not in SearchRequest.model_fields:
            hint = did_you_mean(name, SearchRequest.model_fields)
            raise UsageError(f"{config}: unknown setting {name!r}{hint}")
    fields |= {name: value for name, value in flags.items() if value is not None}
    for needed in ("backbone", "data"):
        if needed not in fields:
            raise UsageError(f"--{needed} is missing; see attentune search --help")
    request: SearchRequest = validated(SearchRequest, "search", **fields)
    return request


def prepare(
    request: SearchRequest,
    say: Callable[[str], None],
    memory: Memory,
    progress: Progress | None = None,
) -> StudyConfig:
    """Look at the data and the backbone, settle what was left open, and say what was chosen.

    Decodes the data into its cache, with `progress` told now and then; what was measured before
    for another study comes from `memory`. Raises the errors of the
    parts: an unknown backbone, a place that it has not, a data set that cannot be used, an empty
    space, an objective that is none.
    """
    space = request.resolved_space()
    draft = validated(  # wrong words are refused before anything slow happens
        StudyConfig,
        "search",
        backbone=request.backbone,
        recipe=Recipe.of(data=request.data, image_size=32),
        space=space,
        objectives=request.objective,
        limits=request.limits,
        sampler=DEFAULT_SAMPLER if request.sampler == "auto" else request.sampler,
        pruning=request.pruner,
        seed=request.seed,
        num_classes=2,
        stages=1,
    )
    from ..runners.cost import CostModel
    from ..runners.devices import resolve_device
    from ..spaces.build import choose_stem
    from ..spaces.timm_compat import check_backbone
    from ..spaces.weights import pretrained_backbone

    check_backbone(request.backbone)
    device = resolve_device(request.device)
    if request.init == "pretrained":
        pretrained_backbone(request.backbone)  # now, rather than in every trial
    source = inspect_data(request.data)
    image_size = request.image_size or source.image_size
    stem = request.stem
    if stem == "auto":
        stem = choose_stem(request.backbone, image_size)
    flip = source.flip if request.flip is None else request.flip
    crop = source.crop if request.crop is None else request.crop
    path = Path(request.data).expanduser()
    data = str(path.resolve()) if request.data != source.name and path.exists() else request.data
    recipe = _recipe(request, data=data, image_size=image_size, stem=stem, flip=flip, crop=crop)
    info = prepare_data(recipe, progress)
    if info.broken:
        say(f"left out {len(info.broken)} broken pictures: {', '.join(info.broken[:5])}")
    costs = CostModel(request.backbone, recipe, len(info.classes))
    bound = bind(space, costs.site_map)
    bare = costs.of(Architecture(request.backbone))
    say(
        f"{request.backbone}: {short_count(bare.params)} parameters, "
        f"{short_count(bare.macs)} MACs at {image_size}×{image_size}, {stem} stem; "
        f"{info.name}: {info.counts['train']:,} + {info.counts['val']:,} pictures, "
        f"{len(info.classes)} classes; space {space.name}: {bound.size():,} architectures"
    )
    sampler = draft.sampler
    if request.sampler == "auto":
        sampler, why = choose_sampler(bound.size(), request.trials)
        say(f"sampler {sampler}: {why}; --sampler overrides it")
    _check_limits(request, bare)
    config: StudyConfig = draft.model_copy(
        update={
            "recipe": recipe,
            "device": device.type,
            "sampler": sampler,
            "num_classes": len(info.classes),
            "stages": len(costs.site_map.blocks),
        }
    )
    if "latency_ms" in config.measured:
        from ..runners.cost import reference_latency

        latency = reference_latency(config.backbone, recipe, config.num_classes, device)
        _check_limits(request, replace(bare, latency_ms=latency))
        config = config.model_copy(update={"reference_latency_ms": latency})
        say(f"the bare backbone takes {latency:.3g} ms a picture on {device}")
    recipe = settle_computing(request, recipe, config.num_classes, device, memory, say)
    recipe, tried = settle_learning(request, recipe, device, say)
    return config.model_copy(update={"recipe": recipe, "tuning": tried})


def choose_sampler(size: int, trials: int) -> tuple[SamplerName, str]:
    """The sampler for a space of so many architectures and so many trials, and why."""
    if size <= trials:
        return "grid", f"the {size:,} architectures fit into {trials:,} trials"
    return DEFAULT_SAMPLER, f"{size:,} architectures are more than {trials:,} trials can try"


def _check_limits(request: SearchRequest, bare: Costs) -> None:
    if over := bare.over(request.limits):
        raise SpaceError(
            f"the bare {request.backbone} breaks a limit itself: {over}; raise it, or take a "
            "smaller backbone"
        )


def _recipe(request: SearchRequest, **settled: Any) -> Recipe:
    shared = set(Recipe.model_fields) & set(SearchRequest.model_fields) - set(settled)
    given = request.model_dump(include=shared, exclude_none=True)
    fields = {name: value for name, value in given.items() if value != "auto"}
    if request.optimizer == "adamw":
        defaults = {"lr": 4e-3, "weight_decay": 0.05}
    else:
        defaults = {"lr": 0.1, "weight_decay": 5e-4}
    if request.init == "pretrained":
        defaults["lr"] /= 4
    if request.schedule == "onecycle":
        defaults["warmup"] = ONECYCLE_WARMUP
    return Recipe.of(**{**defaults, **fields, **settled, "data_seed": request.seed})
