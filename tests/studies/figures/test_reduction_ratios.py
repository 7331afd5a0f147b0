"""Gain by reduction ratio."""

from __future__ import annotations

from attentune.studies.analysis.findings import MeanGain
from attentune.studies.figures.reduction_ratios import ratios_figure


def test_curves_of_ratios_show_means_and_errors() -> None:
    curves = {"se": [(4, MeanGain(0.01, 0.002, 5)), (16, MeanGain(0.02, None, 1))]}
    [line] = ratios_figure(curves).data
    assert (list(line.x), list(line.y)) == ([4, 16], [1.0, 2.0])
    assert list(line.error_y.array) == [0.2, 0]
