"""Settings of a request that contradict who trains the networks, or what is measured."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...runners.recipe import Recipe
from ...spaces.backbones.own_backbone import is_own_backbone
from ...studies.objectives import objective

if TYPE_CHECKING:
    from .request import SearchRequest

EVALUATION_SETTINGS = frozenset(
    ("image_size", "in_chans", "input", "stem", "init", "epochs", "batch_size")
)
"""Fields of the recipe that have a meaning for a user's own evaluation: what networks are made, and
how long they are trained."""
TRAINING_SETTINGS = {*Recipe.model_fields, "augment", "memory_format"} - EVALUATION_SETTINGS
"""Settings that only the built-in training reads."""


def check_contradictions(request: SearchRequest, settings: Collection[str]) -> None:
    """Raise UsageError for the first setting that contradicts another one.

    Args:
        request: what is asked for.
        settings: the names of those that were given.
    """
    has_input = request.recipe_settings.get("input") is not None
    if has_input and not is_own_backbone(request.backbone):
        raise UsageError(
            "--input is for a network of your own, --backbone my_module:make_model; for timm's "
            "backbones use --image-size"
        )
    if len(request.metrics) > 1:
        _check_several_metrics(request)
    if request.evaluate is None:
        _check_training(request, settings)
        return
    for name in sorted(TRAINING_SETTINGS & {*settings}):
        if getattr(request, name) not in ("", None):
            raise UsageError(
                f"--{name.replace('_', '-')} is a setting of the built-in training, and with "
                f"--evaluate {request.evaluate} your own code decides it; leave it out"
            )
    if request.plan.alternatives:
        raise UsageError("--alternatives are trained by the built-in training; leave it out")


def _check_training(request: SearchRequest, settings: Collection[str]) -> None:
    """Raise UsageError for what only a user's own evaluation has."""
    metrics = (objective(name).metric for name in request.metrics)
    if own := next((metric for metric in metrics if metric is not None and metric.is_own), None):
        raise UsageError(
            f"{own.text} is a metric of your own, which the built-in training does not measure; "
            "add --evaluate my_module:train, or choose another --metric"
        )
    if "num_classes" in settings:
        raise UsageError("the data say how many classes there are; leave out --num-classes")
    if request.recipe_settings.get("input") is not None:
        raise UsageError("the data say how large images are; leave out --input")


def _check_several_metrics(request: SearchRequest) -> None:
    """Raise UsageError for what knows a single metric only."""
    names = " and ".join(request.metrics)
    if request.evaluate is None:
        raise UsageError(
            f"the built-in training searches for one metric, and not for {names}; choose it with "
            "--metric"
        )
    if request.sampler == "additive":
        raise UsageError(
            f"--sampler additive models one metric, and not {names}; leave it out, or choose tpe, "
            "nsga2 or another of Optuna's samplers"
        )
    if request.pruner.pruner != "none":
        raise UsageError(
            f"--pruner {request.pruner.pruner} judges trials by one metric, and one that is poor "
            f"in {request.metrics[0]} may be the best in {request.metrics[1]}; leave it out"
        )
