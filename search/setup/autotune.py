"""What a request left to `auto` and only a measurement can settle: how to compute, and how fast to
learn.

Precision and memory layout are what steps fastest here (`runners/calibration/precision.py`),
remembered in the database; learning rate and decay are tuned on the bare backbone
(`runners/calibration/learning_rate.py`). All trials of the study then train alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from ...runners.recipe import Precision, Recipe

if TYPE_CHECKING:
    import torch

    from ...runners.calibration.learning_rate import Attempt
    from ...runners.calibration.precision import Variant
    from .request import SearchRequest

Say = Callable[[str], None]


class ProbeCache(Protocol):
    """Where answers are kept; a `Store` is one."""

    def get_probe(self, question: Mapping[str, str]) -> dict[str, Any] | None:
        """The answer to a question that was answered before."""

    def put_probe(self, question: Mapping[str, str], answer: Mapping[str, Any]) -> None:
        """Keep an answer."""


def autotune_precision(
    request: SearchRequest,
    recipe: Recipe,
    num_classes: int,
    device: torch.device,
    probes: ProbeCache,
    say: Say,
) -> Recipe:
    """The recipe with a precision and a layout: those asked for, else those that step fastest."""
    from ...runners.calibration.precision import lacks_bf16, probe_key, probe_precision

    if request.precision == "bf16" and lacks_bf16(device):
        say(
            "this processor has no instructions for bf16: a step may take ten to thirty times as "
            "long as in float32; --precision auto takes what is fastest"
        )
    variants = _variants(request)
    if len(variants) == 1:
        precision, channels_last = variants[0]
        return recipe.model_copy(update={"precision": precision, "channels_last": channels_last})
    asked = probe_key(request.backbone, recipe, device)
    asked["variants"] = f"{request.precision} {request.memory_format}"
    answer = probes.get_probe(asked)
    if answer is None:
        found = probe_precision(request.backbone, recipe, num_classes, device, variants=variants)
        answer = {
            **found.settings,
            "milliseconds": dict(found.milliseconds),
            "told": str(found),
        }
        probes.put_probe(asked, answer)
        how = "probed on the bare backbone"
    else:
        how = "known from an earlier probe"
    say(f"computing in {answer['told']}; {how}, --precision and --memory-format override it")
    settled = {key: answer[key] for key in ("precision", "channels_last")}
    return recipe.model_copy(update=settled)


def _variants(request: SearchRequest) -> tuple[Variant, ...]:
    precisions: tuple[Precision, ...] = ("float32", "bf16")
    if request.precision != "auto":
        precisions = (request.precision,)
    layouts: tuple[bool, ...] = (True, False)
    if request.memory_format != "auto":
        layouts = (request.memory_format == "channels_last",)
    return tuple((precision, layout) for precision in precisions for layout in layouts)


def autotune_learning_rate(
    request: SearchRequest, recipe: Recipe, device: torch.device, say: Say
) -> tuple[Recipe, tuple[dict[str, float], ...]]:
    """The recipe with a learning rate and decay, and what was tried to find them."""
    if request.lr != "auto":
        return recipe, ()
    from ...runners.calibration.learning_rate import tune_learning_rate
    from ...runners.devices import worker_devices

    say("tuning the learning rate on the bare backbone, for at most the price of two trials")

    def told(attempt: Attempt) -> None:
        say(
            f"  lr {attempt.lr:.3g}, decay over {attempt.decay:.0%}: validation loss "
            f"{attempt.loss:.3f}, accuracy {attempt.accuracy:.1%}"
        )

    devices = worker_devices(device, request.workers, 1)
    tuning = tune_learning_rate(request.backbone, recipe, devices, told=told)
    chosen = tuning.recipe
    say(f"training with lr {chosen.lr:.3g} and decay over {chosen.decay:.0%}; --lr overrides it")
    tried = (
        {name: value for name, value in asdict(attempt).items() if math.isfinite(value)}
        for attempt in tuning.attempts
    )
    return chosen, tuple(tried)


def autotune_workers_per_gpu(
    request: SearchRequest, recipe: Recipe, device: torch.device, probes: ProbeCache, say: Say
) -> int:
    """Workers for every GPU; one where there is none, or workers are counted already."""
    if request.workers_per_gpu != "auto":
        return request.workers_per_gpu
    if device.type != "cuda" or request.workers is not None:
        return 1
    from ...runners.calibration.precision import probe_key
    from ...runners.calibration.workers_per_gpu import measure_workers_per_gpu

    first = f"cuda:{device.index or 0}"
    asked = {**probe_key(request.backbone, recipe, device), "packing": recipe.precision}
    answer = probes.get_probe(asked)
    if answer is None:
        say("measuring how many workers a GPU can take")
        found = measure_workers_per_gpu(request.backbone, recipe, first)
        answer = {"workers": found.workers, "told": str(found)}
        probes.put_probe(asked, answer)
    say(f"{answer['told']}; --workers-per-gpu overrides it")
    return int(answer["workers"])
