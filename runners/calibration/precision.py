"""Which precision and memory layout make a training step fastest here: measured, not guessed.

No fixed choice wins: on one processor bf16 made dense convolutions 1.5 times as fast and depthwise
ones half as fast. So for a second or two the bare backbone really trains, in turns, in each of
{float32, bf16 autocast} × {contiguous, channels last}; the answer holds for one backbone, stem,
picture and batch size on one device, and is worth remembering.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...errors import AttentuneError
from ...spaces.architecture import Architecture
from ...spaces.networks.build import build_network
from ..devices import keep_freed_memory, torch_threads
from ..environment import device_name
from ..recipe import Precision, Recipe
from ..training.device_data import DeviceData, DeviceImages
from ..training.optimizer import flatten_parameters, make_optimizer
from ..training.prepare import prepare_network
from ..training.steps import EagerStep, TrainingStep, choose_step

Variant = tuple[Precision, bool]
Prepared = Callable[[Variant, int], Callable[[], float]]
"""Makes a training step of a variant on so many pictures, which gives its seconds."""
VARIANTS: tuple[Variant, ...] = (
    ("float32", True),
    ("float32", False),
    ("bf16", True),
    ("bf16", False),
)
WORTH_IT = 1.1
"""bf16 is taken only if it is so many times as fast as float32: less is not worth its rounding."""
_ROUNDS = 3
_SIP = 2
"""Pictures on which a CPU tries a variant first."""
_CLEARLY = 1.2
"""A variant that is so many times as fast as any other need not be timed on. And contiguous maps
are taken only if they are so many times as fast as those with channels last: in one process or the
next either may be ahead by a tenth; and attentions, and whole batches, are quicker over these."""
_BEATEN = 2
"""A variant whose fastest step takes so many times the fastest of all will not win."""
_PATIENCE, _HOPELESS = 0.5, 4
"""A first step that takes so many seconds, and so many times the fastest, is not tried again."""
_LONGEST = 0.15
"""Seconds of a step on a CPU; larger batches are probed in part."""


@dataclass(frozen=True)
class PrecisionProbe:
    """The variant to take, and milliseconds of the fastest step of every one that could run."""

    precision: Precision
    channels_last: bool
    milliseconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def variants(self) -> list[Variant]:
        """All that can run here, and not hopelessly slower than the fastest."""
        most = _HOPELESS * min(self.milliseconds.values())
        return [v for v in VARIANTS if self.milliseconds.get(_name(v), math.inf) <= most]

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of a recipe that it settles."""
        return {"precision": self.precision, "channels_last": self.channels_last}

    @property
    def layout(self) -> str:
        """In torch's words."""
        return "channels_last" if self.channels_last else "contiguous"

    def __str__(self) -> str:
        chosen = _name((self.precision, self.channels_last))
        if len(self.milliseconds) < 2:
            return chosen
        times = (f"{name} {value / self.milliseconds[chosen]:.2f}" for name, value in self._others)
        return f"{chosen} (of its time a step: {', '.join(times)})"

    @property
    def _others(self) -> list[tuple[str, float]]:
        chosen = _name((self.precision, self.channels_last))
        return [(name, value) for name, value in self.milliseconds.items() if name != chosen]


def probe_key(backbone: str, recipe: Recipe, device: torch.device) -> dict[str, str]:
    """What an answer depends on: two equal questions have one answer."""
    asked = {
        # 1 left pictures with channels last whatever was to be tried; 2 took whatever was ahead.
        "way": "3",
        "backbone": backbone,
        "stem": recipe.stem,
        "image_size": str(recipe.image_size),
        "batch_size": str(recipe.batch_size),
        "optimizer": recipe.optimizer,
        "device": device_name(device),
        "torch": torch.__version__,
    }
    if device.type == "cpu":  # virtual machines give processors of several generations one name
        asked["instructions"] = torch.backends.cpu.get_cpu_capability()
    return asked


def probe_precision(
    backbone: str,
    recipe: Recipe,
    num_classes: int,
    device: torch.device,
    *,
    variants: tuple[Variant, ...] = VARIANTS,
    seconds: float = 2.0,
) -> PrecisionProbe:
    """Train the bare backbone on noise for some `seconds`, on one thread of a CPU as a worker does.

    AttentuneError if no variant can take a step.
    """
    if device.type == "cpu":
        keep_freed_memory()  # as a worker does
    with torch_threads(1) if device.type == "cpu" else torch_threads(torch.get_num_threads()):
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
    model = build_network(plain, num_classes=num_classes, stem=stem, image_size=size, seed=0).to(
        device
    )

    def prepared(variant: Variant, batch: int) -> Callable[[], float]:
        settings = {"precision": variant[0], "channels_last": variant[1], "batch_size": batch}
        return _timed(copy.deepcopy(model), recipe.model_copy(update=settings), num_classes)

    batch = recipe.batch_size
    failures: list[Exception] = []
    if device.type == "cpu":
        variants = _bearable(prepared, variants, min(_SIP, batch), failures)
        batch = _affordable(prepared, variants[0], batch) if variants else batch
    runs: dict[Variant, Callable[[], float]] = {}
    for variant in variants:
        try:
            run = prepared(variant, batch)
            run()
            runs[variant] = run
        except Exception as error:  # this device, or this network, does not take it
            failures.append(error)
    if not runs:
        failure = failures[-1]
        raise AttentuneError(f"{backbone} cannot train on {device}: {failure}") from failure
    times = _in_turns(runs, seconds)
    best = {precision: _layout(precision, times) for precision, _ in times}
    chosen = best.get("float32", best.get("bf16", next(iter(times))))
    if "bf16" in best and times[best["bf16"]] * WORTH_IT < times[chosen]:
        chosen = best["bf16"]
    shown = {_name(v): round(1e3 * t, 3) for v, t in sorted(times.items(), key=lambda i: i[1])}
    return PrecisionProbe(chosen[0], chosen[1], shown)


