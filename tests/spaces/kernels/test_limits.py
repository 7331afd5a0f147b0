"""Limits hold for a block of code and are what they were before afterwards."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from attentune.spaces.kernels.limits import DEFAULTS, current_limits, use_limits


def test_limits_hold_inside_their_block_only():
    assert current_limits() == DEFAULTS
    with use_limits(chunk_bytes=7):
        with use_limits(max_matrix_locations=5):
            assert current_limits() == dataclasses.replace(
                DEFAULTS, chunk_bytes=7, max_matrix_locations=5
            )
        assert current_limits() == dataclasses.replace(DEFAULTS, chunk_bytes=7)
    assert current_limits() == DEFAULTS


def test_limits_come_back_after_an_error():
    with pytest.raises(KeyError), use_limits(chunk_bytes=7):
        raise KeyError
    assert current_limits() == DEFAULTS


def test_a_limit_that_does_not_exist_is_an_error():
    with pytest.raises(TypeError, match="min_locations"), use_limits(min_locations=1):
        pass


def test_other_threads_keep_the_defaults():
    limits_of_thread = []
    with use_limits(chunk_bytes=7):
        thread = threading.Thread(target=lambda: limits_of_thread.append(current_limits()))
        thread.start()
        thread.join()
    assert limits_of_thread == [DEFAULTS]
