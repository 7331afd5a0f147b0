"""The model of one study: what it knows of insertions, and from when on."""

from __future__ import annotations

import numpy as np
from attentune.spaces.architecture import parse
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.insertion_facts import InsertionFacts

TEXTS = ("net", "net+eca@s1.residual", "net+se(r=4)@s2.residual", "net+se(r=8)@all.residual")


def model_of(facts: dict[str, InsertionFacts]) -> StudyModel:
    model = StudyModel(2, insertions=facts)
    for number, text in enumerate(TEXTS * 3):
        model.add_trial(number, parse(text), number // 4, 0.5 + 0.03 * (number % 4))
    return model


def test_facts_that_are_recorded_later_replace_what_was_assumed() -> None:
    facts = {
        str(parse(text).insertions[0]): InsertionFacts({1: 0.5, 2: 0.25 * size}, None, 3.0 * size)
        for size, text in enumerate(TEXTS[1:], 1)
    }
    keys = [parse(text).key for text in TEXTS]
    late, early = model_of({}), model_of(facts)
    assumed = late.estimate(keys, 0)
    late.add_insertions(facts)
    expected = early.estimate(keys, 0)
    np.testing.assert_array_equal(late.estimate(keys, 0).gain, expected.gain)
    assert not np.array_equal(assumed.gain[1:], expected.gain[1:])


def test_facts_are_the_same_after_the_database() -> None:
    facts = InsertionFacts({1: 1 / 3, 4: 1.0}, -0.5, 0.1 + 0.2)
    assert InsertionFacts.from_json(facts.to_json()) == facts
