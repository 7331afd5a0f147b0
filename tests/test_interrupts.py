"""Ctrl-C while somebody else's code would lose it."""

from __future__ import annotations

import signal
import threading

import pytest
from attentune.interrupts import interrupts_held


@pytest.fixture(autouse=True)
def interruptible():
    """Python's own handler, which a process that was begun in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupted_and_lost():
    """What a library does that takes any failure of an import for a missing package."""
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        return "lost"
    return "not noticed"


def test_an_interrupt_takes_effect_afterwards():
    assert interrupted_and_lost() == "lost"
    found = []
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        found.append(interrupted_and_lost())
    assert found == ["not noticed"]
    assert interrupted_and_lost() == "lost"


def test_whoever_ignores_interrupts_goes_on_ignoring_them():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held():
        assert interrupted_and_lost() == "not noticed"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_threads_have_nothing_to_hold():
    reached = []

    def work():
        with interrupts_held():
            reached.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == [signal.getsignal(signal.SIGINT)]
