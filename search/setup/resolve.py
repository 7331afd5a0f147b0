"""From what was asked to what a study does: `resolve_request` turns a request into a `StudyConfig`.

It looks at the data and the backbone and settles everything that was left to `auto`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...errors import SpaceError
from ...runners.costs import CostModel, measure_reference_latency
from ...runners.data import Progress, inspect_data, prepare_data
from ...runners.devices import resolve_device
from ...runners.recipe import Recipe, usual_settings
from ...runners.results import Costs
from ...spaces.architecture import Architecture
from ...spaces.backbones.discover import choose_stem
from ...spaces.backbones.pretrained import pretrained_backbone
from ...spaces.backbones.timm_compat import check_backbone
from ...spaces.search_space.bound_space import bind_space
from ...studies.config import DEFAULT_SAMPLER, SamplerName, StudyConfig, validated
from ...studies.text import formatting
from .autotune import ProbeCache, autotune_learning_rate, autotune_precision
from .request import SearchRequest

Say = Callable[[str], None]


def resolve_request(
    request: SearchRequest, say: Say, probes: ProbeCache, progress: Progress | None = None
) -> StudyConfig:
    """Look at the data and the backbone, settle what was left open, and say what was chosen.

    Decodes the data into its cache, with `progress` told now and then; what was measured before
    for another study comes from `probes`. Raises the errors of the
    parts: an unknown backbone, a place that it has not, a data set that cannot be used, an empty
    space, an objective that is none.
    """
    config = _draft(request)
    check_backbone(request.backbone)
    device = resolve_device(request.device)
    if request.init == "pretrained":
        pretrained_backbone(request.backbone)  # now, rather than in every trial
    recipe = _recipe(request)
    info = prepare_data(recipe, progress)
    if info.broken:
        say(f"left out {len(info.broken)} broken pictures: {', '.join(info.broken[:5])}")
    costs = CostModel(request.backbone, recipe, len(info.classes))
    size = bind_space(config.space, costs.site_map).count()
    bare = costs.price(Architecture(request.backbone))
    params, macs = formatting.count(bare.params), formatting.count(bare.macs)
    say(
        f"{request.backbone}: {params} parameters, {macs} MACs "
        f"at {recipe.image_size}×{recipe.image_size}, {recipe.stem} stem; "
        f"{info.name}: {info.counts['train']:,} + {info.counts['val']:,} pictures, "
        f"{len(info.classes)} classes; space {config.space.name}: {size:,} architectures"
    )
    sampler = config.sampler
    if request.sampler == "auto":
        sampler, why = choose_sampler(size, request.trials)
        say(f"sampler {sampler}: {why}; --sampler overrides it")
    _check_limits(request, bare)
    classes = len(info.classes)
    latency = None
    if "latency_ms" in config.measured:
        latency = measure_reference_latency(request.backbone, recipe, classes, device)
        _check_limits(request, replace(bare, latency_ms=latency))
        say(f"the bare backbone takes {latency:.3g} ms a picture on {device}")
    recipe = autotune_precision(request, recipe, classes, device, probes, say)
    recipe, tried = autotune_learning_rate(request, recipe, device, say)
    settled = {
        "recipe": recipe,
        "tuning": tried,
        "device": device.type,
        "sampler": sampler,
        "num_classes": classes,
        "stages": len(costs.site_map.blocks),
        "reference_latency_ms": latency,
    }
    return config.model_copy(update=settled)


def choose_sampler(size: int, trials: int) -> tuple[SamplerName, str]:
    """The sampler for a space of so many architectures and so many trials, and why."""
    if size <= trials:
        return "grid", f"the {size:,} architectures fit into {trials:,} trials"
    return DEFAULT_SAMPLER, f"{size:,} architectures are more than {trials:,} trials can try"


def _draft(request: SearchRequest) -> StudyConfig:
    """As much as the request tells by itself: wrong words are refused before anything slow."""
    config: StudyConfig = validated(
        StudyConfig,
        "search",
        backbone=request.backbone,
        recipe=Recipe.of(data=request.data, image_size=32),
        space=request.resolved_space(),
        objectives=request.objective,
        limits=request.limits,
        sampler=DEFAULT_SAMPLER if request.sampler == "auto" else request.sampler,
        pruning=request.pruner,
        seed=request.seed,
        num_classes=2,
        stages=1,
    )
    return config


def _check_limits(request: SearchRequest, bare: Costs) -> None:
    if over := bare.exceeded_limit(request.limits):
        raise SpaceError(
            f"the bare {request.backbone} breaks a limit itself: {over}; raise it, or take a "
            "smaller backbone"
        )


def _recipe(request: SearchRequest) -> Recipe:
    """What was asked for, and what the data suggest where it was left open."""
    source = inspect_data(request.data)
    image_size = request.image_size or source.image_size
    path = Path(request.data).expanduser()
    on_disk = request.data != source.name and path.exists()
    settled = {
        "data": str(path.resolve()) if on_disk else request.data,
        "image_size": image_size,
        "stem": choose_stem(request.backbone, image_size)
        if request.stem == "auto"
        else request.stem,
        "flip": source.flip if request.flip is None else request.flip,
        "crop": source.crop if request.crop is None else request.crop,
    }
    shared = set(Recipe.model_fields) & set(SearchRequest.model_fields) - set(settled)
    given = request.model_dump(include=shared, exclude_none=True)
    fields = {name: value for name, value in given.items() if value != "auto"}
    defaults = usual_settings(request.optimizer, request.schedule, request.init)
    return Recipe.of(**{**defaults, **fields, **settled, "data_seed": request.seed})
