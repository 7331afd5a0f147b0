"""Alternatives on the test split: gains over the bare backbone, and leads over attention."""

from __future__ import annotations

import json

import numpy as np
import pytest
from attentune.runners.recipe import Recipe
from attentune.runners.results import Costs
from attentune.studies.alternatives import (
    CONFIRMING_ALTERNATIVE_ROLES,
    Alternative,
    AlternativeKind,
    AlternativesPlan,
)
from attentune.studies.analysis.confirmed_alternatives import (
    ConfirmedAlternative,
    analyse_confirmed_alternatives,
)
from attentune.studies.records import StudyRecord, TrialRecord
from attentune.studies.stored_config import ConfirmPlan
from attentune.studies.text.alternatives import confirmed_sentence

from ...example_records import BARE, example_confirmation, searched, spread, study, trial

ATTENTION = f"{BARE}+se(r=4)@all.residual"
PLAN = AlternativesPlan(
    (
        Alternative("backbone", "net2", 32, 1.0, "the next larger", Costs(2000, 9000)),
        Alternative("epochs", BARE, 32, 1.5, "half as many again", Costs(1000, 5000)),
    )
)


def record() -> StudyRecord:
    recipe = Recipe.of(data="digits", image_size=32, epochs=8).model_dump(mode="json")
    config = PLAN.stored_in({"study": {"recipe": recipe, "num_classes": 10}})
    config = ConfirmPlan((BARE, ATTENTION), 3, 5, 20, 8, alternatives=True).stored_in(config)
    return study(**json.loads(json.dumps(config, default=vars)))


def trials(kind: AlternativeKind, accuracies: list[float | None]) -> list[TrialRecord]:
    backbone = PLAN.get(kind).backbone  # type: ignore[union-attr]
    role, first = CONFIRMING_ALTERNATIVE_ROLES[kind], 3_000_000 + 100 * len(kind)
    return [
        trial(first + s, backbone, accuracy, seed=10**6 + s, role=role, epochs=30)
        for s, accuracy in enumerate(accuracies)
    ]


def analyse(attention: float, larger: float) -> tuple[ConfirmedAlternative, ...]:
    confirmation = example_confirmation(
        searched({BARE: 0.6, ATTENTION: 0.65}), {BARE: spread(0.6), ATTENTION: spread(attention)}
    )
    rows = trials("backbone", spread(larger)) + trials("epochs", spread(0.601))
    return analyse_confirmed_alternatives(record(), confirmation, rows, {})


def test_gains_are_over_the_bare_backbone_with_the_same_seeds() -> None:
    larger, longer = analyse(attention=0.6, larger=0.66)
    assert larger.gain is not None
    assert larger.gain.mean == pytest.approx(0.06)
    assert larger.gain.pairs == 5
    assert larger.gain.claimed
    assert longer.gain is not None
    assert not longer.gain.claimed
    assert larger.score == pytest.approx(np.mean(spread(0.66)))
    assert longer.recipe.epochs == 30
    assert larger.lead is None, "no attention is claimed to be better than the bare backbone"


def test_leads_are_over_the_attention_that_is_claimed() -> None:
    larger, longer = analyse(attention=0.65, larger=0.7)
    assert larger.lead is not None
    assert larger.lead.mean == pytest.approx(0.05)
    sentence = confirmed_sentence((larger, longer))
    assert sentence is not None
    assert sentence.startswith("Alternatives to attention, on the test split: net2 gains +10.0")
    assert "30 epochs gain +0.1" in sentence
    assert "Better than the best attention: net2." in sentence
    assert "Worse than the best attention: 30 epochs." in sentence
    assert json.dumps(larger.to_json())


def test_without_complete_trials_there_is_nothing_to_say() -> None:
    confirmation = example_confirmation(searched({BARE: 0.6}), {BARE: spread(0.6)})
    running = trials("backbone", [None])
    assert analyse_confirmed_alternatives(record(), confirmation, running, {}) == ()
    assert confirmed_sentence(()) is None
