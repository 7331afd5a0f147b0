"""Precision and memory layout are what steps fastest; what cannot win is not timed."""

from __future__ import annotations

import itertools
import time

import pytest
import torch
from attentune.runners.calibration import precision
from attentune.runners.recipe import Recipe

CPU = torch.device("cpu")


def test_a_real_probe_times_every_variant_and_takes_a_fast_one():
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    probe = precision.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.1)
    assert len(probe.milliseconds) == 4 or precision.lacks_bf16(CPU)
    if probe.disturbance is None:
        name = f"{probe.precision} {probe.layout}"
        fastest = min(probe.milliseconds.values())
        assert probe.milliseconds[name] <= 1.25 * precision.MIN_SPEEDUP_16_BIT * fastest


def test_a_precision_that_is_hopeless_here_is_tried_once_on_a_few_images(monkeypatch):
    batch_sizes: list[int] = []
    plain = torch.nn.Conv2d.forward

    def slow_in_bf16(layer, x):
        if torch.is_autocast_enabled("cpu"):
            batch_sizes.append(len(x))
            ends = time.thread_time() + (0.5 * len(x) if layer.in_channels == 3 else 0)
            while time.thread_time() < ends:
                pass
        return plain(layer, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", slow_in_bf16)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    probe = precision.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.1)
    assert set(probe.milliseconds) == {"float32 contiguous", "float32 channels_last"}
    assert probe.precision == "float32"
    assert set(batch_sizes) == {2}


def test_a_precision_that_is_hopeless_with_a_whole_batch_is_not_timed(monkeypatch):
    batch_sizes: list[int] = []

    def make_step(model, recipe, num_classes):
        del model, num_classes
        slow = recipe.precision == "bf16" and recipe.batch_size == 8

        def run() -> float:
            if slow:
                batch_sizes.append(recipe.batch_size)
            return 0.5 if slow else 0.01

        return run

    monkeypatch.setattr(precision, "_timed_step", make_step)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    probe = precision.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.1)
    assert probe.variants == [("float32", True), ("float32", False)]
    assert len(batch_sizes) == 2 * 2  # layouts; warming up, and one step


def test_what_is_clearly_fastest_is_not_timed_on(monkeypatch):
    taken: list[bool] = []

    def make_step(model, recipe, num_classes):
        del model, num_classes

        def run() -> float:
            taken.append(recipe.channels_last)
            return 0.01 if recipe.channels_last and recipe.precision == "float32" else 0.02

        return run

    monkeypatch.setattr(precision, "_timed_step", make_step)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    probe = precision.probe_precision("test_resnet", recipe, 10, CPU, seconds=600)
    assert (probe.precision, probe.channels_last) == ("float32", True)
    assert len(taken) < 50


def probe_times(monkeypatch, times, variants=precision.VARIANTS):
    """The probe of variants whose steps take these times in turn, each (seconds, …)."""

    def make_step(model, recipe, num_classes):
        del model, num_classes
        layout = "channels_last" if recipe.channels_last else "contiguous"
        seconds = itertools.cycle(times[f"{recipe.precision} {layout}"])
        return lambda: next(seconds)

    monkeypatch.setattr(precision, "_timed_step", make_step)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    return precision.probe_precision("test_resnet", recipe, 10, CPU, variants=variants, seconds=0.0)


FOUR_NAMES = (
    "float32 channels_last",
    "float32 contiguous",
    "bf16 channels_last",
    "bf16 contiguous",
)


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        # In the second, bf16 contiguous is 18 % faster than what was once taken.
        ((10.0, 13.0, 20.0, 20.0), "float32 channels_last"),
        ((10.0, 9.0, 8.0, 6.8), "bf16 contiguous"),
        ((10.0, 9.0, 6.8, 8.0), "bf16 channels_last"),
        ((10.0, 9.0, 9.0, 8.5), "float32 contiguous"),  # 16 bits must gain a tenth
        ((10.0, 7.0, 9.0, 8.0), "float32 contiguous"),
        ((10.0, 10.5, 9.6, 9.5), "float32 channels_last"),
        ((10.0, 9.9, 20.0, 20.0), "float32 channels_last"),  # as good as equal
    ],
)
def test_the_fastest_of_all_variants_is_taken(monkeypatch, times, chosen):
    seconds = {name: [1e-3 * time] for name, time in zip(FOUR_NAMES, times, strict=True)}
    probe = probe_times(monkeypatch, seconds)
    assert f"{probe.precision} {probe.layout}" == chosen
    assert probe.disturbance is None


