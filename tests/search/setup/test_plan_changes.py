"""The changes that a resume makes to the plan of a study."""

from __future__ import annotations

import pytest
from attentune.errors import UsageError
from attentune.search.setup.plan_changes import read_plan_changes


def test_changes_of_a_plan_are_read_with_their_units():
    assert read_plan_changes({"trials": 9, "budget": "2h", "workers": None}) == {
        "trials": 9,
        "budget": 7200,
    }


def test_an_unknown_change_of_the_plan_names_the_closest_setting():
    with pytest.raises(UsageError, match="unknown setting 'trial'; did you mean 'trials'"):
        read_plan_changes({"trial": 9})
