"""The recipe: everything except the architecture and the seed that decides a trial's outcome.

A study trains all its trials with one recipe, so that they are comparable. A recipe is a frozen,
validated value; it is stored with the study and sent to the workers. This module imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import RecipeError
from ..spaces.backbones.sites import ImageSize
from ..spaces.backbones.stem import Stem
from .validation_errors import describe_validation_error

Init = str
"""`scratch`, `pretrained`, or the path of a file of weights."""
Precision = Literal["float32", "bf16", "fp16"]
Schedule = Literal["wsd", "onecycle", "constant"]
Optimizer = Literal["adamw", "sgd"]
Fit = Literal["crop", "pad", "squash"]
Interpolation = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


class Normalisation(NamedTuple):
    """Mean and standard deviation of every channel, for values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class Rates(NamedTuple):
    """The peak learning rate and weight decay that an optimizer starts from."""

    lr: float
    weight_decay: float


RATES: dict[Optimizer, Rates] = {"adamw": Rates(4e-3, 0.05), "sgd": Rates(0.1, 5e-4)}
RGB_CHANNELS = 3
MAX_CHANNELS = 1024
MAX_COUNT = 2**31 - 1
"""Of epochs, images, trials or workers; far above what is useful."""
MAX_SEED = 2**62
"""Of a study. A trial's seed is this plus an offset, and a database has 63 bits for it."""
FIRST_FIELDS = frozenset((
    "data", "image_size", "stem", "init", "train_limit", "val_fraction", "data_seed",
    "skip_broken", "epochs", "batch_size", "optimizer", "lr", "weight_decay", "schedule",
    "warmup", "decay", "label_smoothing", "ema", "flip", "crop", "cutout", "mirror", "precision",
    "channels_last", "cuda_graph",
))  # fmt: skip
"""The fields that are part of every identity; see `Recipe.identity_facts`."""
ONECYCLE_WARMUP = 0.25
"""Fraction of the steps in which a one-cycle schedule rises."""


NEW_MODULE_FACTOR = 4
"""How many times as fast as pretrained weights new ones usually learn: as in a network that is
trained from scratch."""


def usual_settings(optimizer: Optimizer, schedule: Schedule, init: Init) -> dict[str, float]:
    """The learning rate, weight decay and warm-up that are used unless a user asks for others.

    Args:
        optimizer: decides about all three.
        schedule: `onecycle` warms up for longer.
        init: weights that are not random are trained with a quarter of the learning rate.
    """
    settings = RATES[optimizer]._asdict()
    if init != "scratch":
        settings["lr"] /= NEW_MODULE_FACTOR
    if schedule == "onecycle":
        settings["warmup"] = ONECYCLE_WARMUP
    return settings


