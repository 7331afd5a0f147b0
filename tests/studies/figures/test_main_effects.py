"""Main effects as markers with intervals."""

from __future__ import annotations

from attentune.studies.analysis.attention_effects import MainEffect
from attentune.studies.figures.main_effects import main_effects_figure
from attentune.studies.figures.themes import LIGHT
from attentune.studies.objectives import ACCURACY


def test_an_effect_whose_interval_includes_zero_is_hollow_and_grey() -> None:
    effects = [
        MainEffect(0.02, 0.01, 0.03, 12, "attention", "se"),
        MainEffect(0.01, -0.01, 0.03, 9, "ratio", "16"),
    ]
    figure = main_effects_figure(effects, ACCURACY)
    attention, ratio = figure.data
    assert (list(attention.x), list(attention.y)) == ([2.0], [0])
    assert (attention.marker.symbol[0], ratio.marker.symbol[0]) == ("circle", "circle-open")
    assert ratio.marker.color == LIGHT.muted != attention.marker.color
    assert list(figure.layout.yaxis.ticktext) == ["se", "r = 16"]


def test_without_effects_it_says_so() -> None:
    figure = main_effects_figure((), ACCURACY)
    assert figure.layout.height
    assert "Nothing to compare" in figure.layout.annotations[0].text
