"""Measure which precision and memory layout make a training step fastest on a device.

No fixed choice is always fastest: on one processor bf16 made dense convolutions 1.5 times as fast
and depthwise ones half as fast. Therefore the bare backbone trains for a second or two, alternating
between the variants {float32, bf16 autocast} × {contiguous, channels last}; GPUs that only emulate
bf16 try fp16 in its place (`step_times`). The fastest of all variants is used, with two exceptions:

- 16 bits have to be `MIN_SPEEDUP_16_BIT` times as fast as the fastest variant in float32, in a
  typical round: a smaller speed-up does not justify their rounding.
- Contiguous maps have to be `MIN_SPEEDUP_CONTIGUOUS` times as fast as channels-last ones in three
  quarters of the rounds. Otherwise the two are equally fast within the noise, and attentions and
  whole batches are faster with channels-last maps.

On a machine that is too busy to tell, float32 with channels-last maps is used, unless another
variant is clearly faster. The result is valid for one backbone, stem, image size and batch size on
one device, and is cached unless the machine was too busy.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from ...errors import AttentuneError
from ...spaces.architecture import Architecture
from ...spaces.networks.build import build_network
from ..devices import keep_freed_memory, torch_threads
from ..environment import device_name
from ..recipe import RGB_CHANNELS, Precision, Recipe
from ..training.device_data import DeviceData, DeviceImages
from ..training.optimizer import flatten_parameters, make_optimizer
from ..training.prepare_network import prepare_network
from ..training.steps import EagerStep, TrainingStep, choose_step
from .step_times import MIN_SPEEDUP_CLEAR, StepTimes, TimedStep, thread_clock, time_in_turns

Variant = tuple[Precision, bool]
"""A precision, and whether maps are channels-last."""
MakeStep = Callable[[Variant, int], TimedStep]
"""Makes a training step of a variant for a batch size."""
VARIANTS: tuple[Variant, ...] = (
    ("float32", True),
    ("float32", False),
    ("bf16", True),
    ("bf16", False),
)
FP16_VARIANTS: tuple[Variant, ...] = (("fp16", True), ("fp16", False))
MIN_CAPABILITY_BF16 = 8
"""CUDA's compute capability (major) from which GPUs compute in bf16. Below it, on a T4, P100 or
V100, torch emulates bf16, and `torch.cuda.is_bf16_supported` is true all the same."""
MIN_SPEEDUP_16_BIT = 1.1
"""See the head of this module."""
MIN_SPEEDUP_CONTIGUOUS = 1.02
"""See the head of this module."""
MAX_SLOWDOWN_KEPT = 4
"""A variant that takes more than this many times as long as the fastest counts as not runnable."""
FIRST_STEP_SECONDS = 0.5
"""Seconds by which a first step may exceed `MAX_SLOWDOWN_KEPT` times the fastest first step."""
FIRST_STEP_IMAGES = 2
"""The batch size of the first step on a CPU."""
MAX_STEP_SECONDS = 0.15
"""The longest step on a CPU. If a whole batch takes longer, a smaller batch is timed."""


@dataclass(frozen=True)
class PrecisionProbe:
    """The variant to use, and the milliseconds of a typical step of each that could run.

    Attributes:
        precision: of the variant to use.
        channels_last: its memory layout.
        milliseconds: by name of the variant, fastest first.
        disturbance: why the machine was too busy to tell which is fastest; None if it was not.
    """

    precision: Precision
    channels_last: bool
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    disturbance: str | None = None

    @property
    def variants(self) -> list[Variant]:
        """The variants that can run here and are not much slower than the fastest."""
        limit = MAX_SLOWDOWN_KEPT * min(self.milliseconds.values())
        variants = (*VARIANTS, *FP16_VARIANTS)
        return [v for v in variants if self.milliseconds.get(_name(v), math.inf) <= limit]

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of a recipe that the probe decides."""
        return {"precision": self.precision, "channels_last": self.channels_last}

    @property
    def layout(self) -> str:
        """The memory layout as torch calls it."""
        return "channels_last" if self.channels_last else "contiguous"

    def __str__(self) -> str:
        chosen = _name((self.precision, self.channels_last))
        if len(self.milliseconds) < 2:
            return chosen
        slower = (
            f"{name} takes {value / self.milliseconds[chosen]:.2f}×"
            for name, value in self.milliseconds.items()
            if name != chosen
        )
        return f"{chosen} ({', '.join(slower)} as long per step)"


