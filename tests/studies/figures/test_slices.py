"""The trials behind the mean of each choice."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.analysis.slices import find_slices
from attentune.studies.dashboard.context import StudyStates
from attentune.studies.dashboard.pages import effects
from attentune.studies.figures import slices
from attentune.studies.figures.themes import LIGHT
from attentune.studies.records import BASELINE

TEXTS = (
    "resnet18",
    "resnet18+se(r=16)@s1.residual",
    "resnet18+se(r=4)@s1.residual+eca@s1.post",
    "resnet18+eca@s2.post",
)


@pytest.fixture
def states(store, study, reader, add):
    store.studies.change_config(study, lambda _: {"study": {"stages": 2}})
    for number, text in enumerate(TEXTS):
        add(text, 0.5 + number / 10, role=BASELINE)
    add(TEXTS[1], 0.8, seed=1)
    add(TEXTS[1], None, seed=2)
    return StudyStates(reader, None)


def test_a_trial_is_in_the_slice_of_what_it_has_in_each_stage(states):
    state = states.get(None)
    rows = state.trials.rows()
    rows = rows[~np.isnan(rows["score"])]
    members = {
        (each.stage, each.label): each.numbers.tolist()
        for each in find_slices(rows, state.choices.read(2)[1], 2)
    }
    assert members == {
        ("s1", "none"): [0, 3],
        ("s1", "se r=4"): [2],
        ("s1", "se r=16"): [1, 4],
        ("s1", "eca"): [2],
        ("s2", "none"): [0, 1, 4, 2],
        ("s2", "eca"): [3],
    }


def test_the_figure_has_points_and_means_and_filters_act_on_it(states, monkeypatch):
    figure = effects.slices(states.context("", LIGHT.name))
    *points, mean = figure.data
    assert {trace.name: sorted(trace.customdata) for trace in points} == {
        "none": [0, 0, 1, 2, 3, 4],
        "se": [1, 2, 4],
        "eca": [2, 3],
    }
    assert mean.y[2] == pytest.approx(70)
    assert list(figure.layout.xaxis.ticktext) == ["none", "se r=4", "se r=16", "eca", "none", "eca"]
    assert list(figure.layout.xaxis.tickvals) == [0, 1, 2, 3, 5, 6]
    assert [a.text for a in figure.layout.annotations] == ["<b>s1</b>", "<b>s2</b>"]
    filtered = effects.slices(states.context("?ratio=16", LIGHT.name))
    assert {n for trace in filtered.data[:-1] for n in trace.customdata} == {1, 4}
    monkeypatch.setattr(slices, "MAX_POINTS", 6)
    thinned = effects.slices(states.context("", LIGHT.name))
    assert sum(len(trace.customdata) for trace in thinned.data[:-1]) < 11
    assert list(thinned.data[-1].y) == list(mean.y)
    nothing = effects.slices(states.context("?search=nothing", LIGHT.name))
    assert not nothing.data
