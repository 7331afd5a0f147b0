"""Alternatives are compared with the bare backbone, with the same seeds."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import cast

import pytest
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs, Failure
from attentune.studies.alternatives import (
    ALTERNATIVE_ROLES,
    Alternative,
    AlternativeKind,
    AlternativesPlan,
)
from attentune.studies.analysis.alternatives import AlternativesSummary, analyse_alternatives
from attentune.studies.analysis.findings import Findings, Noise
from attentune.studies.objectives import ACCURACY
from attentune.studies.records import BASELINE, StudyRecord, TrialRecord

from ...example_records import BARE, study, trial

RECIPE = Recipe.of(data="digits", image_size=32, epochs=8).model_dump(mode="json")
PLAN = AlternativesPlan(
    (
        Alternative("backbone", "net2", 32, 1.0, "the next larger", Costs(2000, 9000)),
        Alternative("epochs", BARE, 32, 1.5, "half as many again", Costs(1000, 5000)),
    ),
    {"images": "the backbone takes no other size"},
)


def estimate(seed_effects: dict[int, float]) -> Findings:
    """What the search says of the bare backbone and of the seeds."""
    noise = Noise(0.01, 0.02, 3, seed_effects)
    return cast(
        Findings, SimpleNamespace(bare=SimpleNamespace(score=0.6), noise=noise, metric=ACCURACY)
    )


NOTHING = cast(Findings, SimpleNamespace(bare=None, noise=None, metric=ACCURACY))


def alternative_trial(
    kind: AlternativeKind, seed: int, accuracy: float | None, **fields: object
) -> TrialRecord:
    backbone = PLAN.get(kind).backbone  # type: ignore[union-attr]
    number = 2_000_000 + 10 * seed + len(kind)
    return trial(number, backbone, accuracy, seed=seed, role=ALTERNATIVE_ROLES[kind], **fields)


def record(limits: dict[str, float] | None = None) -> StudyRecord:
    config = PLAN.stored_in({"study": {"recipe": RECIPE, "limits": limits or {}}})
    return study(**json.loads(json.dumps(config, default=vars)))


def summarize(
    trials: list[TrialRecord], seed_effects: dict[int, float] | None = None
) -> AlternativesSummary:
    searched = [trial(s, BARE, 0.6, seed=s, role=BASELINE) for s in range(3)]
    summary = analyse_alternatives(record(), estimate(seed_effects or {}), searched, trials)
    assert summary is not None
    return summary


def test_a_study_that_asked_for_none_has_none() -> None:
    assert analyse_alternatives(study(), NOTHING, [], []) is None


def test_the_gain_is_the_difference_of_the_accuracies_without_the_effects_of_seeds() -> None:
    trials = [
        alternative_trial("epochs", s, 0.65 + effect) for s, effect in enumerate((0.02, -0.04))
    ]
    _, longer = summarize(trials, seed_effects={0: 0.02, 1: -0.04}).alternatives
    assert longer.score == pytest.approx(0.65)
    assert longer.gain == pytest.approx(0.05)
    assert longer.gain_error == pytest.approx(0.01 * math.sqrt(2 / 2))
    assert longer.scores == (0.67, 0.61)
    assert longer.seeds == (0, 1)


def test_one_without_a_result_has_no_gain_but_a_reason() -> None:
    failure = Failure("out_of_memory", "no memory left")
    larger, longer = summarize(
        [
            alternative_trial("backbone", 0, None, state="failed", failure=failure),
            alternative_trial("epochs", 0, None),
        ]
    ).alternatives
    assert larger.score is larger.gain is larger.gain_error is None
    assert larger.failure == failure
    assert not larger.running
    assert longer.running == 1
    assert longer.failure is None


def test_costs_above_a_limit_are_shown_with_it() -> None:
    summary = analyse_alternatives(record({"params": 1500}), NOTHING, [], [])
    assert summary is not None
    larger, longer = summary.alternatives
    assert larger.exceeded_limit == "params is 2,000, above the limit of 1,500"
    assert longer.exceeded_limit is None
    assert larger.values == {"params": 2000, "macs": 9000}


def test_training_costs_what_its_multiply_adds_cost() -> None:
    larger, longer = summarize([]).alternatives
    assert larger.training_ratio == pytest.approx(9000 / 5000)
    assert longer.training_ratio == 1.5


def test_the_plan_is_read_as_it_was_stored() -> None:
    assert record().config.alternatives == PLAN
    recipe = record().config.recipe_of(ALTERNATIVE_ROLES["epochs"])
    assert recipe.epochs == 12
    assert record().config.recipe_of("search").epochs == 8
    assert json.loads(json.dumps(summarize([]).to_json()))["missing"] == dict(PLAN.missing)
