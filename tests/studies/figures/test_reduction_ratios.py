"""Effects by reduction ratio."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.attention_effects import Effect
from attentune.studies.figures.reduction_ratios import ratios_figure
from attentune.studies.objectives import ACCURACY


def test_curves_of_ratios_show_effects_and_intervals() -> None:
    curves = {"se": [(4, Effect(0.01, -0.01, 0.03, 5)), (16, Effect(0.02, 0.01, 0.03, 1))]}
    [line] = ratios_figure(curves, ACCURACY).data
    assert (list(line.x), list(line.y)) == ([4, 16], [1.0, 2.0])
    assert list(line.error_y.array) == pytest.approx([2.0, 1.0])
    assert list(line.marker.symbol) == ["circle-open", "circle"]
