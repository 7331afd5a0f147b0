"""A request: from options and a file to settings, and from settings to plan and recipe."""

from __future__ import annotations

import pytest
from attentune.errors import SpaceError, UsageError
from attentune.runners.recipe import Recipe
from attentune.search.setup.plan_changes import read_plan_changes
from attentune.search.setup.request import SearchRequest, read_request
from attentune.studies.config import Pruning, RunPlan
from chaos.odd_settings import BROKEN_TOML, TOML_VALUES

NEEDED = {"backbone": "resnet18", "data": "digits"}


def request(**options):
    return read_request({**NEEDED, **options}, None)


def test_options_take_precedence_over_the_file(tmp_path):
    config = tmp_path / "study.toml"
    config.write_text('backbone = "resnet18"\ndata = "digits"\nbatch-size = 32\nepochs = 2\n')
    merged = read_request({"epochs": 5, "attention": [], "flip": None}, config)
    assert merged.recipe_settings["batch_size"] == 32
    assert merged.recipe_settings["epochs"] == 5
    assert merged.attention is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "unknown setting 'epoch'; did you mean 'epochs'"),
        ("epochs = ", "is not valid TOML"),
        ("data_seed = 1", "unknown setting 'data_seed'"),
        ("[search]\nepochs = 3", r"settings need no table; remove the line \[search\]"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, text, message):
    config = tmp_path / "study.toml"
    config.write_text(text)
    with pytest.raises(UsageError, match=message) as refused:
        read_request(NEEDED, config)
    assert str(config) in str(refused.value)


def test_a_plan_holds_what_was_asked_of_it():
    assert request().plan == RunPlan()
    plan = request(trials=7, budget="1h30m", device_budget=60, workers_per_gpu="2").plan
    assert plan == RunPlan(trials=7, budget=5400, device_budget=60, workers_per_gpu=2)


def test_a_budget_of_convergence_is_the_same_as_until_converged():
    assert request(budget="converged", trials=9).plan == request(until="converged", trials=9).plan
    assert request(budget="converged").plan == RunPlan(until="converged")
    assert request(budget="2h", until="converged").plan == RunPlan(until="converged", budget=7200)
    assert read_plan_changes({"budget": "converged"})["until"] == "converged"
    for contradiction in (request, lambda **fields: read_plan_changes(fields)):
        with pytest.raises(UsageError, match="converged contradicts --until trials"):
            contradiction(budget="converged", until="trials")


def test_settings_of_the_recipe_leave_out_what_is_open():
    settings = request().recipe_settings
    assert settings["val_fraction"] == 0.2
    for name in ("image_size", "stem", "lr", "weight_decay", "warmup", "flip", "crop", "precision"):
        assert name not in settings
    for name in ("epochs", "batch_size", "drop_last", "mixup", "crop_scale"):
        assert name not in settings
    settings = request(lr="0.004", flip=False, stem="small", weight_decay=0.0).recipe_settings
    assert (settings["lr"], settings["flip"], settings["stem"]) == (0.004, False, "small")
    assert settings["weight_decay"] == 0
    assert Recipe.of(**settings, image_size=32).epochs == 8


