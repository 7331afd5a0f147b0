"""Decide how training images are augmented: the preset, and whether images are mirrored.

A preset sets single fields of the recipe, and a field that the request sets keeps its value.
Mirroring is left out where it would change what an image means: for characters, which are known by
their names, and for classes that are each other's mirror image, which are found in the images.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from ...runners.data import DataInfo, SourceOptions, inspect_data, open_data
from ...runners.data.examination.mirrored_classes import MirroredClasses, find_mirrored_classes
from ...runners.data.sources.embedded import EMBEDDED
from ...runners.recipe import Recipe
from .request import AUGMENTATION_FIELDS, Preset

if TYPE_CHECKING:
    from .request import SearchRequest

MIN_PHOTOGRAPH_SIDE = 64
"""Pixels, of typical images and of those that are trained on, from which they are photographs."""
PRESETS: dict[Preset, dict[str, float]] = {
    "none": {},
    "light": {},  # and shifts, which are in pixels
    "standard": {"crop_scale": 0.35, "color_jitter": 0.2},
    "strong": {
        "crop_scale": 0.2,
        "randaugment": 7.0,
        "erasing": 0.25,
        "mixup": 0.2,
        "cutmix": 1.0,
    },
}
"""The fields of the recipe that a preset sets, apart from shifts and mirroring."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AugmentationChoice:
    """A recipe with its augmentation, and sentences that say what was chosen, and why."""

    recipe: Recipe
    remarks: tuple[str, ...]


def resolve_augmentation(request: SearchRequest, recipe: Recipe, data: DataInfo) -> Recipe:
    """The recipe that `choose_augmentation` chooses; logs its remarks.

    Args:
        request: its preset, and the fields that it sets itself.
        recipe: names the data and the image size.
        data: the prepared images.
    """
    choice = choose_augmentation(request, recipe, data)
    for remark in choice.remarks:
        logger.info("%s", remark)
    return choice.recipe


def choose_augmentation(
    request: SearchRequest, recipe: Recipe, data: DataInfo
) -> AugmentationChoice:
    """The recipe with the augmentation of the request.

    Args:
        request: its preset, and the fields that it sets itself.
        recipe: names the data and the image size.
        data: the prepared images.

    Raises:
        UsageError: a shift or a covered square is as large as the image.
    """
    preset, reason = _choose_preset(request, recipe)
    requested = {
        name: getattr(request, name) for name in AUGMENTATION_FIELDS if not request.is_open(name)
    }
    fields: dict[str, Any] = {**PRESETS[preset], **requested}
    if preset == "light":
        fields.setdefault("crop", data.crop)
    flip, why_not = _decide_mirroring(fields.get("flip"), preset, recipe, data)
    recipe = recipe.model_copy(update={**fields, "flip": flip})
    _check_sizes(recipe)
    words = describe_augmentation(recipe)
    remarks = [f"augmentation {preset}{reason}: {words}; --augment overrides this"]
    if why_not:
        remarks.append(f"images are not mirrored: {why_not}; --flip overrides this")
    elif flip and not requested.get("flip"):
        remarks.append(
            "images are mirrored: no two classes are each other's mirror image; --no-flip "
            "overrides this"
        )
    return AugmentationChoice(recipe, tuple(remarks))


def _choose_preset(request: SearchRequest, recipe: Recipe) -> tuple[Preset, str]:
    """The preset, and in brackets why it was chosen."""
    if request.augment != "auto":
        return request.augment, ""
    if recipe.data in EMBEDDED:
        return "light", " (the images are drawn)"
    native = inspect_data(recipe.data, SourceOptions.of(recipe)).native_size
    side = min(native, recipe.image_size)
    if side < MIN_PHOTOGRAPH_SIDE:
        return "light", f" (images of {side} pixels are small)"
    return "standard", f" (photographs of {side} pixels)"


def _decide_mirroring(
    requested: bool | None, preset: Preset, recipe: Recipe, data: DataInfo
) -> tuple[bool, str | None]:
    """Whether training images are mirrored, and why they are not where the data forbid it.

    Args:
        requested: None if the request leaves it open.
        preset: none of them but `none` leaves mirroring out.
        recipe: with `mirror`, mirror images are evaluated too.
        data: the prepared images.
    """
    wanted = requested if requested is not None else preset != "none" and data.flip
    pairs: tuple[MirroredClasses, ...] = ()
    if wanted or recipe.mirror:
        train = open_data(data).train
        pairs = find_mirrored_classes(train.images, train.labels, len(data.classes))
    mirrored = _describe_pairs(pairs, data.classes)
    for option, is_set in (("--flip", requested), ("--mirror", recipe.mirror)):
        if pairs and is_set:
            logger.warning("%s is set, although %s.", option, mirrored)
    if requested is not None:
        return requested, None
    if preset != "none" and not data.flip:
        return False, "by their names, the images or classes are characters or digits"
    return bool(wanted and not pairs), mirrored if wanted and pairs else None


def _describe_pairs(pairs: tuple[MirroredClasses, ...], classes: tuple[str, ...]) -> str:
    named = [f"{classes[pair.first]} and {classes[pair.second]}" for pair in pairs[:3]]
    if len(pairs) > len(named):
        named.append(f"{len(pairs) - len(named)} more pairs")
    verb = "look like each other's mirror image"
    return f"{', '.join(named)} {verb}"


def _check_sizes(recipe: Recipe) -> None:
    for option, pixels in (("--crop", recipe.crop), ("--cutout", recipe.cutout)):
        if pixels >= recipe.image_size:
            raise UsageError(
                f"{option} {pixels} is not less than the side of the images, {recipe.image_size} "
                "pixels; choose a smaller number"
            )


def describe_augmentation(recipe: Recipe) -> str:
    """What a recipe does to training images in words, in the order in which it is applied."""
    words = {
        "crop_scale": f"random crops of at least {100 * recipe.crop_scale:.0f}% of the area",
        "crop": f"shifts of up to {recipe.crop} pixels",
        "flip": "mirroring",
        "color_jitter": f"colour jitter {recipe.color_jitter:g}",
        "randaugment": f"RandAugment of magnitude {recipe.randaugment:g}",
        "cutout": f"a covered square of {recipe.cutout} pixels",
        "erasing": f"random erasing in {100 * recipe.erasing:.0f}% of the images",
        "mixup": f"mixup with alpha {recipe.mixup:g}",
        "cutmix": f"CutMix with alpha {recipe.cutmix:g}",
    }
    defaults = Recipe.model_fields
    used = [text for name, text in words.items() if getattr(recipe, name) != defaults[name].default]
    return ", ".join(used) or "images as they are"
