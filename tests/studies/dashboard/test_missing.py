"""What an address asks for that does not exist is said."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard.context import StudyStates
from attentune.studies.dashboard.missing import describe_unknown_values
from attentune.studies.figures.themes import LIGHT


@pytest.fixture
def states(study, reader, add):
    add("resnet18", 0.5)
    add("resnet18+se(r=16)@s1.residual", None)
    return StudyStates(reader, None)


def sentences(states: StudyStates, query: str) -> list[str]:
    return list(describe_unknown_values(states.context(query, LIGHT.name), query))


def test_what_exists_needs_no_word(states):
    query = (
        "?state=failed~running&sort=-s1.attention&columns=number~tags&range=score:1:2~params::"
        "&choice=s1.attention:se|&first=0&search=anything"
    )
    assert sentences(states, query) == []


def test_each_part_about_trials_that_does_not_exist_has_a_sentence(states):
    query = "?state=lost&sort=-taste&columns=number~smell&range=params:x:y~sound:1:2&choice=:a"
    assert sentences(states, f"{query}&first=1&second=99") == [
        "There is no state lost; the states are complete, pruned, failed and running.",
        "There is no column smell and taste.",
        "No filter can be read from params:x:y, sound:1:2 and :a.",
        "There is no complete trial 1.",
        "There is no complete trial 99.",
    ]
