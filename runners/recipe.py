"""Everything but the architecture and the seed that decides a trial's outcome.

One study trains all its trials with one recipe, so that they stay comparable. A recipe is a frozen,
validated value that imports no torch; it is stored with the study and travels to the workers.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import RecipeError

Stem = Literal["native", "small"]
Init = Literal["scratch", "pretrained"]
Precision = Literal["float32", "bf16"]
Schedule = Literal["wsd", "onecycle", "constant"]


class Recipe(BaseModel):
    """Training settings. Fractions are of the whole run; sizes in pixels; `lr` is the peak.

    Raises RecipeError from `Recipe.of` for values out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = Field(description="embedded name, folder, archive, or a timm data set name")
    image_size: int = Field(gt=0, le=4096, description="side of the square picture, pixels")
    stem: Stem = Field("native", description="small: stride 1 and no pooling, for tiny pictures")
    init: Init = "scratch"
    train_limit: int | None = Field(None, gt=0, description="use at most so many pictures")
    val_fraction: float = Field(0.2, gt=0, lt=1, description="of the training split, held out")
    data_seed: int = Field(0, ge=0, description="decides which pictures are held out")
    skip_broken: bool = Field(False, description="leave out pictures that cannot be decoded")

    epochs: int = Field(8, ge=1)
    batch_size: int = Field(128, ge=2)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(4e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    schedule: Schedule = "wsd"
    warmup: float = Field(0.05, ge=0, lt=1, description="fraction of the steps")
    decay: float = Field(0.4, ge=0, le=1, description="fraction of the steps, at the end")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    ema: float = Field(0.99, ge=0, lt=1, description="decay of averaged weights a step; 0: none")
    flip: bool = Field(False, description="mirror pictures, each in every other epoch")
    crop: int = Field(0, ge=0, description="shift by up to so many pixels, edges reflected")
    cutout: int = Field(0, ge=0, description="cover a square of so many pixels")
    mirror: bool = Field(False, description="evaluate a picture with its mirror image, averaged")
    precision: Precision = "float32"
    channels_last: bool = True
    cuda_graph: bool = Field(True, description="capture the step where a GPU can")

    @model_validator(mode="after")
    def _phases_fit(self) -> Recipe:
        if self.warmup + self.decay > 1:
            raise ValueError("warmup and decay together exceed the whole run")
        return self

    @classmethod
    def of(cls, **fields: Any) -> Recipe:
        """A recipe; RecipeError in one sentence for a value that is out of range."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise RecipeError(describe(error, "recipe")) from None


def describe(error: ValidationError, what: str) -> str:
    """The first problem that pydantic found, as one sentence."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    told = not where or isinstance(given, dict) or repr(given) in message
    shown = "" if told else f" (got {given!r})"
    return f"{what}: {f'{where}: ' if where else ''}{message[:1].lower()}{message[1:]}{shown}"
