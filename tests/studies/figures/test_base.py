"""What all figures share: a message in place of data, and texts made safe."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attentune.studies.analysis.attention_effects import EffectTable
from attentune.studies.analysis.findings import Findings
from attentune.studies.figures.base import wrap_architecture
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
