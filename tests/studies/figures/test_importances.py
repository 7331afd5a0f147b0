"""Importances as bars."""

from __future__ import annotations

from attentune.studies.figures.importances import importances_figure


def test_each_stage_has_a_bar() -> None:
    [bars] = importances_figure({"s3": 0.75, "s1": 0.25}).data
    assert (list(bars.y), list(bars.x)) == (["s1", "s3"], [25.0, 75.0])
