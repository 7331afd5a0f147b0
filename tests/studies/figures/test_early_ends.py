"""Pruned and failed trials beside the architectures, without stretching the axis."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.dashboard.context import StudyStates
from attentune.studies.dashboard.pages import pareto
from attentune.studies.figures.early_ends import add_early_ends
from attentune.studies.figures.themes import LIGHT
from attentune.studies.objectives import OBJECTIVES, objective
from attentune.studies.records import BASELINE

TEXTS = ("resnet18", "resnet18+se(r=16)@all.residual")


@pytest.fixture
def states(store, study, reader, add, epoch, result):
    add(TEXTS[0], 0.5, 1000, role=BASELINE)
    add(TEXTS[1], 0.6, 1200)
    for number, reached in ((10, 0.55), (11, 0.2)):
        store.trials.start(study, number, parse(TEXTS[1]), seed=number)
        store.trials.set_costs(study, number, result().costs)
        store.epochs.record(study, number, epoch(1, reached))
        store.trials.prune(study, number, "rung 1")
    store.trials.start(study, 12, parse(TEXTS[1]), seed=12)
    store.trials.set_costs(study, 12, result().costs)
    store.trials.fail(study, 12, Failure("error", "boom", "trace"))
    store.trials.start(study, 13, parse(TEXTS[1]), seed=13)
    store.trials.fail(study, 13, Failure("error", "before anything", "trace"))
    return StudyStates(reader, None)


def traces(states: StudyStates, query: str = "") -> dict[str, go.Scatter]:
    figure = pareto.pareto(states.context(query, LIGHT.name))
    names = ("pruned", "pruned, below", "failed")
    return {trace.name: trace for trace in figure.data if trace.name in names}


def test_each_is_drawn_at_its_cost_and_opens_its_card(states):
    drawn = traces(states)
    assert {name: list(t.customdata) for name, t in drawn.items()} == {
        "pruned": [10],
        "pruned, below": [11],
        "failed": [12],
    }
    assert list(drawn["pruned"].y) == [pytest.approx(55)]
    assert drawn["pruned, below"].yaxis == drawn["failed"].yaxis == "y2"
    assert "pruned after 1 epoch, 20.0 %" in drawn["pruned, below"].hovertext[0]
    text = str(pareto.drawn(states.context("", LIGHT.name)))
    assert "2 pruned and 2 failed trials" in text
    assert "1 of them ended before this cost was known" in text


def test_filters_act_on_them(states):
    assert traces(states, "?state=failed").keys() == {"failed"}
    assert not traces(states, "?state=complete")
    assert not traces(states, "?cost=seconds")


def test_a_lower_value_of_a_metric_of_ones_own_is_above(states):
    rows = states.get(None).trials.rows()
    rows["score"] = -rows["score"]
    metric, cost = objective("error:min:mm"), OBJECTIVES["params"]
    figure = add_early_ends(go.Figure(), rows, TEXTS, cost, metric, lowest=-0.3)
    assert [list(trace.customdata) for trace in figure.data] == [[11], [10], [12]]
    assert "0.2 mm" in figure.data[0].hovertext[0]
