"""Scores of metrics as people read them."""

from __future__ import annotations

import pytest
from attentune.studies.objectives import OBJECTIVES, objective
from attentune.studies.text.metric_format import MetricFormat


@pytest.mark.parametrize(
    ("metric", "score", "value", "gain", "axis", "title"),
    [
        ("accuracy", 0.757, "75.7 ± 0.8 %", "+0.8 ± 0.4 points", 75.7, "Validation accuracy (%)"),
        ("macro-f1", 0.757, "75.7 ± 0.8 %", "+0.8 ± 0.4 points", 75.7, "Validation macro F1 (%)"),
        ("auroc", 0.757, "0.757 ± 0.008", "+0.008 ± 0.004", 0.757, "Validation AUROC"),
        ("log-loss", -0.757, "0.757 ± 0.008", "+0.008 ± 0.004 nats", 0.757, "Validation log loss"),
    ],
)
def test_a_metric_is_printed_in_its_own_unit(
    metric: str, score: float, value: str, gain: str, axis: float, title: str
) -> None:
    form = MetricFormat(OBJECTIVES[metric])
    assert form.value(score, 0.008) == value
    assert form.gain_with_unit(0.008, 0.004) == gain
    assert form.on_axis(score) == pytest.approx(axis)
    assert form.axis_title == title


def test_a_lower_loss_is_a_gain_and_drawn_higher() -> None:
    form = MetricFormat(OBJECTIVES["log-loss"])
    assert form.axis == {"autorange": "reversed"}
    assert "a lower log loss is a positive gain" in form.in_unit
    assert form.gain(-0.0301, 0.0002) == "−0.030 ± 0.0002"
    assert form.value(None) == "–"


def test_the_noise_of_an_own_metric_has_two_digits() -> None:
    form = MetricFormat(objective("error:min:mm"))
    assert [form.deviation(value) for value in (0.1404, 140.4)] == ["0.14 mm", "140 mm"]
    assert form.gain_with_unit(0.35, 0.0) == "+0.35 ± 0 mm"
    assert MetricFormat(OBJECTIVES["accuracy"]).deviation(0.0057) == "0.6 points"
    assert MetricFormat(objective("miou:max:%")).deviation(0.0057) == "0.6 points"
