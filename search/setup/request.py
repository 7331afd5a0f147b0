"""What a user may ask of `attentune search`, from flags and from `study.toml` alike.

The names are those of the flags with underscores. `resolve.py` makes a `StudyConfig` of a request.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ...errors import UsageError, did_you_mean
from ...spaces.search_space.space import Space, load_space
from ...studies.config import SAMPLERS, Pruning, RunPlan, SamplerName, validated
from . import units

Names = tuple[str, ...]


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
        return None if value is None else units.count(value)

    @field_validator("max_latency", mode="before")
    @classmethod
    def _milliseconds(cls, value: Any) -> Any:
        return None if value is None else units.milliseconds(value)

    @field_validator("max_memory", mode="before")
    @classmethod
    def _mebibytes(cls, value: Any) -> Any:
        return None if value is None else units.mebibytes(value)

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
        return None if value is None else units.seconds(value)

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
