"""What all figures share: a message in place of data, and texts made safe."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go
import pytest
from attentune.studies.analysis.attention_effects import EffectTable
from attentune.studies.analysis.findings import Findings
from attentune.studies.figures.base import (
    fade_unselected,
    read_selection,
    selection_text,
    wrap_architecture,
)
from attentune.studies.figures.heatmap import heatmap_figure
from attentune.studies.figures.learning_curves import learning_curves_figure
from attentune.studies.figures.pareto import pareto_figure
from attentune.studies.figures.themes import DARK, LIGHT, Theme
from attentune.studies.objectives import ACCURACY, OBJECTIVES

PARAMS = OBJECTIVES["params"]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_figure_without_data_shows_a_sentence(
    theme: Theme, findings: Callable[[], Findings]
) -> None:
    empty = findings()
    for figure in (
        pareto_figure(empty, PARAMS, theme),
        heatmap_figure(EffectTable(), ACCURACY, theme),
        learning_curves_figure(empty, [], [], theme),
    ):
        assert not figure.data
        assert "yet" in figure.layout.annotations[0].text


def test_texts_from_outside_are_shown_and_not_interpreted() -> None:
    assert (
        wrap_architecture("<b>net</b>&+se@all.mid") == "&lt;b&gt;net&lt;/b&gt;&amp;<br>+se@all.mid"
    )


def test_what_stands_for_something_that_is_not_selected_is_faded():
    texts = [selection_text({"attention": name, "ratio": "4"}) for name in ("se", "cbam")]
    assert read_selection(texts[1]) == {"attention": "cbam", "ratio": "4"}
    figure = go.Figure([go.Bar(x=[1, 2], customdata=[*texts, None]), go.Bar(x=[1])])
    fade_unselected(figure, lambda levels: levels.get("attention") == "cbam")
    assert [trace.selectedpoints for trace in figure.data] == [(1,), None]
