"""The recipe that a search would use for data, before there is a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...runners.data import Progress, SourceOptions, inspect_data, prepare_data
from ...runners.recipe import Recipe
from ...studies.config import validated
from .augmentation import AugmentationChoice, choose_augmentation
from .image_channels import choose_channels
from .request import SearchRequest

_ANY_BACKBONE = "resnet18"
"""A request needs one; the augmentation does not depend on it."""


def read_data_request(data: str, settings: Mapping[str, Any]) -> SearchRequest:
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


def choose_data_recipe(
    request: SearchRequest, progress: Progress | None = None
) -> AugmentationChoice:
    """The recipe with a search's defaults for the requested data, and how it was chosen.

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
    return choose_augmentation(request, recipe, prepare_data(recipe, progress))
