"""The learning rate over a run: wsd, onecycle or constant, after a warm-up."""

from __future__ import annotations

import math

from ..recipe import Recipe


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """The rate at one step of a run.

    wsd: linear warm-up, constant, then linear to zero (Hu et al., arXiv 2404.06395), so that the
    early epochs of short and long runs agree. onecycle: half a cosine up, half a cosine down
    (Smith and Topin, arXiv 1708.07120). constant: linear warm-up, then constant.

    Args:
        recipe: schedule, peak rate, and the fractions of the run that rise and fall.
        step: counted from 0.
        total: steps of the whole run.
    """
    progress = (step + 1) / total
    if recipe.warmup and progress < recipe.warmup:
        rise = progress / recipe.warmup
        return recipe.lr * ((1 - math.cos(math.pi * rise)) / 2 if _is_cosine(recipe) else rise)
    if recipe.schedule == "constant":
        return recipe.lr
    if _is_cosine(recipe):
        fall = (progress - recipe.warmup) / (1 - recipe.warmup)
        return recipe.lr * (1 + math.cos(math.pi * fall)) / 2
    if progress > 1 - recipe.decay:
        # The rate reaches zero one step after the end, so that the last step has a rate above zero.
        return recipe.lr * (total - step) / (recipe.decay * total + 1)
    return recipe.lr


def _is_cosine(recipe: Recipe) -> bool:
    return recipe.schedule == "onecycle"
