"""Accuracy against cost: means, errors, baselines, the front."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import pytest
from attentune.studies.analysis.findings import Findings
from attentune.studies.figures.colouring import Colouring
from attentune.studies.figures.pareto import pareto_figure, three_objectives_figure
from attentune.studies.objectives import OBJECTIVES

PARAMS = OBJECTIVES["params"]


def test_the_figure_shows_means_errors_baselines_and_the_front(
    filled: None, findings: Callable[[], Findings], trace: Callable[[go.Figure, str], Any]
) -> None:
    result = findings()
    figure = pareto_figure(result, PARAMS)
    bare, se, best, _ = result.architectures
    cbam = trace(figure, "cbam")
    assert (list(cbam.x), list(cbam.y)) == ([1050], [100 * best.score])
    assert list(cbam.error_y.array) == [100 * best.standard_error]
    baselines = trace(figure, "baselines")
    assert list(baselines.text) == ["bare", "se"]
    assert list(baselines.marker.symbol) == ["square", "diamond"]
    assert sorted(trace(figure, "Pareto front").x) == [1000, 1050]
    line = trace(figure, "best at cost")
    assert line.line.shape == "hv"
    assert list(line.y) == [100 * bare.score, *[100 * best.score] * 2]
    better, noise = figure.layout.shapes
    expensive = max(baselines.x)
    low, high = 100 * bare.score, 100 * se.score
    staircase = f"L{expensive},{high} L1000.0,{high} L1000.0,{low}"
    assert staircase in better.path
    assert (noise.y0 + noise.y1) / 2 == pytest.approx(low)
    assert (noise.y1 - noise.y0) / 2 == pytest.approx(100 * result.noise.deviation)
    assert "cbam(r=4)@s3.residual" in cbam.hovertext[0]
    accuracy = f"{100 * best.score:.1f} ± {100 * best.standard_error:.1f} % (2 seeds)"
    assert accuracy in cbam.hovertext[0]
    assert "trials 2, 3" in cbam.hovertext[0]


def test_three_objectives_have_the_third_as_colour(
    filled: None, findings: Callable[[], Findings]
) -> None:
    summary = findings()
    figure = three_objectives_figure(summary, PARAMS, OBJECTIVES["macs"])
    [markers, _] = figure.data
    assert list(markers.marker.color) == [p.values["macs"] for p in summary.architectures]
    assert list(markers.customdata) == [p.number for p in summary.architectures]


@pytest.mark.parametrize(
    ("colouring", "names"),
    [
        ("position", {"residual", "mid"}),
        ("ratio", {"r = 16", "r = 4", "no ratio"}),
        ("stage", {"all stages", "s3", "s1"}),
    ],
)
def test_markers_are_coloured_by_what_is_asked_for(
    filled: None, colouring: Colouring, names: set[str], findings: Callable[[], Findings]
) -> None:
    figure = pareto_figure(findings(), PARAMS, colouring=colouring, log=True)
    known = {"best at cost", "baselines", "Pareto front"}
    assert {t.name for t in figure.data} - known <= names
    assert {t.name for t in figure.data} - known
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.xaxis.range is None  # a range that is set would undo a zoom
