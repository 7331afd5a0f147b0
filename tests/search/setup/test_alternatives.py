"""The alternatives that a study gets: the next larger backbone, more epochs, larger images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attentune.errors import BackboneError
from attentune.runners.recipe import Recipe
from attentune.search.setup import alternatives
from attentune.search.setup.alternatives import (
    next_image_size,
    next_larger_backbone,
    plan_alternatives,
)
from attentune.spaces.search_space.space import load_space
from attentune.studies.alternatives import ALTERNATIVE_KINDS, AlternativesPlan
from attentune.studies.config import StudyConfig

CPU = torch.device("cpu")


def recipe(**fields: Any) -> Recipe:
    return Recipe.of(**{"data": "digits", "image_size": 32, "stem": "small", "epochs": 3} | fields)


def config(**fields: Any) -> StudyConfig:
    defaults = {"backbone": "test_resnet", "recipe": recipe(), "num_classes": 10, "stages": 4}
    return StudyConfig(**{**defaults, "space": load_space("quick"), **fields})


@pytest.mark.parametrize(
    ("backbone", "larger"),
    [
        ("vgg11_bn", "vgg13_bn"),
        ("test_convnext", "test_convnext3"),
    ],
)
def test_the_next_larger_backbone_is_the_smallest_larger_one_of_the_family(
    backbone: str, larger: str
) -> None:
    assert next_larger_backbone(backbone, recipe(stem="native"), 10).name == larger


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "larger"),
    [
        ("resnet18", "resnet34"),  # and not resnet26, which has bottlenecks
        ("resnet34.a1_in1k", "resnet50.a1_in1k"),
        ("mobilenetv3_small_050", "mobilenetv3_small_075"),
        ("mobilenetv3_small_100", "mobilenetv3_large_075"),
        ("mobilenetv4_conv_small_050", "mobilenetv4_conv_small"),
        ("efficientnet_b0", "efficientnet_b1"),
        ("convnext_nano", "convnext_tiny"),
        ("regnety_002", "regnety_004"),
        ("densenet121", "densenet169"),
        ("repvgg_a0", "repvgg_a1"),
        ("hiera_tiny_224", "hiera_small_224"),
        ("edgenext_xx_small", "edgenext_x_small"),
        ("mixnet_s", "mixnet_m"),
        ("tinynet_e", "tinynet_d"),
    ],
)
def test_families_of_many_kinds(backbone: str, larger: str) -> None:
    assert next_larger_backbone(backbone, recipe(image_size=224, stem="native"), 10).name == larger


@pytest.mark.parametrize(
    ("backbone", "reason"),
    [
        ("test_resnet", "timm has no larger backbone of the family of test_resnet"),
        pytest.param(
            "resnet6", "at about the same cost; that of resnet18 is", marks=pytest.mark.slow
        ),
    ],
)
def test_there_may_be_none(backbone: str, reason: str) -> None:
    with pytest.raises(BackboneError, match=reason):
        next_larger_backbone(backbone, recipe(), 10)


@pytest.mark.parametrize(
    ("backbone", "side", "stem", "size"),
    [
        ("resnet18", 224, "native", 256),
        ("resnet18", 160, "native", 192),
        ("resnet18", 64, "native", 80),
        ("resnet18", 32, "small", 40),
        ("test_resnet", 16, "native", 20),
    ],
)
def test_larger_images_are_about_a_fifth_larger(
    backbone: str, side: int, stem: str, size: int
) -> None:
    assert next_image_size(backbone, recipe(image_size=side, stem=stem)) == size


def test_a_plan_has_an_alternative_or_a_reason_for_each_kind() -> None:
    plan = plan_alternatives(config(), CPU, AlternativesPlan(), lambda: 36)
    assert [a.kind for a in plan.alternatives] == ["epochs", "images"]
    longer, larger = plan.alternatives
    assert longer.recipe(recipe()).epochs == 5
    assert larger.recipe(recipe()).image_size == 40
    assert larger.costs.macs > longer.costs.macs
    assert set(plan.missing) == {"backbone"}


def test_what_was_decided_stays_and_what_was_missing_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("CUDA is out of memory")

    monkeypatch.setattr(alternatives, "_larger_images", refuse)
    first = plan_alternatives(config(), CPU, AlternativesPlan(), lambda: 36)
    assert first.missing["images"] == "RuntimeError: CUDA is out of memory"
    monkeypatch.undo()
    second = plan_alternatives(config(), CPU, first, lambda: 36)
    assert second.get("epochs") is first.get("epochs")
    assert second.get("images") is not None
    assert set(first.missing) | {a.kind for a in first.alternatives} == set(ALTERNATIVE_KINDS)


@pytest.mark.slow
def test_latency_is_measured_against_the_bare_backbone_of_the_study() -> None:
    study = config(
        objectives=("accuracy", "latency"),
        reference_latency_ms=2.0,
        reference_latency_error_ms=0.1,
    )
    plan = plan_alternatives(study, CPU, AlternativesPlan(), lambda: 36)
    longer, larger = plan.alternatives
    assert (longer.costs.latency_ms, longer.costs.latency_ratio) == (2.0, 1.0)
    assert larger.costs.latency_ratio is not None
    assert larger.costs.latency_ratio != 1.0
    assert larger.costs.latency_ms == pytest.approx(2 * larger.costs.latency_ratio, rel=0.2)
