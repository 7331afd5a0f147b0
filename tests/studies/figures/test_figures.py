"""Figures hold what the findings say, and survive any amount of data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import pytest
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.findings import AttentionTable, Findings, MeanGain
from attentune.studies.database.store import Store
from attentune.studies.figures.heatmap import (
    MANY_CURVES,
    heatmap_figure,
    learning_curves_figure,
    ratios_figure,
)
from attentune.studies.figures.pareto import pareto_figure, three_objectives_figure
from attentune.studies.figures.themes import DARK, LIGHT, Theme
from attentune.studies.objectives import OBJECTIVES
from attentune.studies.records import BASELINE, StudyRecord

PARAMS = OBJECTIVES["params"]
Add = Callable[..., int]


@pytest.fixture
def target(tmp_path: Any) -> str:
    return str(tmp_path / "x.db")


def trace(figure: go.Figure, name: str) -> Any:
    [found] = [trace for trace in figure.data if trace.name.startswith(name)]
    return found


def findings(store: Store, study: StudyRecord) -> Findings:
    return analyse(study, store.trials(study), stages=4)


@pytest.fixture
def filled(add: Add) -> None:
    add("resnet18", 0.60, 1000, role=BASELINE)
    add("resnet18+se(r=16)@all.residual", 0.62, 1100, role=BASELINE)
    add("resnet18+cbam(r=4)@s3.residual", 0.70, 1050)
    add("resnet18+cbam(r=4)@s3.residual", 0.72, 1050, seed=1)
    add("resnet18+eca@s1.mid", 0.58, 1001)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_figure_draws_nothing_as_a_sentence(
    store: Store, study: StudyRecord, theme: Theme
) -> None:
    found = findings(store, study)
    for figure in (
        pareto_figure(found, PARAMS, theme),
        heatmap_figure(found.table, theme),
        learning_curves_figure(found, [], [], theme),
    ):
        assert not figure.data
        assert "yet" in figure.layout.annotations[0].text


def test_the_tradeoff_shows_means_errors_baselines_and_the_front(
    store: Store, study: StudyRecord, filled: None
) -> None:
    figure = pareto_figure(findings(store, study), PARAMS)
    cbam = trace(figure, "cbam")
    assert (list(cbam.x), list(cbam.y)) == ([1050], [71.0])
    assert list(cbam.error_y.array) == pytest.approx([1.0])
    baselines = trace(figure, "baselines")
    assert list(baselines.text) == ["bare", "se"]
    assert list(baselines.marker.symbol) == ["square", "diamond"]
    assert sorted(trace(figure, "Pareto front").x) == [1000, 1050]
    line = trace(figure, "best at cost")
    assert line.line.shape == "hv"
    assert list(line.y) == [60.0, 71.0, 71.0]
    better, noise = figure.layout.shapes
    expensive = max(baselines.x)
    staircase = f"L{expensive},62.0 L1000.0,62.0 L1000.0,60.0"
    assert staircase in better.path
    assert (noise.y0 + noise.y1) / 2 == pytest.approx(60.0)
    assert (noise.y1 - noise.y0) / 2 == pytest.approx(100 * findings(store, study).noise.deviation)
    assert "cbam(r=4)@s3.residual" in cbam.hovertext[0]
    assert "71.0 ± 1.0 % (2 seeds)" in cbam.hovertext[0]
    assert "trials 2, 3" in cbam.hovertext[0]


def test_the_heat_map_has_its_middle_at_zero_and_hatches_what_was_not_tried(
    store: Store, study: StudyRecord, filled: None
) -> None:
    figure = heatmap_figure(findings(store, study).table)
    [heat] = figure.data
    assert (heat.zmid, heat.zmin) == (0, -heat.zmax)
    rows = dict(zip(heat.y, heat.customdata, strict=True))
    assert rows["se"] == pytest.approx([2.0] * 4)
    coloured = {value for row in heat.z for value in row if value is not None}
    assert coloured == {0.0}  # one architecture a cell is no evidence
    assert rows["eca"][0] == pytest.approx(-2.0)
    assert list(rows["eca"][1:]) == [None] * 3
    texts = dict(zip(heat.y, heat.text, strict=True))
    assert texts["cbam"][2] == "<b>+10.0</b><br>n=1"
    empty = sum(value is None for row in heat.z for value in row)
    assert len([shape for shape in figure.layout.shapes if shape.type == "path"]) == empty


def test_learning_curves_are_grouped_by_what_became_of_the_trial(
    store: Store, study: StudyRecord, filled: None, add: Add, epoch: Any
) -> None:
    stopped = add("resnet18+eca@s2.mid")
    store.record_epoch(study, stopped, epoch(1, 0.2))
    store.prune_trial(study, stopped, "slow")
    trials = store.trials(study)
    figure = learning_curves_figure(findings(store, study), trials, store.epochs(study))
    bare = trace(figure, "bare backbone (1)")
    assert list(bare.y) == [30.0, 60.0, None]
    assert trace(figure, "ended early (1)").line.dash == "dot"
    assert trace(figure, "on the front (2)").line.width > trace(figure, "others (1)").line.width
    assert figure.data[-1].name.startswith("bare"), "the bare backbone lies on top"


def test_texts_from_outside_are_shown_and_not_interpreted(
    store: Store, study: StudyRecord, filled: None
) -> None:
    from attentune.studies.figures.base import wrapped

    assert wrapped("<b>net</b>&+se@all.mid") == "&lt;b&gt;net&lt;/b&gt;&amp;<br>+se@all.mid"


def test_thousands_of_curves_are_thinned_and_drawn_as_few_traces(
    store: Store, study: StudyRecord, add: Add
) -> None:
    add("resnet18", 0.99, 1)
    for r in range(1, 2 * MANY_CURVES, 2):
        add(f"resnet18+se(r={r})@all.mid", 0.5, 10_000 - r)
    figure = learning_curves_figure(
        findings(store, study), store.trials(study), store.epochs(study)
    )
    assert len(figure.data) == 2
    others = trace(figure, "others")
    assert sum(value is None for value in others.y) <= MANY_CURVES


@pytest.mark.parametrize(
    ("colouring", "names"),
    [
        ("position", {"residual", "mid"}),
        ("ratio", {"r = 16", "r = 4", "no ratio"}),
        ("stage", {"all stages", "s3", "s1"}),
    ],
)
def test_markers_are_coloured_by_what_is_asked_for(store, study, filled, colouring, names):
    figure = pareto_figure(findings(store, study), PARAMS, colouring=colouring, log=True)
    known = {"best at cost", "baselines", "Pareto front"}
    assert {t.name for t in figure.data} - known <= names
    assert {t.name for t in figure.data} - known
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.range is None  # a range that is set would undo a zoom


def test_three_objectives_have_the_third_as_colour(store, study, filled):
    found = findings(store, study)
    figure = three_objectives_figure(found, PARAMS, OBJECTIVES["macs"])
    [markers, _] = figure.data
    assert list(markers.marker.color) == [p.values["macs"] for p in found.points]
    assert list(markers.customdata) == [p.number for p in found.points]


def test_only_cells_with_evidence_are_coloured():
    cells = {
        ("se", "s1"): MeanGain(0.02, 0.001, 9),
        ("se", "s2"): MeanGain(0.02, 0.02, 9),
        ("eca", "s1"): MeanGain(0.02, 0.001, 2),
    }
    [heat] = heatmap_figure(AttentionTable(("se", "eca"), ("s1", "s2"), cells)).data
    rows = dict(zip(heat.y, heat.z, strict=True))
    assert list(rows["se"]) == [2.0, 0.0]
    assert list(rows["eca"]) == [0.0, None]


def test_attentions_that_share_a_colour_differ_in_their_symbol():
    looks = {(LIGHT.attention(name), LIGHT.symbol(name)) for name in ATTENTIONS}
    assert len(looks) == len(ATTENTIONS)


def test_curves_of_ratios_show_means_and_errors():
    curves = {"se": [(4, MeanGain(0.01, 0.002, 5)), (16, MeanGain(0.02, None, 1))]}
    [line] = ratios_figure(curves).data
    assert (list(line.x), list(line.y)) == ([4, 16], [1.0, 2.0])
    assert list(line.error_y.array) == [0.2, 0]