def test_limits_are_read_with_their_units():
    limits = request(max_params="5M", max_macs="2G", max_latency="8ms", max_memory="2GiB").limits
    assert limits == {"params": 5e6, "macs": 2e9, "latency_ms": 8, "memory_mib": 2048}
    assert request().limits == {}
    assert request(pruner="asha:eta=4").pruner == Pruning(pruner="asha", eta=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": ["params"]}, "accuracy must be one of the objectives"),
        ({"objective": ["accuracy", "speed"]}, "unknown objective 'speed'"),
        ({"max_params": 0.0}, "max_params"),
        ({"budget": -1}, "budget"),
        ({"pool": "cloud"}, "unknown pool 'cloud'; known: local"),
        ({"workers_per_gpu": "many"}, "workers_per_gpu: must be auto or a number of workers"),
        ({"stem": "large"}, "stem: input should be 'auto', 'native', 'small' or 'stride1'"),
        ({"image_size": 5000}, "image_size: input should be less than or equal to 4096"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_before_anything_slow(options, message):
    with pytest.raises(UsageError, match=message):
        request(**options)


@pytest.mark.parametrize("rate", ["fast", "0", "-0.1", 0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(UsageError, match="lr: must be auto or a number above zero"):
        request(lr=rate)


def test_the_folder_of_artifacts_is_absolute_and_a_url_has_no_password(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = read_request({"backbone": "resnet18", "data": "digits", "artifacts": "here"}, None)
    assert request.artifacts == str(tmp_path / "here")
    request = read_request({"backbone": "resnet18", "data": "d", "artifacts": "s3://b/x/"}, None)
    assert request.artifacts == "s3://b/x"
    with pytest.raises(UsageError, match=r"artifacts.*without a password") as caught:
        read_request({"backbone": "resnet18", "data": "d", "artifacts": "s3://k:secret@b"}, None)
    assert "s3://k:***@b" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ray://head:10001", "run attentune on a node of the cluster"),
        ("head", "must be auto, local or HOST:PORT, not 'head'"),
        ("head:port", "must be auto, local or HOST:PORT"),
    ],
)
def test_an_address_that_is_none_of_a_ray_cluster_is_refused(address, message):
    options = {"backbone": "resnet18", "data": "digits", "pool": "ray"}
    assert read_request({**options, "ray_address": "10.0.0.1:6379"}, None).plan.pool == "ray"
    with pytest.raises(UsageError, match=f"ray.address.*{message}"):
        read_request({**options, "ray_address": address}, None)


def test_a_space_is_changed_by_what_was_asked_for():
    space = request(attention=["se"], ratio=[8], position=["mid"]).resolved_space()
    assert (space.attentions, space.ratios, space.positions) == (("se",), (8,), ("mid",))
    assert space.fallback_positions == ()
    with pytest.raises(SpaceError, match="unknown search space"):
        request(space="nowhere").resolved_space()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "1h30"}, "search: budget: cannot read '1h30': a part has no unit; write 1h30m"),
        ({"max_params": "2 500M"}, "search: max_params: cannot read '2 500M'"),
        ({"max_params": "1 500 000"}, "or 1,500,000 with commas"),
        ({"max_memory": "5Q"}, "search: max_memory: cannot read '5Q'"),
        ({"trial_timeout": float("inf")}, "search: trial_timeout: inf is not a finite number"),
        ({"lr": "inf"}, "search: lr: must be auto or a number above zero"),
        ({"weight_decay": float("inf")}, "search: weight_decay: input should be a finite number"),
        ({"trials": True}, "search: trials: takes a value, not True"),
        ({"budget": True}, "search: budget: takes a value, not True"),
        ({"ratio": [4, True]}, "search: ratio: takes a value"),
        ({"epochs": 10**5000}, "got a number of thousands of digits"),
        ({"trials": 10**30}, "less than or equal to 2147483647"),
        ({"seed": 2**63}, "search: seed: input should be less than or equal to"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_a_number_that_is_none_is_refused_by_the_name_of_its_setting(options, message):
    with pytest.raises(UsageError) as refused:
        request(**options)
    assert message in str(refused.value)
    assert len(str(refused.value)) < 200


def test_numbers_are_read_the_same_from_options_files_and_resume(tmp_path):
    config = tmp_path / "study.toml"
    config.write_text('max-params = "5e6"\nmax-macs = 5_000_000\nbudget = "1h 30m"\n')
    read = read_request(NEEDED, config)
    assert read.limits == request(max_params="5,000,000", max_macs="5M").limits
    assert read.plan.budget == read_plan_changes({"budget": "1h30m"})["budget"] == 5400
    with pytest.raises(UsageError, match="resume: budget: cannot read '1h30'"):
        read_plan_changes({"budget": "1h30"})


@pytest.mark.parametrize("name", SearchRequest.model_fields)
def test_a_setting_of_a_wrong_type_is_refused_with_its_name(name, tmp_path):
    config = tmp_path / "study.toml"
    messages = []
    for value in TOML_VALUES:
        settings = {"backbone": '"test_resnet"', "data": '"digits"', name: value}
        config.write_text("\n".join(f"{key} = {text}" for key, text in settings.items()), "utf-8")
        try:
            request = read_request({}, config)
            assert request.plan is not None
            request.resolved_space()
        except UsageError as error:
            messages.append(str(error).replace("-", "_"))
    assert len(messages) > len(TOML_VALUES) / 3
    assert [text for text in messages if name not in text and "search space" not in text] == []


@pytest.mark.parametrize("content", BROKEN_TOML.values(), ids=BROKEN_TOML)
def test_a_broken_file_of_settings_is_refused_in_a_sentence(content, tmp_path):
    config = tmp_path / "study.toml"
    config.write_bytes(content)
    with pytest.raises(UsageError, match=r"study\.toml"):
        read_request({}, config)
