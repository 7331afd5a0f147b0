"""The hypervolume over epochs and over time."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.hypervolume import HypervolumeStep
from attentune.studies.figures.hypervolume import hypervolume_figure


@pytest.mark.parametrize(("over_time", "x"), [(False, [8, 16]), (True, [1.0, 3.0])])
def test_every_step_has_a_point(over_time: bool, x: list[float]) -> None:
    steps = [HypervolumeStep(8, 60.0, 0.2), HypervolumeStep(16, 180.0, 0.5)]
    [line] = hypervolume_figure(steps, over_time=over_time).data
    assert (list(line.x), list(line.y)) == (x, [0.2, 0.5])
    assert line.text[1] == "16 epochs, 3 min"
