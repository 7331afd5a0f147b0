"""Importances as bars."""

from __future__ import annotations

import pytest
from attentune.studies.figures.importances import importances_figure
from attentune.studies.figures.themes import LIGHT


def test_each_stage_has_a_bar_and_so_has_what_is_not_explained() -> None:
    [bars] = importances_figure({"s1": 0.25, "s2": 0.45}).data
    assert list(bars.y) == ["s1", "s2", "unexplained"]
    assert list(bars.x) == pytest.approx([25.0, 45.0, 30.0])
    assert bars.marker.color[2] == LIGHT.muted != bars.marker.color[0]


def test_without_importances_it_says_so() -> None:
    assert "Too few trials" in importances_figure({}).layout.annotations[0].text
