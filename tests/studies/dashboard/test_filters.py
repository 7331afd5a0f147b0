"""Filters act on trials: all filters of insertions on one insertion, words, states and ranges."""

from __future__ import annotations

import math

import pytest
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.filters import TrialRange
from attentune.studies.dashboard.study_state import StudyState

TEXTS = (
    "resnet18",
    "resnet18+se(r=16)@s1.residual+eca@s3.post",
    "resnet18+se(r=4)@s3.residual",
    "resnet18+cbam(r=16)@all.mid",
)


@pytest.fixture
def state(store, study, reader, add):
    for number, text in enumerate(TEXTS):
        add(text, 0.5 + number / 100, 1000 + number, seed=number)
    store.trials.start(study, 4, parse(TEXTS[2]), seed=9)
    store.trials.fail(study, 4, Failure("error", "boom", "trace"))
    return StudyState(reader, study)


def passing(study_state: StudyState, **filters) -> list[int]:
    rows = study_state.trials.rows()
    passed = study_state.analysis.matching_trials(Address(**filters), rows)
    return rows["number"][passed].tolist()


CASES = [
    ({}, [0, 1, 2, 3, 4]),
    ({"attention": ("se",)}, [1, 2, 4]),
    ({"attention": ("se",), "stage": ("s3",)}, [2, 4]),
    ({"attention": ("se", "eca"), "stage": ("s3",)}, [1, 2, 4]),
    ({"stage": ("s3",), "ratio": ("16",)}, [3]),
    ({"stage": ("sx",)}, []),
    ({"state": ("failed",)}, [4]),
    ({"search": "SE s3"}, [1, 2, 4]),
    ({"search": "s2"}, [3]),
    ({"search": "failed"}, [4]),
    ({"search": "3"}, [1, 2, 3, 4]),  # As a number, or in a text.
    ({"search": parse(TEXTS[3]).key[:6]}, [3]),
    ({"search": "9" * 30}, []),
    ({"search": "params<1.002k se"}, [1]),
    ({"search": "seed>=2"}, [2, 3, 4]),
    ({"search": "accuracy>51.5"}, [2, 3]),
    ({"search": "taste>1"}, []),
    ({"choices": ("s3.attention:eca|cbam",)}, [1, 3]),
    ({"choices": ("s3.attention:", "s1.attention:")}, [0]),
    ({"choices": ("nothing",)}, [0, 1, 2, 3, 4]),
    ({"ranges": ("params:1001:1002",)}, [1, 2]),
    ({"ranges": ("score::51.5", "seed:1:")}, [1]),
    ({"ranges": ("nothing:0:1",)}, []),
    ({"ranges": ("params:x:y",)}, [0, 1, 2, 3, 4]),
]


def test_trials_pass_all_filters(state):
    assert [passing(state, **filters) for filters, _ in CASES] == [numbers for _, numbers in CASES]


def test_architectures_pass_with_one_complete_trial(state):
    assert state.analysis.matching(Address(state=("failed",))).sum() == 0
    assert state.analysis.matching(Address(attention=("se",))).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_ranges_are_in_the_unit_of_a_lower_is_better_metric(add_study_in_mm, reader):
    study = add_study_in_mm(TEXTS, (3.5, 2.0))
    state = StudyState(reader, study)
    assert passing(state, ranges=("score:3:4",)) == [0]


@pytest.mark.parametrize("text", ["params:1:2", "params::2.5", "s3:a:1:"])
def test_the_text_of_a_range_is_read_again(text):
    assert TrialRange.of(text).text == text


@pytest.mark.parametrize("text", ["", "params", "params:1", ":1:2", "params:nan:1", "a:b:c"])
def test_a_text_that_is_no_range_is_none(text):
    assert TrialRange.of(text) is None


def test_a_range_without_ends_is_infinite():
    assert TrialRange.of("params::") == TrialRange("params", -math.inf, math.inf)
