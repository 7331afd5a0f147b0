"""Decide which alternatives to attention a study trains; see `studies/alternatives.py`.

- *A larger backbone*: of the models of the backbone's family (`spaces/backbones/families.py`) that
  have more parameters and more MACs, the one with the fewest parameters. Models of the same blocks
  come first: after `resnet18` that is `resnet34`, and not `resnet26`, which has bottlenecks.
- *More epochs*: half as many again. The schedule of the learning rate is stretched with them.
- *Larger images*: about 1.2 times the side, in multiples of what the backbone shrinks images by.

Everything else is the recipe of the study, its learning rate included.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...errors import AttentuneError, BackboneError
from ...runners.costs import count_costs, count_training_memory_mib
from ...runners.latency import Latency, TimedNetwork, measure_latency
from ...runners.recipe import Recipe
from ...runners.results import Costs
from ...sanitize import clean_error
from ...spaces.architecture import Architecture
from ...spaces.backbones.discover import find_sites
from ...spaces.backbones.families import (
    count_different_tokens,
    extended_family,
    family,
    has_pretrained_weights,
    with_tag_of,
)
from ...spaces.backbones.pretrained import pretrained_backbone
from ...spaces.networks.build import build_network
from ...studies.alternatives import (
    ALTERNATIVE_KINDS,
    EPOCH_FACTOR,
    Alternative,
    AlternativeKind,
    AlternativesPlan,
)
from ...studies.text import formatting

if TYPE_CHECKING:
    from ...studies.config import StudyConfig

MIN_COST_RATIO = 1.05
"""Parameters or MACs of a larger backbone, at least, as a multiple of those of the bare one."""
MAX_COST_RATIO = 5.0
"""The same at most: a backbone above it is no alternative at about the same cost."""
SIMILAR_PARAMETERS_RATIO = 1.02
"""Of candidates within this factor of the smallest, the one with the most similar name is taken."""
IMAGE_FACTOR = 1.2
"""What the side of larger images is close to, as a multiple of the recipe's."""
MIN_IMAGE_FACTOR, MAX_IMAGE_FACTOR = 1.1, 1.35
"""Multiples of the recipe's side that a coarser grid of sizes may lead to."""

logger = logging.getLogger(__name__)


def plan_alternatives(
    config: StudyConfig,
    device: torch.device,
    known: AlternativesPlan,
    native_size: Callable[[], int],
) -> AlternativesPlan:
    """Decide which alternatives a study has.

    Args:
        config: of the study.
        device: where its trials run.
        known: alternatives that were decided earlier, which stay as they are.
        native_size: the shorter side of a typical image of the data, pixels.
    """
    decide: dict[AlternativeKind, Callable[[StudyConfig, torch.device], Alternative]] = {
        "backbone": _larger_backbone,
        "epochs": _more_epochs,
        "images": partial(_larger_images, native_size),
    }
    alternatives, missing = [], {}
    for kind in ALTERNATIVE_KINDS:
        try:
            alternatives.append(known.get(kind) or decide[kind](config, device))
        except Exception as error:  # An alternative never ends a search.
            logger.debug("no alternative of kind %s", kind, exc_info=error)
            missing[kind] = _reason(error)
    return AlternativesPlan(tuple(alternatives), missing)


def _reason(error: Exception) -> str:
    """Why there is no alternative, in one line."""
    text = clean_error(error).partition("\n")[0]
    return text if isinstance(error, AttentuneError) else f"{type(error).__name__}: {text}"


def _larger_backbone(config: StudyConfig, device: torch.device) -> Alternative:
    recipe, num_classes = config.recipe, config.num_classes
    if recipe.weights_file is not None:
        raise BackboneError(f"the file of initial weights is for {config.backbone} alone")
    backbone = next_larger_backbone(config.backbone, recipe, num_classes).name
    if recipe.init == "pretrained":
        pretrained_backbone(backbone)  # Downloads them once, and not in every trial.
    costs = _measure(config, device, backbone, recipe)
    bare = _CountedModel.of(config.backbone, recipe, num_classes).costs
    reason = (
        f"the next larger backbone of its family; {formatting.count(costs.params)} "
        f"parameters instead of {formatting.count(bare.params)}"
    )
    return Alternative("backbone", backbone, recipe.image_size, 1.0, reason, costs)


