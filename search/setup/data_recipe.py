"""The recipe that a search would use for data, before there is a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...runners.data import Progress, SourceOptions, inspect_data, prepare_data
from ...runners.recipe import Recipe
from ...studies.config import validated
from .augmentation import resolve_augmentation
from .image_channels import choose_channels
from .request import SearchRequest

_ANY_BACKBONE = "resnet18"
"""A request needs one; the augmentation does not depend on it."""
_AUGMENTATIONS = {
    "flip": "mirrored in every other epoch",
    "crop": "shifted by up to {} pixels",
    "cutout": "a square of {} pixels covered",
    "crop_scale": "a random resized crop of at least {:g} of the image",
    "color_jitter": "colours jittered by {:g}",
    "randaugment": "RandAugment of magnitude {:g}",
    "erasing": "a rectangle erased in {:g} of the images",
    "mixup": "mixup with alpha {:g}",
    "cutmix": "CutMix with alpha {:g}",
}


def data_request(data: str, settings: Mapping[str, Any]) -> SearchRequest:
    """A search's request for this data.

    Args:
        data: the text of `--data`.
        settings: some settings of a search; None or an empty list means that one is left out.

    Raises:
        UsageError: a setting is out of range.
    """
    fields = {name: value for name, value in settings.items() if value not in (None, [])}
    fields |= {"backbone": _ANY_BACKBONE, "data": data, "skip_broken": True}
    request: SearchRequest = validated(SearchRequest, "data", **fields)
    return request


def data_recipe(request: SearchRequest, progress: Progress | None = None) -> Recipe:
    """The recipe with a search's defaults for the requested data.

    Args:
        request: names the data.
        progress: called while images are decoded, with the number of decoded images and of all.

    Raises:
        DataError: there is no such data, or it cannot be used.
    """
    requested = request.recipe_settings
    source = inspect_data(requested["data"], SourceOptions.of_settings(requested))
    from_data = {"image_size": source.image_size, "value_range": source.value_range}
    channels = {"in_chans": choose_channels(requested.get("in_chans"), source)}
    recipe = Recipe.of(**{**from_data, **requested, **channels}, data_seed=request.seed)
    return resolve_augmentation(request, recipe, prepare_data(recipe, progress))


def describe_augmentation(recipe: Recipe) -> str:
    """What a recipe does to training images, as "mirrored in every other epoch, …"."""
    defaults = {name: Recipe.model_fields[name].default for name in _AUGMENTATIONS}
    changes = [
        text.format(getattr(recipe, name))
        for name, text in _AUGMENTATIONS.items()
        if getattr(recipe, name) != defaults[name]
    ]
    return ", ".join(changes) or "nothing"
