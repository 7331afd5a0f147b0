"""Alternatives of a recorded study: equal numbers in the JSON, the report and the dashboard."""

from __future__ import annotations

import pytest
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.alternatives import Alternative, AlternativesPlan
from attentune.studies.dashboard.context import StudyStates
from attentune.studies.dashboard.pages.alternatives import alternatives
from attentune.studies.figures.themes import LIGHT
from attentune.studies.outputs.report import render
from attentune.studies.outputs.study_json import study_json
from attentune.studies.records import BASELINE

COSTS = Costs(1500, 2_000_000_000)
PLAN = AlternativesPlan(
    (Alternative("epochs", "resnet18", 32, 1.5, "half as many epochs again", COSTS),),
    {"backbone": "timm has no larger one"},
)


@pytest.fixture
def planned(store, study, add):
    """A study with two architectures and a complete alternative."""
    recipe = Recipe.of(data="digits", image_size=32, epochs=8).model_dump(mode="json")
    config = {"study": {"recipe": recipe, "limits": {"params": 1200}}}
    store.studies.change_config(study, lambda _: PLAN.stored_in(config))
    add("resnet18", 0.5, role=BASELINE)
    add("resnet18+eca@all.residual", 0.6)
    store.trials.start(study, 2_000_000, parse("resnet18"), seed=0, role="alternative:epochs")
    result = TrialResult(0.7, 12, COSTS, 30.0, 27.0, 512.0, {"device": "cpu"})
    store.trials.finish(study, 2_000_000, result)
    return store.studies.get("first")


def test_every_surface_shows_the_same(planned, store, target):
    shown = study_json(store, planned)
    [longer] = shown["alternatives"]["alternatives"]
    bare = next(a for a in shown["architectures"] if a["architecture"] == "resnet18")
    assert longer["gain"] == pytest.approx(longer["accuracy"] - bare["accuracy"])
    assert longer["exceeded_limit"] == "params is 1,500, above the limit of 1,200"
    sentence = shown["alternatives"]["sentence"]
    assert "12 epochs gain +" in sentence
    report = render(store, planned)
    page = str(alternatives(StudyStates(store, None).context("", LIGHT.name)))
    for text in ("12 epochs gain +", "There is no alternative with a larger backbone", "#2000000"):
        assert text in report
        assert text in page
    assert sentence.replace("`", "") in page.replace("`", "")


def test_the_search_does_not_see_them(planned, store):
    shown = study_json(store, planned)
    assert len(shown["architectures"]) == 2
    assert shown["counts"]["complete"] == 2
    assert {trial["number"] for trial in shown["trials"]} == {0, 1}


def test_a_study_without_alternatives_shows_none(study, store, add):
    add("resnet18", 0.5)
    assert study_json(store, study)["alternatives"] is None
    assert "Alternatives to attention" not in render(store, study)
    assert alternatives(StudyStates(store, None).context("", LIGHT.name)) == []
