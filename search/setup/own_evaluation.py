"""The recipe of a study whose networks a user's own evaluation trains."""

from __future__ import annotations

import contextlib
import inspect
import logging
import shutil
from pathlib import Path

import torch

from ...errors import AttentuneError, BackboneError, UsageError
from ...runners.recipe import RGB_CHANNELS, Recipe
from ...runners.user_evaluation import UserEvaluation, names_function
from ...runners.workers.function_evaluator import load_function
from ...spaces.architecture import Architecture
from ...spaces.backbones.own_backbone import (
    DEFAULT_SIZE_PIXELS,
    check_own_stem,
    is_own_backbone,
)
from ...spaces.backbones.sites import height_and_width
from ...spaces.backbones.timm_compat import native_size
from ...spaces.backbones.weights_digest import compute_digest
from ...spaces.networks.build import build_network
from ...studies.objectives import objective
from .request import SearchRequest

logger = logging.getLogger(__name__)

EVALUATION_BATCH_SIZE = 32
"""Batch size for which training memory is counted, unless another is asked for."""


def resolve_evaluation(request: SearchRequest) -> tuple[Recipe, UserEvaluation]:
    """The recipe and the evaluation of a request with `evaluate`.

    The function is imported, so that a wrong name is noticed before anything slow begins.

    Raises:
        UsageError: the function cannot be imported, or the command does not exist.
    """
    evaluation = make_evaluation(request)
    recipe = _make_recipe(request)
    height, width = height_and_width(recipe.size)
    logger.info(
        f"trained by {evaluation.target} for {recipe.epochs} epochs, on images of "
        f"{recipe.in_chans}×{height}×{width}; it decides about its data and its settings itself"
    )
    return recipe, evaluation


def make_evaluation(request: SearchRequest) -> UserEvaluation:
    """The evaluation that a request names.

    Raises:
        UsageError: the function cannot be imported, or the command does not exist.
    """
    target, folder = (request.evaluate or "").strip(), Path.cwd()
    is_function = names_function(target)
    names = [objective(name) for name in request.objectives]
    evaluation = UserEvaluation(
        target=target,
        kind="function" if is_function else "command",
        folder=str(folder),
        metrics=tuple(each.stored_name for each in names if not each.is_cost),
    )
    digest = None
    if is_function:
        digest = evaluation_digest(evaluation)
    else:
        _check_command(evaluation, folder)
    return evaluation.model_copy(update={"digest": digest})


def evaluation_digest(evaluation: UserEvaluation) -> str | None:
    """The SHA-256 of the file that a function is defined in; None if that is not known.

    Raises:
        UsageError: the function cannot be imported.
    """
    if evaluation.kind == "function" and (file := evaluation_file(evaluation)) is not None:
        with contextlib.suppress(AttentuneError):  # It has gone since it was imported.
            return compute_digest(file)
    return None


def evaluation_file(evaluation: UserEvaluation) -> Path | None:
    """The file that the function of an evaluation is defined in; None if that is not known.

    Raises:
        UsageError: the function cannot be imported.
    """
    function = load_function(evaluation)
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:  # It is an object that can be called.
        file = inspect.getsourcefile(type(function))
    return None if file is None else Path(file)


def _check_command(evaluation: UserEvaluation, folder: Path) -> None:
    """Raise UsageError if a command names no program."""
    try:
        program, *_ = evaluation.words
    except ValueError as error:
        raise UsageError(f"--evaluate {evaluation.target}: {error}") from None
    if shutil.which(program) is None and shutil.which(str(folder / program)) is None:
        raise UsageError(
            f"--evaluate {evaluation.target}: there is no program {program!r}; write a function as "
            "my_module:train, or a command such as 'python train.py'"
        )


def _make_recipe(request: SearchRequest) -> Recipe:
    requested = request.recipe_settings
    own = is_own_backbone(request.backbone)
    fields = {
        name: requested[name]
        for name in ("epochs", "batch_size", "stem", "init")
        if name in requested
    }
    shape = requested.get("input")
    side = requested.get("image_size") or (
        DEFAULT_SIZE_PIXELS if own else native_size(request.backbone)
    )
    channels = requested.get("in_chans") or RGB_CHANNELS
    channels, height, width = shape or (channels, side, side)
    return Recipe.of(
        **{"batch_size": EVALUATION_BATCH_SIZE, **fields},
        data="",
        image_size=height,
        in_chans=channels,
        input=None if height == width else (channels, height, width),
        data_seed=request.seed,
    )


def check_own_backbone(request: SearchRequest) -> None:
    """Raise UsageError for settings that a network of one's own does not have."""
    requested = request.recipe_settings
    check_own_stem(request.backbone, requested.get("stem", "native"))
    if (init := requested.get("init", "scratch")) != "scratch":
        raise UsageError(
            f"--init {init} loads weights into timm's backbones; let {request.backbone} "
            "load those of its network itself"
        )


def check_own_head(backbone: str, recipe: Recipe, num_classes: int) -> None:
    """Check that a network of one's own can be trained to classify the data.

    Args:
        backbone: the reference of the network.
        recipe: its size and channels of images are used.
        num_classes: of the data.

    Raises:
        BackboneError: it does not return one score for each class and image.
    """
    model = build_network(
        Architecture(backbone),
        num_classes=num_classes,
        image_size=recipe.size,
        in_chans=recipe.in_chans,
        seed=0,
    ).eval()
    with torch.no_grad():
        scores = model(torch.zeros(2, recipe.in_chans, *height_and_width(recipe.size)))
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
    if shape != (2, num_classes):
        raise BackboneError(
            f"{backbone} returns {shape} for two images, and the data have {num_classes} classes; "
            f"let its function take num_classes and return a network of that many outputs, or "
            "train it with your own code by --evaluate"
        )
