"""A plain loop as in the examples."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_a_plain_loop_trains_the_trials_of_a_study(search):
    study = search("plain_loop.py:train")
    assert study.confirm(top=1, seeds=2, epochs=1).seeds == 2


@pytest.mark.slow
def test_an_interrupted_plain_loop_equals_an_uninterrupted_one(check_interruption):
    check_interruption("examples/plain_loop.py:train")
