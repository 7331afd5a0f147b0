"""A request is answered from the study, the cost and the theme that its address names."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard.context import StudyStates, study_names
from attentune.studies.figures.themes import DARK, LIGHT
from dash.exceptions import PreventUpdate


def test_an_address_without_a_study_means_the_first_one(store, study, reader):
    store.studies.create("second", backbone="resnet18", objectives=("accuracy",), config={}, seed=0)
    assert study_names(reader) == ["second", "first"]
    assert StudyStates(reader, None).get(None).study.name == "second"
    states = StudyStates(reader, "first")
    assert states.get(None).study.name == "first"
    assert states.get("first") is states.get(None)
    assert states.get("nowhere") is None


def test_costs_and_theme_come_from_the_request(study, reader, add):
    add("resnet18", 0.5)
    states = StudyStates(reader, None)
    context = states.context("", LIGHT.name)
    assert (context.cost.key, context.third.key, context.theme) == ("params", "macs", LIGHT)
    context = states.context("?cost=macs", DARK.name)
    assert (context.cost.key, context.third.key, context.theme) == ("macs", "params", DARK)
    assert context.compared == ()
    assert states.context("?with=first~nowhere", LIGHT.name).compared == ()


@pytest.mark.parametrize(("query", "theme"), [("?study=nowhere", "light"), ("", None)])
def test_without_a_study_or_a_theme_nothing_is_drawn(study, reader, query, theme):
    with pytest.raises(PreventUpdate):
        StudyStates(reader, None).context(query, theme)
