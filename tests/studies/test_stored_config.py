"""The settings of a study: typed where they are used, and no obstacle to viewing a study."""

from __future__ import annotations

from typing import Any

import pytest
from attentune.errors import StudyError
from attentune.runners.recipe import Recipe
from attentune.spaces.search_space.space import Space
from attentune.studies.config import RunPlan, StudyConfig
from attentune.studies.stored_config import ConfirmPlan, StoredConfig

RECIPE = Recipe(data="digits", image_size=32)
STUDY = StudyConfig(
    backbone="resnet18",
    recipe=RECIPE,
    space=Space.of(attentions=("none", "se"), ratios=(4,)),
    num_classes=10,
    stages=4,
)
JSON = {
    "study": STUDY.model_dump(mode="json"),
    "plan": RunPlan(trials=7).model_dump(mode="json"),
    "plugins": {"wave": "waves.py"},
    "command": "attentune search s",
}


def test_what_was_stored_comes_back_typed() -> None:
    config = StoredConfig(JSON)
    assert (config.study, config.plan, config.recipe) == (STUDY, RunPlan(trials=7), RECIPE)
    assert (config.stages, config.attentions) == (4, ("none", "se"))
    assert (config.plugins, config.command) == ({"wave": "waves.py"}, "attentune search s")
    assert config.confirmation is None


def test_a_confirmation_is_kept_beside_the_rest() -> None:
    plan = ConfirmPlan(("resnet18", "resnet18+eca@all.residual"), 1, 5, 20, 10)
    config = StoredConfig(plan.stored_in(JSON))
    assert config.confirmation == plan
    assert {key: config.json[key] for key in JSON} == JSON


def test_a_part_is_parsed_once() -> None:
    config = StoredConfig(JSON)
    assert config.study is config.study
    assert config.plan is config.plan


@pytest.mark.parametrize("part", ["study", "plan", "recipe"])
@pytest.mark.parametrize(
    "json", [{}, {"study": {"recipe": {"colour": "red"}}, "plan": {"tries": 3}}, {"study": 3}]
)
def test_what_another_version_wrote_is_named_with_that_version(part: str, json: dict) -> None:
    config = StoredConfig(json, "mine", "0.0.9")
    with pytest.raises(StudyError, match=r"'mine' cannot be read.*attentune 0\.0\.9"):
        getattr(config, part)


def test_a_plan_of_confirming_that_cannot_be_read_says_so_too() -> None:
    config = StoredConfig({"confirm": {"finalists": 3}}, "mine", "0.0.9")
    with pytest.raises(StudyError, match="cannot be read"):
        _ = config.confirmation


def test_single_fields_are_read_though_the_rest_is_of_another_version() -> None:
    config = StoredConfig({"study": {"stages": 4, "space": {"attentions": ["wave"]}, "new": 1}})
    assert (config.stages, config.attentions) == (4, ("wave",))
    nothing = StoredConfig({"stages": 3})
    assert (nothing.stages, nothing.attentions) == (None, ())
    assert (nothing.plugins, nothing.command) == ({}, None)


def test_the_recipe_is_read_though_an_attention_is_missing() -> None:
    study = {**JSON["study"], "space": {**JSON["study"]["space"], "attentions": ["unknown"]}}
    config = StoredConfig({**JSON, "study": study})
    assert config.recipe == RECIPE
    with pytest.raises(StudyError):
        _ = config.study


ODD: tuple[Any, ...] = (None, 7, "x", [], {}, [1, None, {}], {"a": []}, float("inf"), True)


@pytest.mark.parametrize("value", ODD, ids=repr)
@pytest.mark.parametrize("key", ["study", "plan", "plugins", "command", "confirm"])
def test_a_field_of_another_type_is_empty_or_refused_in_a_sentence(key: str, value: Any) -> None:
    config = StoredConfig({key: value}, "mine", "0.1.0")
    assert config.stages is None
    assert config.attentions == ()
    assert all(isinstance(text, str) for pair in config.plugins.items() for text in pair)
    assert config.command is None or (key, config.command) == ("command", "x")
    for name in ("study", "recipe"):
        with pytest.raises(StudyError, match="cannot be read"):
            getattr(config, name)
    if key == "plan" and value == {}:
        return
    with pytest.raises(StudyError, match="cannot be read"):
        _ = config.plan


@pytest.mark.parametrize("value", ODD[1:], ids=repr)
@pytest.mark.parametrize("key", ["architectures", "top", "seeds", "epochs", "searched_epochs"])
def test_a_confirmation_of_odd_values_is_refused_in_a_sentence(key: str, value: Any) -> None:
    plan = {"architectures": ["a"], "top": 1, "seeds": 2, "epochs": 3, "searched_epochs": 1}
    config = StoredConfig({"confirm": {**plan, key: value}}, "mine", "0.1.0")
    fits = value == [] if key == "architectures" else value in (7, True)
    if fits:
        assert config.confirmation is not None
        return
    with pytest.raises(StudyError, match="cannot be read"):
        _ = config.confirmation


def test_names_and_commands_of_older_versions_are_clean_when_they_are_read() -> None:
    stored = {
        "command": "attentune search \x1b[2J",
        "plugins": {"wave": "\udce9"},
        "study": {"space": {"attentions": ["a\nb", 7]}},
    }
    config = StoredConfig(stored)
    assert config.command == r"attentune search \x1b[2J"
    assert config.plugins == {"wave": r"\xe9"}
    assert config.attentions == ("a b",)


def test_the_ceiling_of_a_cost_is_the_lower_of_limit_and_largest_cost() -> None:
    study = {
        "num_classes": 5,
        "limits": {"params": 7, "latency_ms": 2.5, "memory_mib": "x"},
        "largest_costs": {"params": 9, "macs": 4, "odd": -1},
    }
    config = StoredConfig({"study": study})
    assert config.num_classes == 5
    assert config.cost_ceilings == {"params": 7, "latency_ms": 2.5, "macs": 4}
    for odd in ({}, {"num_classes": True, "limits": [], "largest_costs": 3}):
        config = StoredConfig({"study": odd})
        assert (config.num_classes, config.cost_ceilings) == (None, {})
