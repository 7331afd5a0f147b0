"""Measure what a request left to `auto`: precision, memory layout, learning rate, workers per GPU.

Precision and memory layout are those that train fastest on this device
(`runners/calibration/precision.py`); the result is cached in the database, unless the machine was
too busy to measure it. Learning rate and decay are tuned on the bare backbone
(`runners/calibration/learning_rate.py`). All trials of the study use the same values.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import UsageError
from ...runners.recipe import NEW_MODULE_FACTOR, Precision, Recipe

if TYPE_CHECKING:
    import torch

    from ...runners.calibration.learning_rate import Attempt
    from ...runners.calibration.precision import Variant
    from ...spaces.architecture import Architecture
    from ...spaces.search_space.bound_space import BoundSpace
    from .request import SearchRequest

logger = logging.getLogger(__name__)


class ProbeCache(Protocol):
    """Stores the results of measurements for later studies, as `ProbeRepository` does."""

    def get(self, question: Mapping[str, str]) -> dict[str, Any] | None:
        """The recorded result; None if there is none.

        `question` holds everything that the result depends on, by name.
        """

    def put(self, question: Mapping[str, str], result: Mapping[str, Any]) -> None:
        """Record a result, replacing an earlier one."""


def autotune_precision(
    request: SearchRequest,
    recipe: Recipe,
    num_classes: int,
    device: torch.device,
    probes: ProbeCache,
) -> Recipe:
    """The recipe with the requested precision and memory layout, or those that train fastest.

    Args:
        request: names the backbone, and the precision and layout that may be tried.
        recipe: what is trained; its own precision and layout are replaced.
        num_classes: classes of the data.
        device: where trials will train.
        probes: results of earlier measurements.

    Raises:
        UsageError: torch cannot compute in the requested precision on the device.
    """
    from ...runners.calibration.precision import half_precision, probe_key, probe_precision

    requested_precision = request.recipe_settings.get("precision", "auto")
    _check_precision(requested_precision, device)
    variants = _variants(requested_precision, request.memory_format, half_precision(device))
    if len(variants) == 1:
        precision, channels_last = variants[0]
        return recipe.model_copy(update={"precision": precision, "channels_last": channels_last})
    question = probe_key(request.backbone, recipe, device)
    question["variants"] = f"{requested_precision} {request.memory_format}"
    result = probes.get(question)
    origin, level = "known from an earlier probe", logging.INFO
    if result is None or not _is_precision(result, variants):
        probe = probe_precision(request.backbone, recipe, num_classes, device, variants=variants)
        milliseconds = dict(probe.milliseconds)
        result = {**probe.settings, "milliseconds": milliseconds, "told": str(probe)}
        origin, level = "probed on the bare backbone", logging.INFO
        if probe.disturbance is None:
            probes.put(question, result)
        else:
            origin, level = _describe_busy_machine(probe.disturbance), logging.WARNING
    logger.log(
        level,
        "computing in %s, %s; --precision and --memory-format override this",
        result["told"],
        origin,
    )
    return recipe.model_copy(update={key: result[key] for key in ("precision", "channels_last")})


def _describe_busy_machine(disturbance: str) -> str:
    """Why a setting is not the fastest one for sure, and when it is measured again."""
    return (
        f"as the machine was too busy to tell what is fastest ({disturbance}), so that the next "
        "search measures again"
    )


def _is_precision(result: Mapping[str, Any], variants: Sequence[Variant]) -> bool:
    """Whether a recorded result is one that a probe of these variants can have."""
    chosen = (result.get("precision"), result.get("channels_last"))
    return chosen in variants and isinstance(result.get("told"), str)


def _check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that torch does not have on a device, and say where one is slow."""
    from ...runners.calibration.precision import emulates_bf16, lacks_bf16, why_no_fp16

    if precision == "bf16" and lacks_bf16(device):
        logger.info(
            "this processor has no bf16 instructions: a step may take 10 to 30 times as long as in "
            "float32; --precision auto takes the fastest"
        )
    if precision == "bf16" and emulates_bf16(device):
        logger.info(
            "this GPU has no bf16 arithmetic, so torch emulates it; --precision fp16 is faster, "
            "and --precision auto takes the fastest"
        )
    if precision == "fp16":
        if reason := why_no_fp16(device):
            raise UsageError(
                f"this version of torch cannot train in fp16 on {device} ({reason}); use "
                "--precision auto"
            )
        if device.type == "cpu":
            logger.info(
                "processors have no fast fp16: a step may take 10 to 30 times as long as in "
                "float32; --precision auto takes the fastest"
            )


def _variants(
    precision: Precision | str, memory_format: str, half: Precision
) -> tuple[Variant, ...]:
    """Every combination of the precisions and layouts that a request allows.

    Args:
        precision: the requested one, or `auto` for float32 and `half`.
        memory_format: the requested one, or `auto`.
        half: the precision of 16 bits.
    """
    precisions: tuple[Any, ...] = ("float32", half) if precision == "auto" else (precision,)
    layouts: tuple[bool, ...] = (True, False)
    if memory_format != "auto":
        layouts = (memory_format == "channels_last",)
    return tuple((precision, layout) for precision in precisions for layout in layouts)


