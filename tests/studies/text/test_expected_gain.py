"""The sentences about the gain of more trials."""

from __future__ import annotations

from dataclasses import replace

from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.evaluation_images import EvaluationImages
from attentune.studies.config import RunPlan
from attentune.studies.objectives import ACCURACY
from attentune.studies.stored_config import ExpectedGain, StoredConfig
from attentune.studies.text.expected_gain import (
    end_of_plan_sentence,
    expected_gain_sentence,
    gain_threshold,
)
from example_records import BARE, study, trial

GAIN = ExpectedGain(40, 20, 0.0021, 0.0034)
FINDINGS = replace(
    analyse(study(), [trial(0, BARE, 0.6)]),
    counts={"complete": 35, "pruned": 5, "failed": 3, "running": 1},
)


def config(*forecasts: ExpectedGain, **plan: object) -> StoredConfig:
    json: dict[str, object] = {"plan": RunPlan(**plan).model_dump(mode="json")}
    for forecast in forecasts:
        json = forecast.stored_in(json)
    return StoredConfig(json)


def test_the_sentence_has_the_gain_and_its_deviation_in_points() -> None:
    assert expected_gain_sentence(config(), FINDINGS) is None
    sentence = expected_gain_sentence(config(GAIN), FINDINGS)
    assert sentence == "20 more trials are expected to add 0.2 ± 0.3 points."


def test_an_older_forecast_says_when_it_was_made() -> None:
    later = replace(FINDINGS, counts={**FINDINGS.counts, "complete": 38})
    sentence = expected_gain_sentence(config(GAIN), later)
    assert sentence == "After 40 trials, 20 more trials are expected to add 0.2 ± 0.3 points."


def test_at_chance_level_nothing_is_said() -> None:
    at_chance = replace(FINDINGS, images=EvaluationImages(100, majority_share=0.7))
    assert at_chance.at_chance
    assert expected_gain_sentence(config(GAIN), at_chance) is None


def test_below_the_threshold_the_search_has_converged() -> None:
    sentence = expected_gain_sentence(config(GAIN, min_gain=0.5), FINDINGS)
    assert sentence is not None
    assert sentence.endswith("less than the 0.5 of --min-gain: the search has converged.")
    assert gain_threshold(config(GAIN, min_gain=0.5), ACCURACY) is None
    assert gain_threshold(config(GAIN, min_gain=0.5, until="converged"), ACCURACY) == 0.005
    for least, words in ((0.5, "has converged:"), (0.1, "have ended before the search has")):
        plan = RunPlan(trials=40, until="converged", min_gain=least)
        assert words in end_of_plan_sentence(plan, GAIN, ACCURACY)


def test_a_study_of_another_version_can_be_viewed() -> None:
    stored = StoredConfig(GAIN.stored_in({"plan": {"tries": 3}}))
    assert expected_gain_sentence(stored, FINDINGS) is not None
    assert gain_threshold(stored, ACCURACY) is None


def test_what_another_program_has_put_in_place_of_forecasts_is_left_out() -> None:
    odd = [
        None,
        [1],
        [1, 2, "a", 0.1],
        [20, 20, float("nan"), 0.1],
        [-1, 20, 0.1, 0.1],
        [1, 1.5, 2, 0],
        [1, 1, float("inf"), 0],
    ]
    assert StoredConfig({"expected_gains": odd}).expected_gains == ()
    assert StoredConfig({"expected_gains": 7}).expected_gains == ()
    assert StoredConfig(GAIN.stored_in({"expected_gains": "x"})).expected_gains == (GAIN,)