def _more_epochs(config: StudyConfig, device: torch.device) -> Alternative:
    recipe = config.recipe
    epochs = math.ceil(EPOCH_FACTOR * recipe.epochs)
    reason = f"half as many epochs again; {epochs} instead of {recipe.epochs}"
    costs = _measure(config, device, config.backbone, recipe)
    return Alternative("epochs", config.backbone, recipe.image_size, EPOCH_FACTOR, reason, costs)


def _larger_images(
    native_size: Callable[[], int], config: StudyConfig, device: torch.device
) -> Alternative:
    recipe = config.recipe
    side = next_image_size(config.backbone, recipe)
    native = native_size()
    reason = f"the next sensible size; {side}×{side} pixels instead of {recipe.image_size}"
    if native < side:
        reason += f", although a typical image of the data has only {native}"
    larger = Recipe.of(**{**recipe.model_dump(), "image_size": side})
    costs = _measure(config, device, config.backbone, larger)
    return Alternative("images", config.backbone, side, 1.0, reason, costs)


@dataclass(frozen=True)
class _CountedModel:
    """A backbone of a family: what it costs, and which blocks it consists of."""

    name: str
    costs: Costs
    blocks: frozenset[str]

    @classmethod
    def of(cls, name: str, recipe: Recipe, num_classes: int) -> _CountedModel:
        """Build a backbone on the meta device, and count.

        Raises:
            BackboneError: it cannot be built, or not run on images of the recipe's size.
        """
        try:
            model = _build(name, recipe, num_classes, torch.device("meta"))
            costs = count_costs(model, recipe.image_size, recipe.in_chans)
        except Exception as error:
            raise BackboneError(f"{name} cannot be built: {clean_error(error)}") from error
        modules = (module for module in model.modules() if any(module.children()))
        names = (type(module) for module in modules)
        blocks = {kind.__name__ for kind in names if kind.__module__.startswith("timm.models.")}
        return cls(name, costs, frozenset(blocks))


def next_larger_backbone(backbone: str, recipe: Recipe, num_classes: int) -> _CountedModel:
    """The next larger model of a backbone's family.

    The models are compared with their native stems, because a small stem is made from a trace of
    the network, which takes longer than all the rest.

    Args:
        backbone: a timm model.
        recipe: its image size is used. If it starts from pretrained weights, only models that have
            some are considered.
        num_classes: classes of the head.

    Raises:
        BackboneError: there is none, or the next one is much larger.
    """
    recipe = recipe.model_copy(update={"stem": "native"})
    bare = _CountedModel.of(backbone, recipe, num_classes)
    much_larger: list[_CountedModel] = []
    for names in (family(backbone), extended_family(backbone)):
        models = list(_larger_models(bare, names, recipe, num_classes))
        if larger := [m for m in models if _largest_ratio(m, bare) <= MAX_COST_RATIO]:
            return _next_larger(bare, larger)
        much_larger += models
    weights = " with pretrained weights" if recipe.init == "pretrained" else ""
    reason = f"timm has no larger backbone of the family of {backbone}{weights}"
    if much_larger:
        nearest = min(much_larger, key=lambda model: _largest_ratio(model, bare))
        ratio = _largest_ratio(nearest, bare)
        reason += f" at about the same cost; that of {nearest.name} is {ratio:.0f} times as high"
    raise BackboneError(reason)