def autotune_learning_rate(
    request: SearchRequest, recipe: Recipe, device: torch.device, space: BoundSpace
) -> tuple[Recipe, tuple[dict[str, float], ...]]:
    """The recipe with learning rates and decay, and the attempts that were made to tune them.

    Args:
        request: names the backbone, the workers, and the learning rate if one was asked for.
        recipe: its learning rate is where tuning begins.
        device: where to train.
        space: says where the attention is inserted with which the rate of attentions is tuned.

    Raises:
        TrialError: training failed, or diverged at every learning rate.
    """
    probe = None
    if recipe.init != "scratch" and request.is_open("attention_lr"):
        probe = probe_architecture(request.backbone, space)
        recipe = recipe.model_copy(update={"attention_lr": NEW_MODULE_FACTOR * recipe.lr})
    tunes_backbone = request.is_open("lr")
    if not tunes_backbone and probe is None:
        return recipe, ()
    from ...runners.calibration.learning_rate import (
        MAX_COST_PROBE_TRIALS,
        MAX_COST_TRIALS,
        tune_learning_rate,
    )
    from ...runners.devices import worker_devices

    cost = MAX_COST_TRIALS * tunes_backbone + MAX_COST_PROBE_TRIALS * (probe is not None)
    logger.info(
        "tuning the learning rate on the bare backbone%s, at the cost of at most %g trials",
        "" if probe is None else f" and that of attentions and the head on {probe}",
        cost,
    )
    devices = worker_devices(device, request.plan.workers, 1)
    tuning = tune_learning_rate(
        request.backbone,
        recipe,
        devices,
        probe=probe,
        tune_backbone=tunes_backbone,
        on_attempt=_log_attempt,
    )
    tuned = tuning.recipe
    logger.info(
        "training with lr %.3g%s and decay over %.0f%% of the steps; --lr overrides this",
        tuned.lr,
        _describe_attention_rate(tuned.attention_lr),
        100 * tuned.decay,
    )
    return tuned, tuple(map(_attempt_facts, tuning.attempts))


def probe_architecture(backbone: str, space: BoundSpace) -> Architecture | None:
    """The backbone with a textbook attention in every block, at the space's first position and with
    its start; None if none fits."""
    from ...errors import ArchitectureError
    from ...spaces.architecture import ALL, Architecture, Insertion
    from ...spaces.networks.canonical import canonicalise

    position = space.first_position
    for name, options in (("se", {"r": 16}), ("eca", {})) if position else ():
        settings: dict[str, Any] = {"start": space.space.start, **options}
        insertion = Insertion.of(name, str(position), (ALL,), **settings)
        architecture = Architecture(backbone, (insertion,), space.plain.removed)
        try:
            return canonicalise(architecture, space.site_map)
        except ArchitectureError:
            continue
    return None


def _attempt_facts(attempt: Attempt) -> dict[str, float]:
    """An attempt as it is stored; a loss that is not finite, and what is not set, are left out."""
    facts = asdict(attempt)
    if not facts.pop("has_probe"):
        return {k: v for k, v in facts.items() if v is not None and math.isfinite(v)}
    return {"has_probe": True, **{k: v for k, v in facts.items() if v and math.isfinite(v)}}


def _describe_attention_rate(attention_lr: float | None) -> str:
    return "" if attention_lr is None else f" (attentions and head: {attention_lr:.3g})"


def _log_attempt(attempt: Attempt) -> None:
    logger.info(
        "  %slr %.3g%s, decay over %.0f%%: validation loss %.3f, accuracy %.1f%%",
        "with attention: " if attempt.has_probe else "",
        attempt.lr,
        _describe_attention_rate(attempt.attention_lr),
        100 * attempt.decay,
        attempt.loss,
        100 * attempt.accuracy,
    )


def autotune_workers_per_gpu(
    request: SearchRequest, recipe: Recipe, device: torch.device, probes: ProbeCache
) -> int:
    """The requested number of workers per GPU, or the measured number that is fastest.

    It is 1 without a GPU, and if the request sets the total number of workers.

    Args:
        request: names the backbone, and the numbers of workers that were asked for.
        recipe: what is trained.
        device: where trials will train.
        probes: results of earlier measurements.
    """
    plan = request.plan
    if not request.is_open("workers_per_gpu"):
        return plan.workers_per_gpu
    if device.type != "cuda" or plan.workers is not None:
        return 1
    from ...runners.calibration.precision import probe_key
    from ...runners.calibration.workers_per_gpu import measure_workers_per_gpu

    first_gpu = f"cuda:{device.index or 0}"
    question = {**probe_key(request.backbone, recipe, device), "packing": recipe.precision}
    result = probes.get(question)
    if result is None or not _is_worker_count(result):
        logger.info("measuring how many workers to run on each GPU")
        measured = measure_workers_per_gpu(request.backbone, recipe, first_gpu)
        if measured.disturbance is not None:
            reason = _describe_busy_machine(measured.disturbance)
            logger.warning("%s, %s; --workers-per-gpu overrides this", measured, reason)
            return measured.workers
        result = {"workers": measured.workers, "told": str(measured)}
        probes.put(question, result)
    logger.info("%s; --workers-per-gpu overrides this", result["told"])
    return int(result["workers"])


def _is_worker_count(result: Mapping[str, Any]) -> bool:
    """Whether a recorded result is one that the measurement of workers can have."""
    workers = result.get("workers")
    return type(workers) is int and workers > 0 and isinstance(result.get("told"), str)
