"""Every failure of a trial has a kind."""

from __future__ import annotations

import pytest
import torch
from attentune.errors import ArchitectureError, TrialError
from attentune.runners.workers.trial import classify_failure


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (TrialError("diverged", "the loss was nan"), "diverged", "the loss was nan"),
        (torch.OutOfMemoryError("no room\ndetails"), "out_of_memory", "no room"),
        (MemoryError(), "out_of_memory", "MemoryError"),
        (RuntimeError("[enforce] can't allocate memory: 9"), "out_of_memory", None),
        (ArchitectureError("no such stage"), "invalid", "no such stage"),
        (ValueError("wrong shape"), "error", "ValueError: wrong shape"),
    ],
)
def test_an_exception_is_recorded_with_a_kind_and_a_message(error, kind, message):
    assert classify_failure(error) == (kind, message or str(error))


def test_an_exception_with_a_hostile_message_is_recorded():
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert classify_failure(SilentError()) == ("error", "SilentError: SilentError")
    assert classify_failure(OSError("caf\udce9\x1b[2J")) == ("error", r"OSError: caf\xe9\x1b[2J")
    kind, message = classify_failure(ValueError("x" * 10**7))
    assert kind == "error"
    assert len(message) < 5_000