@pytest.mark.parametrize(
    ("noise", "chosen"), [((1.0, 1.0), "contiguous"), ((0.93, 1.07, 0.94, 1.08), "channels_last")]
)
def test_channels_last_maps_are_kept_where_contiguous_ones_are_faster_within_the_noise(
    monkeypatch, noise, chosen
):
    seconds = {
        "float32 channels_last": [0.01 * factor for factor in noise],
        "float32 contiguous": [0.0095],
        "bf16 channels_last": [0.03],
        "bf16 contiguous": [0.03],
    }
    probe = probe_times(monkeypatch, seconds)
    assert (probe.precision, probe.layout, probe.disturbance) == ("float32", chosen, None)


BUSY = (1.0, 2.0, 1.1, 2.2, 1.3)


@pytest.mark.parametrize(
    ("contiguous", "half", "chosen", "is_clear"),
    [
        (0.95, 0.85, "float32 channels_last", False),
        (0.95, 0.5, "bf16 contiguous", True),  # clear all the same
        (0.6, 0.55, "float32 contiguous", False),  # both are clearly faster than the default
    ],
)
def test_a_busy_machine_keeps_the_default_unless_another_is_clearly_faster(
    monkeypatch, contiguous, half, chosen, is_clear
):
    factors = dict(zip(FOUR_NAMES, (1.0, contiguous, 1.0, half), strict=True))
    seconds = {name: [0.01 * factor * n for n in BUSY] for name, factor in factors.items()}
    probe = probe_times(monkeypatch, seconds)
    assert f"{probe.precision} {probe.layout}" == chosen
    assert (probe.disturbance is None) == is_clear


def test_the_text_of_a_probe_compares_all_variants_with_the_chosen_one():
    probe = precision.PrecisionProbe(
        "bf16", True, {"bf16 channels_last": 2.0, "float32 channels_last": 3.0}
    )
    assert str(probe) == ("bf16 channels_last (float32 channels_last takes 1.50× as long per step)")
    assert probe.variants == [("float32", True), ("bf16", True)]


def test_probes_of_different_batches_have_different_keys(tiny_recipe):
    key = precision.probe_key("test_resnet", tiny_recipe, CPU)
    assert key == precision.probe_key("test_resnet", tiny_recipe, CPU)
    larger = tiny_recipe.model_copy(update={"batch_size": 128})
    assert key != precision.probe_key("test_resnet", larger, CPU)


CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("capability", "half"), [((6, 0), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_gpus_that_emulate_bf16_try_fp16(monkeypatch, capability, half):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert precision.half_precision(CUDA) == half
    assert precision.half_precision(CPU) == "bf16"


@pytest.mark.parametrize(("seconds", "chosen"), [(0.008, "fp16"), (0.0095, "float32")])
def test_fp16_is_taken_where_it_is_clearly_faster(monkeypatch, seconds, chosen):
    times = {"float32 channels_last": [0.01]}
    times |= {name: [seconds] for name in ("fp16 channels_last", "fp16 contiguous")}
    variants = (("float32", True), *precision.FP16_VARIANTS)
    probe = probe_times(monkeypatch, times, variants)
    assert (probe.precision, probe.channels_last) == (chosen, True)
    assert ("fp16", True) in probe.variants


def test_what_torch_cannot_do_in_fp16_is_a_reason(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no kernel for Half\nand more")

    monkeypatch.setattr(torch.nn.Conv2d, "forward", fail)
    assert precision.why_no_fp16(CPU) == "no kernel for Half"
