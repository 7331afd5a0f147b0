"""Decide which weights the backbone begins with, and what follows from them.

Photographs begin with the weights that timm publishes for the backbone, if they can be had here;
all else begins with random weights. Images are then normalised and resized as the weights expect.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import AttentuneError, UsageError, did_you_mean
from ...runners.recipe import RGB_CHANNELS, Normalisation
from ...spaces.attentions.initial_scale import measure_initial_scale
from ...spaces.backbones.own_backbone import is_own_backbone
from ...spaces.backbones.pretrained import (
    pretrained_backbone,
    published_preprocessing,
    why_no_published_weights,
)
from ...spaces.backbones.weights_digest import compute_digest
from ...spaces.search_space.space import NONE, Space
from .request import SearchRequest

logger = logging.getLogger(__name__)

MIN_SCALE_CHANGE = 0.02
"""Of an attention's initial scale, for it to be said."""
WORDS = ("auto", "scratch", "pretrained")
"""The values of `--init` that are no file."""


def check_requested_weights(request: SearchRequest) -> None:
    """Load published weights, which downloads them once, and not in every trial; or find a file.

    Raises:
        UsageError: there is no such file.
        AttentuneError: there are no weights, or they cannot be downloaded.
    """
    init = request.recipe_settings.get("init", "auto")
    if init in ("auto", "scratch"):
        return
    if init == "pretrained":
        pretrained_backbone(request.backbone)
        return
    file = Path(init)
    if not file.is_file():
        raise UsageError(
            f"there is no file of weights at {file}; --init takes auto, scratch, pretrained or a "
            f"file{did_you_mean(init, WORDS)}"
        )


def resolve_initial_weights(
    request: SearchRequest,
    num_classes: int,
    why_no_photographs: Callable[[], str | None],
    channels: int = RGB_CHANNELS,
) -> dict[str, Any]:
    """The fields of the recipe that say what the backbone begins with; logs what was chosen.

    Args:
        request: names the backbone, and the weights if some were asked for.
        num_classes: classes of the data; a head for as many is taken from a file.
        why_no_photographs: called if that decides; returns why the images are no photographs, and
            None if they are.
        channels: of the images; the first convolution is adapted to them.

    Raises:
        AttentuneError: a file cannot be read, or does not fit the backbone.
    """
    init = request.recipe_settings.get("init") or _choose(request, why_no_photographs)
    if init == "scratch":
        return {"init": init}
    fields: dict[str, Any] = {"init": init}
    if init != "pretrained":
        file = Path(init).resolve()
        pretrained_backbone(request.backbone, file, num_classes=num_classes, in_chans=channels)
        fields |= {"init": str(file), "init_digest": compute_digest(file)}
    expected = published_preprocessing(request.backbone)
    if expected is not None:
        mean, std, interpolation = expected
        normalisation = _adapt_normalisation(Normalisation(mean, std), channels)
        fields |= {"normalisation": normalisation, "interpolation": interpolation}
        logger.info(
            "images are %sresized (%s) as timm says for the weights of %s%s",
            "" if normalisation is None else "normalised and ",
            interpolation,
            request.backbone,
            "" if normalisation else ", and normalised by their own statistics",
        )
    if channels != RGB_CHANNELS:
        logger.info(
            "the first convolution of %s is adapted to %s as timm does it",
            request.backbone,
            "one channel" if channels == 1 else f"{channels} channels",
        )
    return fields


def _adapt_normalisation(published: Normalisation, channels: int) -> Normalisation | None:
    """The normalisation of images in RGB for others: the mean for grey ones, else none.

    timm adds up the weights of the three channels for one channel, so that a grey image has the
    features that it had in RGB.
    """
    if channels == RGB_CHANNELS:
        return published
    if channels != 1:
        return None
    mean, std = (sum(values) / RGB_CHANNELS for values in published)
    return Normalisation((mean,), (std,))


def check_frozen_epochs(request: SearchRequest, init: str) -> dict[str, Any]:
    """The fields of the recipe that random weights change: none of the backbone is frozen.

    Args:
        request: may ask for frozen epochs.
        init: what the backbone begins with.

    Raises:
        UsageError: random weights and frozen epochs are both asked for.
    """
    if init != "scratch" or not request.recipe_settings["head_epochs"]:
        return {}
    if not request.is_open("init"):
        raise UsageError(
            "--head-epochs freezes the backbone, which makes no sense with random weights; leave "
            "it out, or use --init pretrained"
        )
    logger.info("the backbone begins with random weights, so it is not frozen in the first epochs")
    return {"head_epochs": 0}


def log_initial_scales(space: Space) -> None:
    """Say what published starts do to pretrained weights, if the space has them."""
    if space.start != "paper":
        return
    names = [name for name in space.attentions if name != NONE]
    scales = {name: measure_initial_scale(name, "paper") for name in names}
    changing = [f"{name} ×{scale:.2f}" for name, scale in scales.items() if _changes(scale)]
    if changing:
        logger.warning(
            "attentions start as published, and so change the maps of the pretrained backbone "
            "before they are trained: %s; --start identity begins with the backbone as it is",
            ", ".join(changing),
        )


def _changes(scale: float | None) -> bool:
    return scale is not None and abs(scale - 1) > MIN_SCALE_CHANGE


def _choose(request: SearchRequest, why_no_photographs: Callable[[], str | None]) -> str:
    """`pretrained` where that is possible and sensible, else `scratch`."""
    if is_own_backbone(request.backbone):
        logger.info("training from the weights that %s makes", request.backbone)
        return "scratch"
    try:
        reason = why_no_published_weights(request.backbone, probe_hub=False)
        reason = reason or why_no_photographs()
        reason = reason or why_no_published_weights(request.backbone)
        if reason is None:
            pretrained_backbone(request.backbone)
    except AttentuneError as error:
        reason = str(error)
    if reason is not None:
        logger.info("training from random weights: %s; --init overrides this", reason)
        return "scratch"
    logger.info(
        "starting from the weights that timm publishes for %s, since the images are photographs; "
        "--init scratch starts from random ones",
        request.backbone,
    )
    return "pretrained"
