"""Importances as bars."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.importances import Importance
from attentune.studies.figures.importances import importances_figure
from attentune.studies.figures.themes import LIGHT

IMPORTANCES = [
    Importance("s1", "attention", 0.25, 0.1, 0.4),
    Importance("s2", "attention", 0.45, 0.3, 0.5),
]


def test_each_choice_has_a_bar_with_its_interval_and_so_has_what_is_not_explained() -> None:
    [bars] = importances_figure(IMPORTANCES).data
    assert list(bars.y) == ["s1 attention", "s2 attention", "unexplained"]
    assert list(bars.x) == pytest.approx([25.0, 45.0, 30.0])
    assert list(bars.error_x.array) == pytest.approx([15.0, 5.0, 0.0])
    assert list(bars.error_x.arrayminus) == pytest.approx([15.0, 15.0, 0.0])
    assert bars.hovertext[0] == "s1 attention: 25 % (10 to 40 %)"
    assert bars.marker.color[2] == LIGHT.muted != bars.marker.color[0]


def test_without_importances_it_says_so() -> None:
    assert "Too few trials" in importances_figure([]).layout.annotations[0].text
