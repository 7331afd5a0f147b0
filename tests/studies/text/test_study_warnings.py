"""The warnings about a study: each on its study, and on no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from attentune.benchmarks.claims import SPACE
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.evaluation_images import EvaluationImages
from attentune.studies.config import RunPlan
from attentune.studies.objectives import ACCURACY
from attentune.studies.records import BASELINE, TrialRecord
from attentune.studies.text.study_warnings import few_images_warning, study_warnings
from example_records import BARE, study, trial

MANY = EvaluationImages(5000, True, 0.1)


def warnings(
    records: list[TrialRecord],
    images: EvaluationImages = MANY,
    spent_seconds: float = 0.0,
    **plan: Any,
) -> tuple[str, ...]:
    """The warnings about a study with these trials."""
    record = study("accuracy", plan=RunPlan(**plan).model_dump(mode="json"))
    findings = replace(analyse(record, records), images=images)
    return study_warnings(record, findings, spent_seconds)


def pair(first: float, second: float) -> list[TrialRecord]:
    """The bare backbone and an architecture of the search, with these accuracies."""
    return [trial(0, BARE, first, role=BASELINE), trial(1, SPACE[0], second)]


def test_a_sound_study_has_none() -> None:
    assert warnings(pair(0.7, 0.75)) == ()
    assert warnings([]) == ()


def test_a_study_at_chance_says_what_chance_is() -> None:
    images = EvaluationImages(500, True, 0.25)
    [warning] = warnings(pair(0.24, 0.266), images)
    assert warning.startswith("No accuracy is above chance: the highest, 26.6 % of 500 validation")
    assert "most frequent class (25.0 %)" in warning
    assert warnings(pair(0.24, 0.40), images) == ()


def test_too_few_validation_images_are_counted() -> None:
    [warning] = warnings(pair(0.9, 0.8), EvaluationImages(29, True, 0.1))
    assert "29 validation images one image is 3.4 points" in warning
    assert "sampling error of about 4.5 points" in warning
    assert few_images_warning(100, "test", ACCURACY) is None
    assert few_images_warning(99, "test", ACCURACY) is not None
    assert (
        few_images_warning(500, "test", ACCURACY, 0.01) is not None
    )  # Five are judged differently.


@pytest.mark.parametrize(("text", "name"), [(BARE, "the bare backbone"), (SPACE[0], SPACE[0])])
def test_a_single_architecture_has_nothing_to_be_compared_with(text: str, name: str) -> None:
    [warning] = warnings([trial(0, text, 0.7), trial(1, text, 0.72, seed=1)])
    assert warning.startswith("Only ")
    assert name in warning


def test_a_study_that_only_failed_says_so() -> None:
    failed = [trial(i, SPACE[i], state="failed") for i in range(3)]
    assert warnings(failed) == (
        "All 3 trials have failed, so nothing is known about any architecture.",
    )
    assert warnings(failed[:1])[0].startswith("The only trial has failed")
    assert warnings([*failed, *pair(0.7, 0.75)]) == ()


def test_baselines_that_use_up_the_budget_are_named_with_the_way_on() -> None:
    baselines = [
        trial(i, text, 0.7 + i / 100, role=BASELINE) for i, text in enumerate((BARE, SPACE[0]))
    ]
    assert warnings(baselines) == ()  # 40 trials are planned.
    [warning] = warnings(baselines, trials=2)
    assert "The baselines took all 2 trials" in warning
    assert "`attentune resume s --trials 40`" in warning
    assert warnings(baselines, device_budget=60.0, spent_seconds=99.0) == ()
    [warning] = warnings(baselines, budget=60.0, spent_seconds=61.0)
    assert "the whole budget of 60 s" in warning
    assert warnings(baselines, budget=60.0, spent_seconds=10.0) == ()
    assert warnings([*baselines, trial(9, SPACE[9])], trials=2) == ()  # It is still running.
