"""Studies that search for metrics of a user's own, of any magnitude and number."""

from __future__ import annotations

import math

import pytest
from attentune.errors import UsageError
from attentune.studies.analysis.analyse import analyse, show_json
from attentune.studies.config import check_objectives
from attentune.studies.objectives import objective, objectives_of
from attentune.studies.text.metric_format import MetricFormat, objective_value
from example_records import BARE, study, trial

SE, ECA = f"{BARE}+se(r=4)@all.residual", f"{BARE}+eca@all.residual"


def own_trial(number, text, value, *, metric="miou:max:%", **fields):
    """A complete trial whose accuracy is not known."""
    score = objective(metric).score_of(value)
    return trial(
        number, text, state="complete", metric_score=score, metric=metric, seed=number % 3, **fields
    )


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e4])
def test_estimates_do_not_depend_on_the_unit(scale):
    values = {BARE: (3.0, 3.1, 2.9), SE: (2.0, 2.1, 1.9), ECA: (3.0, 3.2, 2.9)}
    trials = [
        own_trial(3 * row + seed, text, scale * value, metric="error:min:mm")
        for row, (text, group) in enumerate(values.items())
        for seed, value in enumerate(group)
    ]
    findings = analyse(study("error:min:mm", "params"), trials)
    best = findings.best
    assert str(best.architecture) == SE
    assert best.is_better_than_bare
    assert best.gain == pytest.approx(scale, rel=0.15)
    assert best.accuracy is None
    usual = analyse(
        study("error:min:mm", "params"),
        [own_trial(t.number, t.architecture, -t.score / scale, metric=t.metric) for t in trials],
    )
    # The prior is wider for scores near zero, so the errors are alike and not equal.
    assert usual.best.gain_error * 0.7 < best.gain_error / scale < usual.best.gain_error * 3


def test_further_metrics_are_objectives_of_the_front():
    objectives = ("miou:max:%", "speed:min:ms", "dice:max", "params")
    rows = [
        (BARE, 0.50, 9.0, 0.5, 1000),
        (SE, 0.60, 9.0, 0.4, 1100),
        (ECA, 0.49, 8.0, 0.4, 1100),
        (f"{BARE}+simam@all.residual", 0.49, 9.5, 0.6, 1100),
        (f"{BARE}+cbam(r=4)@all.residual", 0.49, 9.5, 0.4, 1200),
    ]
    trials = [
        own_trial(number, text, miou, params=params, further={"speed": speed, "dice": dice})
        for number, (text, miou, speed, dice, params) in enumerate(rows)
    ]
    record = study(*objectives)
    findings = analyse(record, trials)
    assert {str(s.architecture) for s in findings.front} == {text for text, *_ in rows[:4]}
    assert [o.key for o in findings.further_metrics] == ["speed", "dice"]
    assert findings.knee in findings.front
    written = show_json(record, trials, findings)
    assert written["directions"] == {
        "miou": "maximize", "speed": "minimize", "dice": "maximize", "params": "minimize",
    }  # fmt: skip
    assert written["trials"][0]["values"]["speed"] == 9.0
    speed = findings.further_metrics[0]
    assert objective_value(findings.architectures[0].values, speed).endswith(" ms")


def test_the_first_metric_is_searched_for():
    first, second, cost = objectives_of(("dice:max", "accuracy", "params"))
    assert (first.is_further, second.is_further, cost.is_further) == (False, True, False)
    assert len({first.column, second.column, cost.column}) == 3
    with pytest.raises(ValueError, match="accuracy must be one of the objectives"):
        check_objectives(("params", "macs"))


@pytest.mark.parametrize("name", ["accuracy:max", "params:min", "latency_ms:min", "log_loss:min"])
def test_names_with_a_meaning_are_not_taken(name):
    with pytest.raises(UsageError, match="has a meaning of its own"):
        objective(name)


@pytest.mark.parametrize(
    ("metric", "value", "error", "gain", "texts"),
    [
        ("miou:max:%", 0.7123, 0.0049, 0.012, ("71.2 ± 0.5 %", "+1.2 ± 0.5 points")),
        ("psnr:max:dB", 31.72, 0.13, 0.5, ("31.72 ± 0.13 dB", "+0.50 ± 0.13 dB")),
        ("loss:min", 12345.6, 210.0, 300.0, ("12,346 ± 210", "+300 ± 210")),
        ("drift:min:m", 1.25e-7, 2.1e-9, 3e-9, ("1.25e−07 ± 2.1e−09 m", "+3e−09 ± 2.1e−09 m")),
        ("psnr:max:dB", 31.72, None, None, ("31.72 dB", None)),
    ],
)
def test_values_are_printed_to_two_digits_of_their_error(metric, value, error, gain, texts):
    form = MetricFormat(objective(metric))
    score = form.metric.score_of(value)
    assert form.value(score, error) == texts[0]
    if gain is not None:
        assert form.gain_with_unit(gain, error) == texts[1]
    assert not math.isnan(form.on_axis(score))
