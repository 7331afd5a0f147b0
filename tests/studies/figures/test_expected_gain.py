"""The line of forecasts, and their sentence."""

from __future__ import annotations

from attentune.studies.figures.expected_gain import expected_gain_figure
from attentune.studies.figures.themes import DARK, LIGHT
from attentune.studies.objectives import ACCURACY
from attentune.studies.stored_config import ExpectedGain

FORECASTS = (ExpectedGain(10, 20, 0.012, 0.02), ExpectedGain(15, 20, 0.004, 0.003))


def test_the_line_has_points_and_a_band_of_one_deviation_that_is_not_negative() -> None:
    band, line = expected_gain_figure(FORECASTS, ACCURACY).data
    assert (list(line.x), list(line.y)) == ([10, 15], [1.2, 0.4])
    assert (min(band.y), max(band.y)) == (0.0, 3.2)
    assert "After 10 trials: 20 more trials are expected to add 1.2 ± 2.0 points" in line.text


def test_the_threshold_is_drawn_where_the_search_ends_with_it() -> None:
    assert not expected_gain_figure(FORECASTS, ACCURACY).layout.shapes
    [line] = expected_gain_figure(FORECASTS, ACCURACY, DARK, threshold=0.003).layout.shapes
    assert (line.y0, line.y1) == (0.3, 0.3)


def test_without_a_forecast_there_is_a_message() -> None:
    figure = expected_gain_figure((), ACCURACY, LIGHT)
    assert not figure.data
    assert "Not forecast yet" in figure.layout.annotations[0].text