def _name(variant: Variant) -> str:
    return f"{variant[0]} {'channels_last' if variant[1] else 'contiguous'}"


def lacks_bf16(device: torch.device) -> bool:
    """Whether this is a processor that has no instructions for bf16, and convolves in it slowly."""
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() in ("NO AVX", "AVX2")


def _bearable(
    prepared: Prepared, variants: Sequence[Variant], few: int, failures: list[Exception]
) -> list[Variant]:
    """The variants that can take a step on a few pictures, and whose precision is not hopeless.

    A processor without instructions for bf16 convolves in it ten to thirty times as slowly as in
    float32, so that timing it thoroughly would take minutes.
    """
    first: dict[Variant, float] = {}
    hopeless: set[Precision] = set()
    for variant in variants:
        if variant[0] in hopeless:
            continue
        try:
            first[variant] = prepared(variant, few)()
        except Exception as error:  # this network does not take it
            failures.append(error)
            continue
        if first[variant] > _PATIENCE + _HOPELESS * min(first.values()):
            hopeless.add(variant[0])
    return [variant for variant in first if variant[0] not in hopeless]


def _affordable(prepared: Prepared, variant: Variant, most: int) -> int:
    """A batch whose step does not take too long, at most so many pictures."""
    few = min(8, most)
    run = prepared(variant, few)
    run()
    return max(few, min(most, int(_LONGEST / (run() / few))))


def _in_turns(runs: Mapping[Variant, Callable[[], float]], seconds: float) -> dict[Variant, float]:
    """The seconds of the fastest step of every variant, taken in turns for so long, or until one is
    clearly ahead. What is beaten in two steps takes no more of them.

    What disturbs a step makes it longer, never shorter, and the first ones are not warm yet.
    """
    ends = time.perf_counter() + seconds
    times = {variant: [run()] for variant, run in runs.items()}
    racing, rounds = list(runs), 1
    while rounds < _ROUNDS or (time.perf_counter() < ends and not _clear(times, racing)):
        for variant in racing:
            times[variant].append(runs[variant]())
        rounds += 1
        most = _BEATEN * min(map(min, times.values()))
        racing = [variant for variant in racing if min(times[variant]) <= most]
    return {variant: min(found) for variant, found in times.items()}


def _layout(precision: Precision, times: Mapping[Variant, float]) -> Variant:
    """The memory layout to take with a precision."""
    last, first = (precision, True), (precision, False)
    if last in times and first in times:
        return first if times[first] * _CLEARLY < times[last] else last
    return last if last in times else first


def _clear(times: Mapping[Variant, Sequence[float]], racing: Sequence[Variant]) -> bool:
    """Whether one variant was the fastest in every turn, and clearly on the whole."""
    fastest = {variant: min(times[variant]) for variant in racing}
    first = min(racing, key=fastest.__getitem__)
    return all(
        _CLEARLY * fastest[first] < fastest[other]
        and all(one < two for one, two in zip(times[first], times[other], strict=True))
        for other in racing
        if other != first
    )


def _timed(model: torch.nn.Module, recipe: Recipe, num_classes: int) -> Callable[[], float]:
    """A function that takes a training step on noise and gives its seconds."""
    device = next(model.parameters()).device
    prepare_network(model, channels_last=recipe.channels_last)
    draw = torch.Generator().manual_seed(0)
    shape = (recipe.batch_size, recipe.image_size, recipe.image_size, 3)
    images = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8).to(device)
    labels = torch.randint(0, num_classes, shape[:1], generator=draw).to(device)
    shown = DeviceImages(images, labels)
    middle = torch.full((3,), 128.0, device=device)
    data = DeviceData(shown, shown, middle, middle / 2)
    optimizer = make_optimizer(flatten_parameters(model), recipe)
    eager = EagerStep(model.train(), optimizer, data, recipe)
    step: TrainingStep = choose_step(eager, images, labels)[0]

    def run() -> float:
        began = time.perf_counter()
        step(images, labels)
        float(step.loss_sum)  # waits for the device
        return time.perf_counter() - began

    return run
