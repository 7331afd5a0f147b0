"""The alternatives to attention in words: what they are, and what they gain for their cost."""

from __future__ import annotations

from collections.abc import Iterator

from ...runners.recipe import Recipe
from ..alternatives import Alternative, AlternativeKind, AlternativesPlan

KIND_TITLES: dict[AlternativeKind, str] = {
    "backbone": "a larger backbone",
    "epochs": "more epochs",
    "images": "larger images",
}


def alternative_title(alternative: Alternative, recipe: Recipe) -> str:
    """A short name of an alternative: `resnet34`, `12 epochs`, `images of 40×40`.

    Args:
        alternative: what is trained.
        recipe: that of the bare backbone.
    """
    return job_title(alternative.kind, alternative.backbone, alternative.recipe(recipe))


def job_title(kind: AlternativeKind, backbone: str, recipe: Recipe) -> str:
    """A short name of what a trial of an alternative trains.

    Args:
        kind: of the alternative.
        backbone: that is trained.
        recipe: with which it is trained.
    """
    match kind:
        case "backbone":
            return backbone
        case "epochs":
            return f"{recipe.epochs} epochs"
        case "images":
            return f"images of {recipe.image_size}×{recipe.image_size}"


def plan_sentences(plan: AlternativesPlan, recipe: Recipe) -> Iterator[str]:
    """What is trained as alternatives and why, and which kinds of alternatives are missing.

    Args:
        plan: the alternatives of a study.
        recipe: that of its bare backbone.
    """
    for alternative in plan.alternatives:
        yield f"alternative: {alternative_title(alternative, recipe)} ({alternative.reason})"
    for kind, reason in plan.missing.items():
        yield f"no alternative with {KIND_TITLES[kind]}: {reason}"