def probe_key(backbone: str, recipe: Recipe, device: torch.device) -> dict[str, str]:
    """What the result of `probe_precision` depends on, as a key of the cache.

    Args:
        backbone: the timm name.
        recipe: what is trained.
        device: where it is trained.
    """
    key = {
        # The version of the method. 1 had images channels-last in every variant; 2 chose the faster
        # layout even if the difference was small; 3 kept channels-last maps unless contiguous ones
        # were much faster, and compared precisions afterwards.
        "way": "4",
        "backbone": backbone,
        "stem": recipe.stem,
        "image_size": str(recipe.image_size),
        "batch_size": str(recipe.batch_size),
        "optimizer": recipe.optimizer,
        "device": device_name(device),
        "torch": torch.__version__,
    }
    if recipe.in_chans != RGB_CHANNELS:
        key["in_chans"] = str(recipe.in_chans)
    if device.type == "cpu":
        # In virtual machines, processors of several generations can have the same name.
        key["instructions"] = torch.backends.cpu.get_cpu_capability()
    return key


def probe_precision(
    backbone: str,
    recipe: Recipe,
    num_classes: int,
    device: torch.device,
    *,
    variants: tuple[Variant, ...] = VARIANTS,
    seconds: float = 2.0,
) -> PrecisionProbe:
    """Train the bare backbone on noise in each variant, and choose a variant.

    On a CPU it trains with one thread, as a worker does.

    Args:
        backbone: a timm model.
        recipe: the recipe of the search.
        num_classes: outputs of the head.
        device: where to train.
        variants: what to try.
        seconds: approximate duration of all steps together.

    Raises:
        AttentuneError: no variant can take a step.
    """
    if device.type == "cpu":
        keep_freed_memory()  # as a worker does
    with torch_threads(1) if device.type == "cpu" else nullcontext():
        return _train_variants(backbone, recipe, num_classes, device, variants, seconds)


def _train_variants(
    backbone: str,
    recipe: Recipe,
    num_classes: int,
    device: torch.device,
    variants: Sequence[Variant],
    seconds: float,
) -> PrecisionProbe:
    size, stem = recipe.image_size, recipe.stem
    plain = Architecture(backbone)
    channels = recipe.in_chans
    model = build_network(
        plain, num_classes=num_classes, stem=stem, image_size=size, in_chans=channels, seed=0
    ).to(device)

    def make_step(variant: Variant, batch_size: int) -> TimedStep:
        precision, channels_last = variant
        settings = {
            "precision": precision,
            "channels_last": channels_last,
            "batch_size": batch_size,
        }
        return _timed_step(copy.deepcopy(model), recipe.model_copy(update=settings), num_classes)

    batch_size = recipe.batch_size
    failures: list[Exception] = []
    if device.type == "cpu":
        first_batch_size = min(FIRST_STEP_IMAGES, batch_size)
        variants = _try_first_steps(make_step, variants, first_batch_size, failures)
        if variants:
            batch_size = _affordable_batch_size(make_step, variants[0], batch_size)
    steps: dict[Variant, TimedStep] = {}
    for variant in variants:
        try:
            step = make_step(variant, batch_size)
            step()
            steps[variant] = step
        except Exception as error:  # This device or this network does not support the variant.
            failures.append(error)
    if not steps:
        failure = failures[-1]
        raise AttentuneError(f"{backbone} cannot train on {device}: {failure}") from failure
    return _choose(time_in_turns(steps, seconds))


def _choose(times: StepTimes[Variant]) -> PrecisionProbe:
    """The variant to use; see the head of this module."""
    chosen, disturbance = _choose_fastest(times), times.disturbance
    if disturbance is not None:
        if times.is_clearly_fastest(chosen):
            disturbance = None
        else:
            chosen = _choose_safest(times)
    fastest_first = sorted(times.seconds, key=times.median)
    milliseconds = {
        _name(variant): round(1e3 * times.median(variant), 3) for variant in fastest_first
    }
    return PrecisionProbe(chosen[0], chosen[1], milliseconds, disturbance)


def _choose_fastest(times: StepTimes[Variant]) -> Variant:
    """The variant that is used on a quiet machine."""
    chosen = times.fastest()
    in_float32 = [variant for variant in times.seconds if variant[0] == "float32"]
    if in_float32 and chosen[0] != "float32":
        rival = times.fastest(in_float32)
        chosen = chosen if times.speedup(chosen, rival) >= MIN_SPEEDUP_16_BIT else rival
    channels_last = (chosen[0], True)
    if channels_last in times.seconds and channels_last != chosen:
        is_faster = times.sure_speedup(chosen, channels_last) >= MIN_SPEEDUP_CONTIGUOUS
        chosen = chosen if is_faster else channels_last
    return chosen