class Recipe(BaseModel):
    """Training settings, declared once: `attentune search` makes its options, the keys of its
    `--config` and the guide's table of settings from these fields.

    Fractions are of the whole run. `Recipe.of` raises RecipeError for a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    data: str = Field(
        description="Images: cued-digits, cluttered-digits or digits; a folder of class folders or "
        "an archive of one; a table of paths and labels (.csv, .tsv, .parquet); or a timm data "
        "set, e.g. torch/cifar10."
    )
    data_root: str | None = Field(
        None,
        description="Folder or archive that the paths of a table are relative to, in place of the "
        "table's folder.",
    )
    column: tuple[str, ...] | None = Field(
        None,
        description="Column of a table by its role (path, label, split, group, weight), e.g. "
        "label=species; an empty name ignores the role.",
    )
    split_folders: str | None = Field(
        None,
        description="Which folders are splits, e.g. train=training_set,test=test_set; none if all "
        "folders are classes. Folders called train, val and test need not be named.",
    )
    leave_out: tuple[str, ...] = Field(
        (), description="Name or path of a folder or file in the data that is no part of them."
    )
    image_size: int = Field(gt=0, le=4096, description="Side of the square images, in pixels.")
    stem: Stem = Field(
        "native",
        description="Stem of the backbone; small has stride 1, no pooling and 3×3 kernels; stride1 "
        "keeps the size of the kernels, which pretrained weights require.",
    )
    init: Init = Field(
        "scratch",
        min_length=1,
        description="Initial weights of the backbone: scratch (random), pretrained (those that "
        "timm publishes), or a file (.safetensors, .pth or .pt).",
    )
    init_digest: str | None = Field(
        None, description="SHA-256 of the file of initial weights, if they are from a file."
    )
    normalisation: Normalisation | None = Field(
        None,
        description="Mean and deviation per channel with which images are normalised, from 0 to 1; "
        "none: those of the training images.",
    )
    train_limit: int | None = Field(
        None,
        gt=0,
        le=MAX_COUNT,
        description="Maximum number of images taken from the training split.",
    )
    val_fraction: float = Field(
        0.2, gt=0, lt=1, description="Fraction of the training images held out for validation."
    )
    fold: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,2}/[1-9][0-9]{0,2}$",
        description="Test images of a cross-validation, e.g. 2/5: the second of five folds. The "
        "seed decides the folds.",
    )
    data_seed: int = Field(0, ge=0, le=MAX_SEED, description="Decides which images are held out.")
    skip_broken: bool = Field(False, description="Leave out images that cannot be decoded.")
    max_pixels: int | None = Field(
        None,
        gt=0,
        le=MAX_COUNT,
        description="Maximum number of pixels of an image, e.g. 200M; larger ones are not decoded.",
    )

    in_chans: int = Field(
        RGB_CHANNELS,
        ge=1,
        le=MAX_CHANNELS,
        description="Channels of the images that the network takes: image files are converted to 3 "
        "(RGB) or 1 (grey); arrays (.npy) have as many as they have.",
    )
    input: tuple[int, int, int] | None = Field(
        None,
        description="Channels, height and width of an image for a network of your own, e.g. "
        "3x640x640.",
    )
    fit: Fit = Field(
        "crop",
        description="How images become square: crop keeps the middle, pad adds a white border, "
        "squash changes their proportions.",
    )
    interpolation: Interpolation = Field(
        "bicubic", description="Filter with which images are resized, by Pillow's name."
    )
    value_range: tuple[float, float] | None = Field(
        None,
        description="Values that become black and white in images with more than 8 bits, "
        "e.g. 0,4095.",
    )

    epochs: int = Field(8, ge=1, le=MAX_COUNT, description="Epochs per trial.")
    batch_size: int = Field(128, ge=2, le=MAX_COUNT, description="Images per training step.")
    drop_last: bool = Field(
        True, description="Leave out of each epoch the images that do not fill a batch."
    )
    optimizer: Optimizer = Field("adamw", description="Optimizer of the weights.")
    lr: float = Field(RATES["adamw"].lr, gt=0, description="Peak learning rate.")
    attention_lr: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate of attentions and of the head, which pretrained weights do "
        "not include.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor of the learning rate from each layer of the backbone to the one before "
        "it; 1: one rate for all layers.",
    )
    head_epochs: int = Field(
        0,
        ge=0,
        le=MAX_COUNT,
        description="First epochs in which only attentions and the head are trained, and the "
        "backbone is frozen, the statistics of its batch norms included.",
    )
    weight_decay: float = Field(RATES["adamw"].weight_decay, ge=0, description="Weight decay.")
    schedule: Schedule = Field(
        "wsd", description="Learning-rate schedule; wsd is warm-up, stable, decay."
    )
    warmup: float = Field(
        0.05, ge=0, lt=1, description="Fraction of the steps in which the learning rate rises."
    )
    decay: float = Field(
        0.4, ge=0, le=1, description="Fraction of the steps, the last ones, in which it falls."
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Label smoothing: the share of each label that is spread over all classes.",
    )
    class_weights: bool = Field(
        False,
        description="Weight the loss of each image by the inverse frequency of its class, so that "
        "all classes count equally.",
    )
    class_weight_power: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Power of the inverse frequency for --class-weights: 1 counts all classes "
        "equally; 0.5, the square root, is between that and no weights.",
    )
    balanced_sampling: bool = Field(
        False,
        description="Draw the images of each epoch so that all classes are equally frequent; those "
        "of rare classes are repeated.",
    )
    ema: float = Field(
        0.99, ge=0, lt=1, description="Decay per step of the averaged weights; 0: no average."
    )
    flip: bool = Field(False, description="Mirror each training image in every other epoch.")
    crop: int = Field(
        0,
        ge=0,
        le=MAX_COUNT,
        description="Maximum shift of a training image, in pixels; edges are reflected.",
    )
    cutout: int = Field(
        0,
        ge=0,
        le=MAX_COUNT,
        description="Side of the square covered in each training image, in pixels.",
    )
    crop_scale: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Smallest area of a random resized crop, as a fraction of the image; 1: no "
        "such crop.",
    )
    color_jitter: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Random change of brightness, contrast and saturation, as a fraction.",
    )
    randaugment: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Magnitude, up to 10, of two random operations on each training image "
        "(RandAugment); 0: none.",
    )
    erasing: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Fraction of the training images that lose a rectangle (random erasing).",
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Alpha of mixup, the weighted mean of two training images; 0: none.",
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Alpha of CutMix, a rectangle of one training image in another; 0: none.",
    )
    mirror: bool = Field(
        False, description="Average the predictions for each image and its mirror image."
    )
    precision: Precision = Field("float32", description="Precision of the network's arithmetic.")
    channels_last: bool = Field(
        True, description="Store feature maps with their channels last in memory."
    )
    cuda_graph: bool = Field(
        True,
        description="Capture training steps as CUDA graphs, if the GPU and the network allow it.",
    )

    @model_validator(mode="after")
    def _phases_fit(self) -> Recipe:
        if self.warmup + self.decay > 1:
            raise ValueError("warmup and decay together exceed the whole run")
        return self

    @model_validator(mode="after")
    def _fold_exists(self) -> Recipe:
        if self.fold is not None and not 1 <= self.fold_number <= self.num_folds >= 2:
            raise ValueError(f"there is no fold {self.fold}; write for example 2/5")
        return self

    @property
    def fold_number(self) -> int:
        """Which fold is the test split, from 1; without folds 0."""
        return 0 if self.fold is None else int(self.fold.partition("/")[0])

    @property
    def num_folds(self) -> int:
        """The number of folds; without folds 0."""
        return 0 if self.fold is None else int(self.fold.partition("/")[2])

    def fold_after(self, steps: int) -> str:
        """The fold so many steps after that of the recipe; after the last one comes the first."""
        return f"{(self.fold_number - 1 + steps) % self.num_folds + 1}/{self.num_folds}"

    @model_validator(mode="after")
    def _classes_are_balanced_once(self) -> Recipe:
        if self.class_weights and self.balanced_sampling:
            raise ValueError(
                "class_weights and balanced_sampling together would count rare classes twice; use "
                "one of them"
            )
        return self

    @model_validator(mode="after")
    def _power_is_of_class_weights(self) -> Recipe:
        if self.class_weight_power != 1 and not self.class_weights:
            raise ValueError(
                "class_weight_power changes the class weights, which are off; set class_weights too"
            )
        return self

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Recipe:
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            raise ValueError("value_range: the first value must be below the second")
        return self

    @model_validator(mode="after")
    def _normalisation_is_of_all_channels(self) -> Recipe:
        for values in self.normalisation or ():
            if len(values) != self.in_chans:
                raise ValueError(
                    f"normalisation: it has {len(values)} numbers for {self.in_chans} channels"
                )
        return self

    @property
    def size(self) -> ImageSize:
        """Side of the square images, or (height, width), in pixels."""
        return self.image_size if self.input is None else self.input[1:]

    def identity_facts(self) -> dict[str, Any]:
        """The settings that identify what was trained, for a digest.

        Fields that were added later are left out while they have their default, which is what was
        done before there was the field. So the files of older trials keep their identity.
        """
        facts = self.model_dump(mode="json")
        added = facts.keys() - FIRST_FIELDS
        defaults = {name: type(self).model_fields[name].default for name in added}
        unchanged = {name for name in added if getattr(self, name) == defaults[name]}
        return {name: value for name, value in facts.items() if name not in unchanged}

    @property
    def weights_file(self) -> Path | None:
        """The file of initial weights; None if they are random or timm's."""
        return None if self.init in ("scratch", "pretrained") else Path(self.init)

    @property
    def has_one_rate(self) -> bool:
        """Whether all parameters are trained in the same way from the first epoch on."""
        return self.attention_lr is None and self.layer_decay == 1 and not self.head_epochs

    @classmethod
    def of(cls, **fields: Any) -> Recipe:
        """A recipe; RecipeError in one sentence for a value that is out of range."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise RecipeError(describe_validation_error(error, "recipe")) from None
