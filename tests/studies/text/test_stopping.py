"""Whether to stop, in words: from the forecast and the plan, unless there is only noise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attentune.studies.analysis.evaluation_images import EvaluationImages
from attentune.studies.analysis.findings import Findings
from attentune.studies.objectives import objectives_of
from attentune.studies.stored_config import ExpectedGain, StoredConfig
from attentune.studies.text.stopping import stopping_sentence


def findings(*objectives: str, complete: int = 40) -> Findings:
    counts = {"complete": complete, "pruned": 0, "failed": 0, "running": 0}
    return Findings(objectives_of(objectives), counts, (), (), None, None, None, None, 4)


def config(mean: float | None = None, deviation: float = 0.001) -> StoredConfig:
    stored = {"plan": {"trials": 40, "min_gain": 0.5}}
    if mean is not None:
        stored = ExpectedGain(40, 20, mean, deviation).stored_in(stored)
    return StoredConfig(stored, "first", "0.1.0")


@pytest.mark.parametrize(
    ("mean", "complete", "begins", "contains"),
    [
        (None, 40, "That cannot be said yet", "makes a forecast"),
        (0.001, 40, "Yes: 20 more trials", "less than the 0.5 of --min-gain"),
        (0.02, 40, "No: 20 more trials", "at least the 0.5"),
        (0.02, 41, "No: after 40 trials, 20 more", "2.0 ± 0.1 points"),
    ],
)
def test_the_forecast_is_compared_with_the_plan(mean, complete, begins, contains):
    sentence = stopping_sentence(config(mean), findings("accuracy", "params", complete=complete))
    assert sentence.startswith(begins)
    assert contains in sentence


def test_a_forecast_within_its_uncertainty_is_said():
    assert "may well add nothing" in stopping_sentence(config(0.02, 0.03), findings("accuracy"))


def test_a_metric_of_ones_own_has_its_unit():
    sentence = stopping_sentence(config(0.7), findings("error:min:mm", "params"))
    assert sentence.startswith("No: 20 more trials are expected to add 0.7")
    assert "at least the 0.5 mm of --min-gain" in sentence


def test_trials_at_chance_are_not_continued(monkeypatch):
    monkeypatch.setattr(Findings, "at_chance", property(lambda _: True))
    result = replace(findings("accuracy"), images=EvaluationImages())
    assert stopping_sentence(config(0.02), result).startswith("Stop: no result is above")
