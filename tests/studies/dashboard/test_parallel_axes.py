"""Parallel coordinates: axes with the best at the top, and boxes over them that become filters."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard import parallel_axes
from attentune.studies.dashboard.app import make_app
from attentune.studies.dashboard.context import PageContext, StudyStates
from attentune.studies.dashboard.pages import trials
from attentune.studies.dashboard.parallel_axes import ParallelAxis, drawn_rows, filters_of_box
from attentune.studies.figures.themes import LIGHT

TEXTS = (
    "resnet18",
    "resnet18+se(r=16)@s1.residual",
    "resnet18+eca@s1.residual+se(r=4)@s3.post",
    "resnet18+eca@s3.post",
)


@pytest.fixture
def states(store, study, reader, add):
    store.studies.change_config(study, lambda _: {"study": {"stages": 4}})
    for number, text in enumerate(TEXTS):
        add(text, 0.5 + number / 10, 1000 * (number + 1))
    return StudyStates(reader, None)


def axes_of(context: PageContext) -> dict[str, ParallelAxis]:
    axes = parallel_axes.parallel_axes(context, drawn_rows(context))
    return {axis.key: axis for axis in axes}


def test_axes_are_what_was_chosen_the_costs_and_the_result(states):
    axes = axes_of(states.context("", LIGHT.name))
    assert list(axes) == ["s1.attention", "s3.attention", "params", "score"]
    assert axes["s1.attention"].levels == (("",), ("eca",), ("se",))
    assert axes["s1.attention"].drawn.ticks == [(0.0, "none"), (0.5, "eca"), (1.0, "se")]
    assert axes["score"].drawn.positions.tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert [text for _, text in axes["params"].drawn.ticks] == ["1.000 k", "2.500 k", "4.000 k"]


def test_a_box_becomes_filters_and_others_stay(states):
    context = states.context("?range=params:1:2500~score:0:1", LIGHT.name)
    axes = list(axes_of(context).values())
    changes = filters_of_box(axes, {"x": [3.2, 2.8], "y": [0.5, 2.0]}, context.address)
    assert changes == {"ranges": ("params:1:2500", "score:65:80"), "choices": ()}
    changes = filters_of_box(axes, {"x": [-0.3, 0.3], "y": [0.4, 1.1]}, context.address)
    assert changes["choices"] == ("s1.attention:eca|se",)
    for box in ({"x": [0.2, 0.8], "y": [0, 1]}, {"x": [2.9, 3.1], "y": [1.05, 1.1]}):
        assert filters_of_box(axes, box, context.address) == {}
    selected = states.context("?choice=s1.attention:se&range=params:2500:9999", LIGHT.name)
    brushes = {key: axis.with_brushes(selected.address) for key, axis in axes_of(selected).items()}
    assert brushes["s1.attention"].brushes == [(1.0, 1.0)]
    assert brushes["params"].brushes == [(0.5, 1.0)]


def test_a_metric_that_is_better_if_lower_has_its_best_at_the_top(add_study_in_mm, reader):
    add_study_in_mm(TEXTS, (4.0, 2.0))
    context = StudyStates(reader, "own").context("", LIGHT.name)
    score = axes_of(context)["score"]
    assert [text for _, text in score.drawn.ticks] == ["4 mm", "3 mm", "2 mm"]
    assert score.filter_of(0.5, 1.0).text == "score:2:3"


def test_lines_are_capped_and_those_that_do_not_pass_are_grey(states, monkeypatch):
    monkeypatch.setattr(parallel_axes, "MAX_LINES", 3)
    context = states.context("", LIGHT.name)
    assert [int(row["number"]) for row in drawn_rows(context)] == [3, 2, 0]
    monkeypatch.undo()
    figure = trials.parallel(states.context("?search=se", LIGHT.name))
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert list(lines["does not pass"].y).count(None) == 2


def test_a_box_of_a_browser_is_answered_with_an_address(reader, states):
    client = make_app(reader).server.test_client()
    graph = {"name": trials.PARALLEL, "slot": "graph"}
    body = {
        "output": "url.search@brush",
        "outputs": {"id": "url", "property": "search@brush"},
        "inputs": [[{"id": graph, "property": "selectedData", "value": {
            "points": [], "range": {"x": [2.8, 3.2], "y": [0.5, 1]}}}]],
        "state": [{"id": "url", "property": "search", "value": "?trial=2"}],
        "changedPropIds": ['{"name":"parallel-coordinates","slot":"graph"}.selectedData'],
    }  # fmt: skip
    names = [name for name in make_app(reader).callback_map if name.startswith("url.search@")]
    answers = []
    for name in names:
        body["output"], property_ = name, name.partition(".")[2]
        body["outputs"] = {"id": "url", "property": property_}
        answers.append(client.post("/_dash-update-component", json=body))
    accepted = [answer for answer in answers if answer.status_code == 200]
    assert len(accepted) == 1
    assert accepted[0].json["response"]["url"]["search"] == "?range=score%3A65%3A80&trial=2"
