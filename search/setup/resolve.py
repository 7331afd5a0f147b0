"""Turn a request into the configuration of a study: `resolve_request`.

Each step decides one thing that the request left open, and logs it: the data and the settings that
follow from them, the bare backbone and the size of the space, the sampler, the latency, the
precision, the learning rate. Invalid values are rejected before anything slow begins.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import SpaceError, UsageError
from ...runners.costs import (
    CostModel,
    count_training_memory_mib,
)
from ...runners.data import (
    DataInfo,
    Progress,
    SourceOptions,
    inspect_data,
    open_data,
    prepare_data,
)
from ...runners.data.sources.photographs import why_no_photographs
from ...runners.data.sources.resolve import open_source
from ...runners.devices import resolve_device
from ...runners.latency import Latency, TimedNetwork, measure_latency
from ...runners.metrics import TOP
from ...runners.plugin_checks.checker import plugin_checker
from ...runners.recipe import Recipe, usual_settings
from ...runners.results import Costs
from ...runners.user_evaluation import UserEvaluation
from ...spaces.architecture import Architecture
from ...spaces.backbones.discover import choose_stem, find_last_sites
from ...spaces.backbones.own_backbone import is_own_backbone
from ...spaces.backbones.sites import height_and_width
from ...spaces.backbones.stem import Stem
from ...spaces.backbones.timm_compat import check_backbone
from ...spaces.search_space.bound_space import BoundSpace, bind_space
from ...spaces.search_space.space import Space
from ...studies.config import (
    DEFAULT_SAMPLER,
    SamplerName,
    StudyConfig,
    measured_costs,
    validated,
)
from ...studies.objectives import OBJECTIVES
from ...studies.text import formatting
from ..samplers.grid import check_grid_size
from .augmentation import resolve_augmentation
from .autotune import ProbeCache, autotune_learning_rate, autotune_precision
from .image_channels import choose_channels
from .initial_weights import (
    check_frozen_epochs,
    check_requested_weights,
    log_initial_scales,
    resolve_initial_weights,
)
from .own_evaluation import check_own_backbone, check_own_head, resolve_evaluation
from .request import SearchRequest
from .space_check import check_space, largest_costs
from .training_budget import resolve_training_budget

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

SAMPLER_OF_SEVERAL_METRICS: SamplerName = "tpe"
"""The default sampler models a single metric."""
MIN_RATIO_UNEQUAL = 3
"""Classes are unequal if the most frequent one has so many times the images of the rarest."""
UNEQUAL_ADVICE = (
    "; --metric balanced-accuracy counts all classes equally, and so does the loss with "
    "--class-weights"
)


def resolve_request(
    request: SearchRequest, probes: ProbeCache, progress: Progress | None = None
) -> StudyConfig:
    """Decide everything that a request left open, and log what was chosen.

    Decodes the data into its cache, and measures on the bare backbone.

    Args:
        request: the requested settings.
        probes: results of earlier measurements.
        progress: called while images are decoded, with the number of decoded images and of all.

    Raises:
        UsageError: an objective, limit, device or search space that cannot be used.
        BackboneError: a backbone that timm does not know, or that takes no attention.
        DataError: a data set that cannot be used.
        TrialError: the bare backbone cannot be trained.
    """
    space = request.resolved_space()
    device = _check_backbone_and_device(request)
    evaluation: UserEvaluation | None = None
    if request.evaluate is None:
        recipe = _resolve_recipe(request)
        data = _prepare_data(recipe, progress)
        recipe = resolve_augmentation(request, recipe, data)
        recipe = resolve_training_budget(request, recipe, data.counts["train"])
        num_classes, described = len(data.classes), _describe_data(data)
        if is_own_backbone(request.backbone):
            check_own_head(request.backbone, recipe, num_classes)
    else:
        recipe, evaluation = resolve_evaluation(request)
        num_classes, described = request.num_classes or 0, ""
    if recipe.init != "scratch":
        log_initial_scales(space)
    bare = _examine_backbone(request.backbone, space, recipe, num_classes, described)
    _check_metric(request, bare.num_classes)
    sampler = _resolve_sampler(request, bare.architectures)
    _check_limits(request, bare.costs)
    check_space(bare.space, bare.model, request.limits)
    _check_memory(request, recipe, bare)
    latency = _measure_latency(request, recipe, bare, device)
    attempts: tuple[dict[str, float], ...] = ()
    if evaluation is None:
        recipe = autotune_precision(request, recipe, bare.num_classes, device, probes)
        recipe, attempts = autotune_learning_rate(request, recipe, device, bare.space)
    config: StudyConfig = validated(
        StudyConfig,
        "search",
        backbone=request.backbone,
        recipe=recipe,
        space=space,
        objectives=request.objectives,
        limits=request.limits,
        sampler=sampler,
        pruning=request.pruner,
        seed=request.seed,
        device=device.type,
        num_classes=bare.num_classes,
        evaluation=evaluation,
        stages=bare.stages,
        reference_latency_ms=latency.milliseconds if latency else None,
        reference_latency_error_ms=latency.milliseconds_error if latency else None,
        largest_costs=largest_costs(bare.space, bare.model),
    )
    # Set after validation, which would turn the epochs of an attempt into floats: 2.0, not 2.
    return config.model_copy(update={"tuning": attempts})


def choose_sampler(architectures: int, trials: int) -> tuple[SamplerName, str]:
    """The sampler for a space of this size and this number of trials, and the reason in words."""
    size = formatting.size(architectures)
    if architectures <= trials:
        repeated = "" if 2 * architectures > trials else ", the others repeat them with other seeds"
        return "grid", f"all {size} architectures fit into {trials:,} trials{repeated}"
    reason = f"{size} architectures are more than {trials:,} trials can cover"
    return DEFAULT_SAMPLER, reason


@dataclass(frozen=True)
class _BareBackbone:
    """What is known of the bare backbone before it is trained.

    Attributes:
        costs: parameters and MACs at the recipe's image size.
        stages: the number of its stages.
        architectures: the number of architectures in the search space.
        space: the search space on it.
        model: the costs of its architectures.
        num_classes: classes of the data; 0 if a user's own evaluation does not say.
    """

    costs: Costs
    stages: int
    architectures: int
    space: BoundSpace
    model: CostModel
    num_classes: int


def _check_metric(request: SearchRequest, num_classes: int) -> None:
    """Raise UsageError if all networks would have the same value of the metric."""
    if "top5" in request.objectives and 0 < num_classes <= TOP:
        raise UsageError(
            f"with {num_classes} classes the top-5 accuracy is always 100 %, so there is nothing "
            "to search for; use --metric accuracy"
        )


def _check_backbone_and_device(request: SearchRequest) -> torch.device:
    """Check that the backbone, its weights and the device exist; return the device."""
    if is_own_backbone(request.backbone):
        check_own_backbone(request)
    else:
        check_backbone(request.backbone)
        check_requested_weights(request)
    return resolve_device(request.plan.device)


def _resolve_recipe(request: SearchRequest) -> Recipe:
    """The recipe with the requested settings; those left open follow from the data."""
    requested = request.recipe_settings
    spec = requested["data"]
    options = SourceOptions.of_settings(requested)
    source = inspect_data(spec, options)
    for remark in source.remarks:
        logger.info("%s", remark)
    requested["data"] = open_source(spec, options).place
    if options.data_root is not None:
        requested["data_root"] = str(Path(options.data_root).expanduser().resolve())
    channels = choose_channels(requested.get("in_chans"), source)
    weights = resolve_initial_weights(
        request, len(source.classes), lambda: why_no_photographs(spec, options), channels
    )
    usual = usual_settings(requested["optimizer"], requested["schedule"], weights["init"])
    from_data = {
        "image_size": source.image_size,
        "value_range": source.value_range,
        "in_chans": channels,
    }
    fields = {**usual, **weights, **from_data, **requested, "init": weights["init"]}
    fields |= check_frozen_epochs(request, weights["init"])
    if "stem" not in requested:
        fields["stem"] = _choose_stem(request.backbone, fields["image_size"])
    if fields["stem"] == "small" and fields["init"] != "scratch":
        fields["stem"] = "stride1"  # The small stem's kernels are smaller than the weights'.
    if source.value_range is not None:
        _log_value_range(fields["value_range"])
    return Recipe.of(**fields, data_seed=request.seed)


def _choose_stem(backbone: str, image_size: int) -> Stem:
    """The stem that suits the size of the images; logs the choice where there is one."""
    stem = choose_stem(backbone, image_size)
    native, small = find_last_sites(backbone, image_size)
    if small is not None:
        ratio = small.height * small.width / (native.height * native.width)
        logger.info(
            f"{stem} stem: the last map of {backbone} has {native.height}×{native.width} locations "
            f"with the native stem, and {small.height}×{small.width} with the small one, for about "
            f"{ratio:.0f} times the MACs; --stem overrides this"
        )
    return stem


def _log_value_range(value_range: tuple[float, float]) -> None:
    low, high = (f"{value:,g}" for value in value_range)
    logger.info(
        "images with more than 8 bits: the values %s to %s become black to white in all of them; "
        "--value-range overrides this",
        low,
        high,
    )


def _prepare_data(recipe: Recipe, progress: Progress | None) -> DataInfo:
    data = prepare_data(recipe, progress, verify=True)
    if data.broken:
        logger.info("left out %s broken images: %s", len(data.broken), ", ".join(data.broken[:5]))
    for split, count in data.repeated.items():
        logger.warning(
            "%s: %s of %s %s images are identical to images of an earlier split, so the network "
            "has seen them; `attentune data` names them.",
            data.name,
            f"{count:,}",
            f"{data.counts[split]:,}",
            {"val": "validation"}.get(split, split),
        )
    _log_class_sizes(recipe, data)
    return data


def _log_class_sizes(recipe: Recipe, data: DataInfo) -> None:
    """Say so if the classes are not equally frequent, and what there is for that."""
    counts = np.bincount(open_data(data).train.labels, minlength=len(data.classes))
    rarest, commonest = int(counts.argmin()), int(counts.argmax())
    if counts[commonest] < MIN_RATIO_UNEQUAL * counts[rarest]:
        return
    advice = "" if recipe.class_weights or recipe.balanced_sampling else UNEQUAL_ADVICE
    logger.info(
        f"classes have {counts[rarest]:,} ({data.classes[rarest]}) to {counts[commonest]:,} "
        f"({data.classes[commonest]}) training images{advice}"
    )


def _describe_data(data: DataInfo) -> str:
    """The data as part of a line of the log."""
    return (
        f"{data.name}: {data.counts['train']:,} training and {data.counts['val']:,} validation "
        f"images, {len(data.classes)} classes; "
    )


def _examine_backbone(
    backbone: str, space: Space, recipe: Recipe, num_classes: int, described: str
) -> _BareBackbone:
    """Costs and stages of the bare backbone, and the size of the space on it; logs them.

    Args:
        backbone: its name, or the reference of a network of one's own.
        space: the search space.
        recipe: decides the sizes of maps.
        num_classes: of the head; 0: as many as the backbone has by itself.
        described: the data, for the log.
    """
    model = CostModel(backbone, recipe, num_classes, plugin_checker())
    bound = bind_space(space, model.site_map)
    size = bound.count()
    costs = model.price(Architecture(backbone))
    height, width = height_and_width(recipe.size)
    stem = "" if is_own_backbone(backbone) else f", {recipe.stem} stem"
    logger.info(
        f"{backbone}: {formatting.count(costs.params)} parameters, "
        f"{formatting.count(costs.macs)} MACs "
        f"at {height}×{width}{stem}; {described}space {space.name}: "
        f"{formatting.size(size)} architectures"
    )
    return _BareBackbone(costs, len(model.site_map.blocks), size, bound, model, num_classes)


def _resolve_sampler(request: SearchRequest, architectures: int) -> SamplerName:
    if request.sampler == "grid":
        check_grid_size(architectures)
    if request.sampler != "auto":
        return request.sampler
    sampler, reason = choose_sampler(architectures, request.plan.trials)
    if sampler == DEFAULT_SAMPLER and len(request.metrics) > 1:
        sampler, reason = SAMPLER_OF_SEVERAL_METRICS, f"there are {len(request.metrics)} metrics"
    logger.info("sampler %s: %s; --sampler overrides this", sampler, reason)
    return sampler


def _check_limits(request: SearchRequest, bare: Costs) -> None:
    if exceeded := bare.exceeded_limit(request.limits):
        raise SpaceError(
            f"the bare {request.backbone} already exceeds a limit: {exceeded}; raise the limit, or "
            "choose a smaller backbone"
        )


def _check_memory(request: SearchRequest, recipe: Recipe, bare: _BareBackbone) -> None:
    """Check that the bare backbone is within a limit on memory, before anything is trained."""
    if "memory_mib" in request.limits:
        backbone = Architecture(request.backbone)
        memory = count_training_memory_mib(backbone, recipe, bare.num_classes)
        _check_limits(request, replace(bare.costs, memory_mib=memory))


def _measure_latency(
    request: SearchRequest, recipe: Recipe, bare: _BareBackbone, device: torch.device
) -> Latency | None:
    """The latency of the bare backbone; None if no objective or limit needs it."""
    if "latency_ms" not in measured_costs(request.objectives, request.limits):
        return None
    backbone = Architecture(request.backbone)
    network = TimedNetwork(backbone, recipe.size, bare.num_classes, recipe.stem, recipe.in_chans)
    latency = measure_latency(network, device)
    costs = latency.add_to(bare.costs)
    _check_limits(request, costs)
    shown = formatting.cost(costs.latency_ms, OBJECTIVES["latency"], costs.latency_ms_error)
    logger.info("the bare backbone takes %s per image on %s", shown, device)
    if latency.disturbance is not None:
        logger.warning(
            "The latency of the bare backbone was measured on a busy machine: %s.",
            latency.disturbance,
        )
    if at_limit := costs.limit_within_noise(request.limits):
        logger.warning("Of the bare backbone, %s.", at_limit)
    return latency
