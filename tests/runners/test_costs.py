"""Costs: counts that add up without building, and a measurement of all of them."""

from __future__ import annotations

import dataclasses
import json

import pytest
from attentune.errors import UsageError
from attentune.runners import costs
from attentune.runners.costs import (
    CostModel,
    count_costs,
    count_training_memory_mib,
    measure,
)
from attentune.runners.latency import Latency
from attentune.runners.recipe import Recipe
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network

TEXTS = [
    "test_resnet",
    "test_resnet+se(r=4)@all.residual",
    "test_resnet+cbam(r=8,k=3)@s2-s3.mid+eca@s1.post",
    "test_resnet+ca@s1b1.identity+nl@s4.stage",
    "test_efficientnet",
    "test_efficientnet(attention=none)+se(r=4,bias=true)@all.mid",
    "mobilenetv3_small_050(attention=none@s3,s4b2)+eca@s4.mid",
    "ecaresnet26t(attention=none@s2)",
    "vgg11_bn+cbam(r=16)@all.post",
]


@pytest.mark.parametrize("channels", [1, 5])
def test_costs_are_those_of_images_with_other_numbers_of_channels(channels):
    architecture = parse("test_resnet+se(r=4)@all.residual")
    recipe = Recipe.of(data="", image_size=64, in_chans=channels)
    priced = CostModel("test_resnet", recipe, 10).price(architecture)
    built = build_network(architecture, num_classes=10, image_size=64, in_chans=channels, seed=0)
    assert priced == count_costs(built, 64, channels)
    usual = CostModel("test_resnet", recipe.model_copy(update={"in_chans": 3}), 10)
    assert (priced.macs < usual.price(architecture).macs) == (channels < 3)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("stem", ["native", "small"])
def test_a_price_without_building_equals_the_count_of_the_built_network(text, stem):
    architecture = parse(text)
    recipe = Recipe.of(data="", image_size=64, stem=stem)
    priced = CostModel(architecture.backbone, recipe, 10).price(architecture)
    built = build_network(architecture, num_classes=10, image_size=64, stem=stem, seed=0)
    assert priced == count_costs(built, 64)


def test_counts_are_in_the_units_of_the_papers():
    recipe = Recipe.of(data="", image_size=224)
    counted = CostModel("resnet50", recipe, 1000).price(parse("resnet50"))
    assert counted.params == 25_557_032
    assert counted.macs / 1e9 == pytest.approx(4.09, abs=0.005)
    with_se = CostModel("resnet18", recipe, 1000).price(parse("resnet18+se(r=16)@all.residual"))
    assert with_se.params == 11_776_552


def test_training_memory_grows_with_the_batch_and_with_what_is_kept():
    def memory(text: str, batch: int) -> float:
        recipe = Recipe.of(data="", image_size=64, batch_size=batch)
        return count_training_memory_mib(parse(text), recipe, 10)

    bare = [memory("test_resnet", batch) for batch in (32, 64, 96)]
    assert bare[2] - bare[1] == pytest.approx(bare[1] - bare[0], rel=0.05)
    assert memory("test_resnet+cbam@all.residual", 64) > bare[1]
    weights = 373_658 * 4 / 2**20
    assert bare[0] > 4 * weights  # weights, gradients, two moments of AdamW


def test_measuring_a_text_or_an_architecture_gives_one_frozen_value():
    settings = {"image_size": 64, "num_classes": 10, "latency": False}
    measurement = measure("test_resnet+se(r=4)@s1.residual+se(r=4)@s2-s4.residual", **settings)
    assert str(measurement.architecture) == "test_resnet+se(r=4)@all.residual"
    assert measurement.key == measurement.architecture.key
    assert measure(measurement.architecture, **settings) == measurement
    with pytest.raises(dataclasses.FrozenInstanceError):
        measurement.costs = None  # type: ignore[misc,assignment]


@pytest.mark.parametrize("latency", [False, True])
def test_a_measurement_as_json_is_what_the_command_prints(latency, monkeypatch):
    timed = Latency(2.51234, 0.0312, 1.2523, 0.0123, "no core was idle")
    monkeypatch.setattr(costs, "measure_latency", lambda *_, **__: timed)
    measurement = measure("test_resnet+eca@all.mid", image_size=64, latency=latency)
    counted = measurement.costs
    shown = {
        "latency_ms": 2.512,
        "latency_ms_error": 0.031,
        "latency_ratio": 1.252,
        "latency_ratio_error": 0.012,
        "busy": "no core was idle",
    }
    assert json.loads(json.dumps(measurement.to_json())) == {
        "architecture": "test_resnet+eca@all.mid",
        "key": measurement.key,
        "params": counted.params,
        "macs": counted.macs,
        **(shown if latency else {}),
        "memory_mib": counted.memory_mib,
    }


@pytest.mark.parametrize("classes", [0, -1, 10**23])
def test_a_head_without_or_with_too_many_classes_is_refused(classes):
    with pytest.raises(UsageError, match="the number of classes has to be from 1 to 1,000,000"):
        measure("test_resnet", num_classes=classes, latency=False)
