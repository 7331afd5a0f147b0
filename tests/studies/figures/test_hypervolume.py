"""The hypervolume over epochs and over time."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.hypervolume import HypervolumeStep
from attentune.studies.figures.hypervolume import hypervolume_figure


@pytest.mark.parametrize(("over_time", "x"), [(False, [8, 16]), (True, [1.0, 3.0])])
def test_every_step_has_a_point_with_its_interval(over_time: bool, x: list[float]) -> None:
    steps = [
        HypervolumeStep(8, 60.0, 0.2, 0.1, 0.3),
        HypervolumeStep(16, 180.0, 0.5, 0.4, 0.55),
    ]
    band, line = hypervolume_figure(steps, over_time=over_time).data
    assert (list(line.x), list(line.y)) == (x, [0.2, 0.5])
    assert list(band.y) == [0.3, 0.55, 0.4, 0.1]
    assert line.text[1] == "0.500 (0.400 to 0.550) after 16 epochs, 3 min"


def test_without_the_bare_backbone_there_is_a_message() -> None:
    assert "bare backbone" in hypervolume_figure(()).layout.annotations[0].text
