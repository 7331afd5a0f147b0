"""Precision and memory layout are what steps fastest; what cannot win is not timed."""

from __future__ import annotations

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
    name = f"{probe.precision} {probe.layout}"
    fastest = min(probe.milliseconds.values())
    assert (
        probe.milliseconds[name]
        <= fastest * precision.MIN_SPEEDUP_BF16 * precision.MIN_SPEEDUP_CLEAR
    )


def test_a_precision_that_is_hopeless_here_is_tried_once_on_a_few_images(monkeypatch):
    batch_sizes: list[int] = []
    plain = torch.nn.Conv2d.forward

    def slow_in_bf16(layer, x):
        if torch.is_autocast_enabled("cpu"):
            batch_sizes.append(len(x))
            time.sleep(0.1 * len(x))
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
    assert len(batch_sizes) == 2 * 3  # layouts; warming up, and two steps


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


@pytest.mark.parametrize(("times", "channels_last"), [(1.05, True), (1.3, False), (0.9, True)])
def test_contiguous_maps_are_taken_where_they_are_clearly_faster(monkeypatch, times, channels_last):
    def make_step(model, recipe, num_classes):
        del model, num_classes
        bf16 = 3.0 if recipe.precision == "bf16" else 1.0
        return lambda: 0.01 * bf16 * (times if recipe.channels_last else 1.0)

    monkeypatch.setattr(precision, "_timed_step", make_step)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    probe = precision.probe_precision("test_resnet", recipe, 10, CPU, seconds=0.0)
    assert (probe.precision, probe.channels_last) == ("float32", channels_last)


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
    times = {"float32": 0.01, "fp16": seconds}

    def make_step(model, recipe, num_classes):
        del model, num_classes
        return lambda: times[recipe.precision]

    monkeypatch.setattr(precision, "_timed_step", make_step)
    recipe = Recipe.of(data="digits", image_size=16, batch_size=8)
    variants = (("float32", True), *precision.FP16_VARIANTS)
    probe = precision.probe_precision(
        "test_resnet", recipe, 10, CPU, variants=variants, seconds=0.0
    )
    assert (probe.precision, probe.channels_last) == (chosen, True)
    assert ("fp16", True) in probe.variants


def test_what_torch_cannot_do_in_fp16_is_a_reason(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no kernel for Half\nand more")

    monkeypatch.setattr(torch.nn.Conv2d, "forward", fail)
    assert precision.why_no_fp16(CPU) == "no kernel for Half"
