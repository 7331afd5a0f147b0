"""Main effects as markers with intervals."""

from __future__ import annotations

from attentune.studies.analysis.main_effects import MainEffect
from attentune.studies.figures.main_effects import main_effects_figure


def test_an_effect_whose_interval_includes_zero_is_hollow() -> None:
    effects = [
        MainEffect("attention", "se", 0.02, 0.01, 0.03, 12),
        MainEffect("ratio", "16", 0.01, -0.01, 0.03, 9),
    ]
    figure = main_effects_figure(effects)
    attention, ratio = figure.data
    assert (list(attention.x), list(attention.y)) == ([2.0], [0])
    assert (attention.marker.symbol[0], ratio.marker.symbol[0]) == ("circle", "circle-open")
    assert list(figure.layout.yaxis.ticktext) == ["se", "r = 16"]


def test_without_effects_it_says_so() -> None:
    figure = main_effects_figure(())
    assert figure.layout.height
    assert "Too few architectures" in figure.layout.annotations[0].text
