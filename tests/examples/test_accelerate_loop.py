"""A loop with Hugging Face Accelerate as in the examples."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("accelerate") is None, reason="needs accelerate"),
]


def test_accelerate_trains_the_trials_of_a_study(search):
    search("accelerate_loop.py:train")


def test_an_interrupted_loop_equals_an_uninterrupted_one(check_interruption):
    check_interruption("examples/accelerate_loop.py:train")


def test_attention_is_trained_in_mixed_precision(play, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    play("examples/accelerate_loop.py:train")
