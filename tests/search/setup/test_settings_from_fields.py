"""Settings are read from the fields that declare them."""

from __future__ import annotations

from attentune.runners.recipe import Recipe
from attentune.search.setup.request import LEFT_OPEN, SearchRequest
from attentune.search.setup.settings_from_fields import GROUPS, RECIPE, search_settings
from attentune.studies.config import RunPlan

SETTINGS = {setting.name: setting for setting in search_settings()}


def test_every_field_of_recipe_and_plan_is_a_setting_unless_it_follows_from_others():
    follow = {"data_seed", "decay", "ema", "channels_last", "init_digest", "normalisation"}
    assert follow <= set(Recipe.model_fields)
    fields = set(Recipe.model_fields) | set(RunPlan.model_fields)
    assert fields - set(SETTINGS) == follow
    assert set(SETTINGS) == set(SearchRequest.model_fields)


def test_only_settings_can_be_left_open():
    assert set(LEFT_OPEN) <= set(SETTINGS)
    for name, left_open in LEFT_OPEN.items():
        assert SearchRequest.model_fields[name].default == left_open.value


def test_description_and_default_are_those_of_the_field():
    for name, field in (*Recipe.model_fields.items(), *RunPlan.model_fields.items()):
        if name in SETTINGS:
            assert SETTINGS[name].meaning == field.description
        if name in SETTINGS and name not in LEFT_OPEN:
            assert SearchRequest.model_fields[name].default == field.default
    assert SETTINGS["epochs"].default == "8, or more for at least 200 steps in all"
    assert SETTINGS["cuda_graph"].default == "yes"
    assert SETTINGS["objective"].default == "accuracy, params"
    assert SETTINGS["pruner"].default == "none"
    assert SETTINGS["train_limit"].default is None
    assert SETTINGS["lr"].default == "auto (tuned on the bare backbone)"


def test_choices_are_those_of_the_type_and_auto_where_it_is_allowed():
    assert SETTINGS["optimizer"].choices == ("adamw", "sgd")
    assert SETTINGS["stem"].choices == ("auto", "native", "small", "stride1")
    assert SETTINGS["granularity"].choices == ("network", "stage", "block")
    assert SETTINGS["lr"].choices == ()


def test_what_the_request_reads_itself_is_text_on_the_command_line():
    text = {"max_params", "max_latency", "budget", "trial_timeout", "lr", "workers_per_gpu"}
    assert {SETTINGS[name].kind for name in text} == {str}
    assert SETTINGS["warmup"].kind is float
    assert SETTINGS["workers"].kind is int
    assert SETTINGS["flip"].kind is bool
    assert (SETTINGS["ratio"].kind, SETTINGS["ratio"].repeated) == (int, True)
    assert not SETTINGS["seed"].repeated


def test_settings_are_ordered_by_group_and_the_required_ones_come_first():
    groups = [setting.group for setting in search_settings()]
    assert groups == sorted(groups, key=GROUPS.index)
    assert [setting.name for setting in search_settings()][:2] == ["backbone", "data"]
    assert SETTINGS["memory_format"].group == RECIPE


def test_help_says_meaning_choices_and_default():
    assert (
        SETTINGS["optimizer"].help
        == "Optimizer of the weights. Choices: adamw, sgd. Default: adamw."
    )
    assert SETTINGS["max_params"].help == "Maximum number of parameters, e.g. 5M."
    assert "May be repeated." in SETTINGS["attention"].help
    assert SETTINGS["image_size"].option == "--image-size"