def _choose_safest(times: StepTimes[Variant]) -> Variant:
    """The variant that is used on a busy machine: the default, unless another is clearly faster."""
    default = min(times.seconds, key=lambda variant: (variant[0] != "float32", not variant[1]))
    candidates = {
        variant: seconds
        for variant, seconds in times.seconds.items()
        if variant == default or times.sure_speedup(variant, default) >= MIN_SPEEDUP_CLEAR
    }
    return _choose_fastest(StepTimes(candidates))


def _name(variant: Variant) -> str:
    return f"{variant[0]} {'channels_last' if variant[1] else 'contiguous'}"


def half_precision(device: torch.device) -> Precision:
    """The precision of 16 bits that is worth trying on a device: fp16 where bf16 is emulated."""
    return "fp16" if emulates_bf16(device) else "bf16"


def emulates_bf16(device: torch.device) -> bool:
    """Whether a device is a GPU without bf16 arithmetic."""
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device)[0] < MIN_CAPABILITY_BF16


def why_no_fp16(device: torch.device) -> str | None:
    """Why torch cannot train in fp16 on a device; None if it can."""
    try:
        layer = torch.nn.Conv2d(2, 2, 3).to(device)
        optimizer = torch.optim.AdamW(layer.parameters())
        scaler = torch.amp.GradScaler(device.type)
        with torch.autocast(device.type, torch.float16):
            outputs = layer(torch.zeros(1, 2, 4, 4, device=device))
        scaler.scale(outputs.float().sum()).backward()
        scaler.step(optimizer)
    except Exception as error:  # Every version and device has other exceptions.
        return str(error).partition("\n")[0] or type(error).__name__
    return None


def lacks_bf16(device: torch.device) -> bool:
    """Whether a device is a processor without bf16 instructions, on which bf16 is slow."""
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() in ("NO AVX", "AVX2")


def _try_first_steps(
    make_step: MakeStep,
    variants: Sequence[Variant],
    batch_size: int,
    failures: list[Exception],
) -> list[Variant]:
    """The variants that can take a step, without those of a precision that is far too slow.

    On a processor without bf16 instructions, convolutions take ten to thirty times as long in bf16
    as in float32, so that timing many steps would take minutes.

    Args:
        make_step: makes the step of a variant.
        variants: what to try.
        batch_size: images in the step.
        failures: a list to which the exceptions of variants that cannot take a step are added.
    """
    seconds: dict[Variant, float] = {}
    too_slow: set[Precision] = set()
    for variant in variants:
        if variant[0] in too_slow:
            continue
        try:
            seconds[variant] = make_step(variant, batch_size)()
        except Exception as error:  # This network does not support the variant.
            failures.append(error)
            continue
        if seconds[variant] > FIRST_STEP_SECONDS + MAX_SLOWDOWN_KEPT * min(seconds.values()):
            too_slow.add(variant[0])
    return [variant for variant in seconds if variant[0] not in too_slow]


def _affordable_batch_size(make_step: MakeStep, variant: Variant, max_batch_size: int) -> int:
    """The largest batch size, up to `max_batch_size`, whose step takes `MAX_STEP_SECONDS`."""
    batch_size = min(8, max_batch_size)
    step = make_step(variant, batch_size)
    step()
    affordable = int(MAX_STEP_SECONDS / (step() / batch_size))
    return max(batch_size, min(max_batch_size, affordable))


def _timed_step(model: torch.nn.Module, recipe: Recipe, num_classes: int) -> TimedStep:
    """A function that takes a training step on noise and returns its seconds."""
    device = next(model.parameters()).device
    prepare_network(model, channels_last=recipe.channels_last)
    generator = torch.Generator().manual_seed(0)
    shape = (recipe.batch_size, recipe.image_size, recipe.image_size, recipe.in_chans)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8).to(device)
    labels = torch.randint(0, num_classes, shape[:1], generator=generator).to(device)
    split = DeviceImages(images, labels)
    mean = torch.full((recipe.in_chans,), 128.0, device=device)
    data = DeviceData(split, split, mean, mean / 2)
    optimizer = make_optimizer(flatten_parameters(model), recipe)
    eager = EagerStep(model.train(), optimizer, data, recipe)
    step: TrainingStep = choose_step(eager, images, labels)[0]
    clock = thread_clock() if device.type == "cpu" else time.perf_counter

    def timed_step() -> float:
        began = clock()
        step(images, labels)
        float(step.loss_sum)  # This waits for the device.
        return clock() - began

    return timed_step
