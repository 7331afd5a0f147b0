"""Settings that a request left open are decided; invalid values are refused before slow steps."""

from __future__ import annotations

import logging

import pytest
from attentune.errors import BackboneError, SpaceError, UsageError
from attentune.search.setup import resolve
from attentune.search.setup.request import read_request
from attentune.search.setup.resolve import choose_sampler, resolve_request
from attentune.studies.config import StudyConfig

SETTINGS = {
    "backbone": "test_resnet",
    "data": "digits",
    "device": "cpu",
    "image_size": 16,
    "train_limit": 256,
    "batch_size": 64,
    "lr": 0.01,
    "precision": "float32",
    "memory_format": "channels_last",
}


class NoProbes:
    """A probe cache for requests that leave nothing to measure."""

    def get(self, question):
        raise AssertionError(question)

    def put(self, question, result):
        raise AssertionError((question, result))


def resolved(**changes) -> StudyConfig:
    return resolve_request(read_request({**SETTINGS, **changes}, None), NoProbes())


def test_what_the_data_suggest_is_taken_where_the_request_is_open():
    recipe = resolved(image_size=None, stem="native").recipe
    source = resolve.inspect_data("digits")
    assert (recipe.image_size, recipe.flip, recipe.crop) == (
        source.image_size,
        source.flip,
        source.crop,
    )
    recipe = resolved(flip=True, crop=0, image_size=20, seed=5).recipe
    assert (recipe.flip, recipe.crop, recipe.image_size, recipe.data_seed) == (True, 0, 20, 5)


def test_stem_is_small_where_the_last_map_would_be():
    assert resolved().recipe.stem == "small"
    assert resolved(stem="native").recipe.stem == "native"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (0.05, 0.05)),
        ({"optimizer": "sgd"}, (5e-4, 0.05)),
        ({"schedule": "onecycle"}, (0.05, 0.25)),
        ({"weight_decay": 0.01, "warmup": 0.1}, (0.01, 0.1)),
    ],
)
def test_weight_decay_and_warmup_suit_optimizer_and_schedule(settings, expected):
    recipe = resolved(**settings).recipe
    assert (recipe.weight_decay, recipe.warmup) == expected


def test_a_configuration_holds_what_was_measured_of_data_and_backbone():
    config = resolved(objective=["accuracy", "latency"], max_latency="10s")
    assert (config.num_classes, config.stages, config.device) == (10, 4, "cpu")
    assert config.reference_latency_ms is not None
    assert config.reference_latency_ms > 0
    assert 0 < config.reference_latency_error_ms < config.reference_latency_ms
    assert config.limits == {"latency_ms": 10_000}
    assert resolved().reference_latency_ms is None


def test_the_sampler_covers_a_small_space_completely():
    assert choose_sampler(40, 40)[0] == "grid"
    assert choose_sampler(41, 40)[0] == "additive"
    assert resolved(attention=["eca"], granularity="network").sampler == "grid"
    assert resolved(sampler="tpe").sampler == "tpe"


def test_a_grid_over_a_huge_space_is_refused_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(resolve, "autotune_precision", lambda *_: pytest.fail("measured"))
    with pytest.raises(SpaceError, match=r"a grid over [\d,]+ architectures is too large"):
        resolved(sampler="grid", space="full", granularity="block")


def test_every_choice_is_logged(caplog):
    caplog.set_level(logging.INFO, "attentune")
    resolved()
    names = {record.name for record in caplog.records}
    modules = ("augmentation", "initial_weights", "resolve", "training_budget")
    assert names == {f"attentune.search.setup.{module}" for module in modules}
    assert any("10 classes" in message for message in caplog.messages)
    stem = "small stem: the last map of test_resnet has 1×1 locations with the native stem"
    assert any(message.startswith(stem) for message in caplog.messages)
    assert caplog.messages[-1].endswith("--sampler overrides this")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"space": "everything"}, SpaceError),
        ({"attention": ["ecca"]}, SpaceError),
        ({"backbone": "resnet81"}, BackboneError),
        ({"device": "cuda:99"}, UsageError),
    ],
)
def test_invalid_values_are_refused_before_data_are_read(monkeypatch, changes, error):
    monkeypatch.setattr(resolve, "inspect_data", lambda spec: pytest.fail(f"read {spec}"))
    with pytest.raises(error):
        resolved(**changes)


def test_a_limit_that_the_bare_backbone_exceeds_is_refused():
    with pytest.raises(SpaceError, match=r"already exceeds a limit: params is .* raise the limit"):
        resolved(max_params="1k")
    with pytest.raises(SpaceError, match="latency_ms"):
        resolved(max_latency="1us")
    with pytest.raises(SpaceError, match=r"already exceeds a limit: memory_mib is"):
        resolved(max_memory="1MiB")


def test_a_limit_that_only_the_bare_backbone_meets_is_refused_with_what_the_cheapest_needs(
    monkeypatch,
):
    monkeypatch.setattr(resolve, "autotune_precision", lambda *_: pytest.fail("measured"))
    words = r"no architecture of the space quick is within --max-params 373,660; the cheapest, "
    words += r"test_resnet\+eca\(start=identity\)@s\d.residual, needs 373,661 parameters"
    with pytest.raises(SpaceError, match=words):
        resolved(max_params=373_660)
