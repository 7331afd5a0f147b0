"""Decide the batch size and the epochs of a trial by the number of training images.

The usual 8 epochs of batches of 128 are meant for sets like CIFAR-10. A few hundred photographs
would be trained for a dozen steps with them, in which no network learns anything.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from ...runners.recipe import Recipe
from ...runners.training.batch_plan import plan_batches

if TYPE_CHECKING:
    from .request import SearchRequest

MIN_BATCH_SIZE = 16
"""Batch statistics of fewer images are too uncertain."""
MIN_STEPS_PER_EPOCH = 16
MIN_STEPS = 200
MAX_EPOCHS = 100
FEW_STEPS = 50
"""Requested settings that lead to fewer steps are warned of."""

logger = logging.getLogger(__name__)


def resolve_training_budget(request: SearchRequest, recipe: Recipe, images: int) -> Recipe:
    """The recipe with the batch size and the epochs that the request leaves open.

    Logs the choice. The usual learning rate, where tuning begins, follows the batch size.

    Args:
        request: the requested settings.
        recipe: has the usual values.
        images: number of training images.

    Raises:
        TrialError: there are fewer than two training images.
    """
    usual = recipe.batch_size
    if request.is_open("batch_size"):
        recipe = recipe.model_copy(update={"batch_size": choose_batch_size(images)})
    if request.is_open("drop_last"):
        recipe = recipe.model_copy(update={"drop_last": False})
    if request.is_open("lr"):
        lr = recipe.lr * _rate_factor(recipe, recipe.batch_size / usual)
        recipe = recipe.model_copy(update={"lr": lr})
    steps = plan_batches(recipe, images).steps
    if request.is_open("epochs"):
        epochs = choose_epochs(steps, recipe.epochs)
        recipe = recipe.model_copy(update={"epochs": epochs})
    logger.info(
        "training for %s epochs of %s steps, with batches of up to %s of the %s training images; "
        "--epochs and --batch-size override this",
        recipe.epochs,
        steps,
        min(recipe.batch_size, images),
        f"{images:,}",
    )
    if steps * recipe.epochs < FEW_STEPS:
        logger.warning(
            "A trial has only %s training steps, which is too few to compare architectures; "
            "choose a smaller --batch-size or more --epochs.",
            steps * recipe.epochs,
        )
    return recipe


def choose_batch_size(images: int) -> int:
    """The usual batch size, or the half, a quarter and so on of it, for enough steps an epoch."""
    batch_size: int = Recipe.model_fields["batch_size"].default
    while batch_size > MIN_BATCH_SIZE and images < MIN_STEPS_PER_EPOCH * batch_size:
        batch_size //= 2
    return batch_size


def choose_epochs(steps: int, usual: int) -> int:
    """The usual number of epochs, or more so that there are enough steps in all.

    Args:
        steps: in an epoch.
        usual: the usual number of epochs.
    """
    return max(usual, min(MAX_EPOCHS, math.ceil(MIN_STEPS / steps)))


def _rate_factor(recipe: Recipe, batch_ratio: float) -> float:
    """What a learning rate is multiplied by for a batch so many times as large.

    In proportion for SGD (Goyal et al., arXiv 1706.02677), and by the root for Adam (Malladi et
    al., arXiv 2205.10287).
    """
    return batch_ratio if recipe.optimizer == "sgd" else math.sqrt(batch_ratio)