def _larger_models(
    bare: _CountedModel, names: Iterable[str], recipe: Recipe, num_classes: int
) -> Iterable[_CountedModel]:
    """Those of the named models that are larger than the bare backbone and can be trained."""
    for name in names:
        tagged = with_tag_of(bare.name, name)
        if recipe.init == "pretrained" and not has_pretrained_weights(tagged):
            continue
        try:
            model = _CountedModel.of(tagged, recipe, num_classes)
        except BackboneError as error:
            logger.debug("%s", error)
            continue
        if _is_larger(model, bare):
            yield model


def _is_larger(model: _CountedModel, bare: _CountedModel) -> bool:
    more_of_both = model.costs.params > bare.costs.params and model.costs.macs > bare.costs.macs
    return more_of_both and _largest_ratio(model, bare) >= MIN_COST_RATIO


def _largest_ratio(model: _CountedModel, bare: _CountedModel) -> float:
    """How many times as many parameters, or MACs if that is more, a model has as the bare one."""
    parameters = model.costs.params / bare.costs.params
    return max(parameters, model.costs.macs / max(1, bare.costs.macs))


def _next_larger(bare: _CountedModel, larger: list[_CountedModel]) -> _CountedModel:
    """The smallest of some larger models, of the same blocks as the bare backbone if possible."""
    same_blocks = [model for model in larger if model.blocks == bare.blocks]
    candidates = same_blocks or larger
    least = min(model.costs.params for model in candidates)
    similar = [m for m in candidates if m.costs.params <= SIMILAR_PARAMETERS_RATIO * least]
    return min(similar, key=lambda m: (count_different_tokens(bare.name, m.name), m.costs.params))


def next_image_size(backbone: str, recipe: Recipe) -> int:
    """The side of larger images, pixels: about `IMAGE_FACTOR` times the recipe's.

    It is a multiple of what the backbone shrinks images by. If no such multiple is near, it is one
    of a half, a quarter and so on of that.

    Args:
        backbone: a timm model.
        recipe: its image size and stem are used.

    Raises:
        BackboneError: the backbone cannot be run.
    """
    side = recipe.image_size
    sites = find_sites(backbone, image_size=side, stem=recipe.stem).sites
    stride: int = 2 ** round(math.log2(side / min(site.height for site in sites)))
    while stride > 1:
        size = stride * round(IMAGE_FACTOR * side / stride)
        if MIN_IMAGE_FACTOR <= size / side <= MAX_IMAGE_FACTOR:
            return size
        stride //= 2
    return math.ceil(IMAGE_FACTOR * side)


def _build(backbone: str, recipe: Recipe, num_classes: int, device: torch.device) -> nn.Module:
    with device:
        return build_network(
            Architecture(backbone),
            num_classes=num_classes,
            stem=recipe.stem,
            image_size=recipe.image_size,
            in_chans=recipe.in_chans,
            seed=None,
        )


def _measure(config: StudyConfig, device: torch.device, backbone: str, recipe: Recipe) -> Costs:
    """The costs of an alternative's network, those that the study measures.

    Args:
        config: of the study, with its bare backbone and recipe.
        device: where to time the network.
        backbone: of the alternative.
        recipe: with the alternative's image size.

    Raises:
        BackboneError: the network cannot be built, or not run on images of that size.
    """
    costs = _CountedModel.of(backbone, recipe, config.num_classes).costs
    if "latency_ms" in config.measured and config.reference_latency_ms is not None:
        network, bare = (
            TimedNetwork(Architecture(name), r.image_size, config.num_classes, r.stem, r.in_chans)
            for name, r in ((backbone, recipe), (config.backbone, config.recipe))
        )
        reference = Latency(config.reference_latency_ms, config.reference_latency_error_ms or 0.0)
        latency = measure_latency(network, device, bare) if network != bare else reference
        costs = latency.as_multiple_of(reference).add_to(costs)
    if "memory_mib" in config.measured:
        memory = count_training_memory_mib(Architecture(backbone), recipe, config.num_classes)
        costs = replace(costs, memory_mib=memory)
    return costs
