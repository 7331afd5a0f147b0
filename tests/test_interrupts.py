"""Ctrl-C while a library would lose it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from attentune.interrupts import defer_interrupts


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
    outcome = []
    with pytest.raises(KeyboardInterrupt), defer_interrupts():
        outcome.append(interrupted_and_lost())
    assert outcome == ["not noticed"]
    assert interrupted_and_lost() == "lost"


def test_ignored_interrupts_stay_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with defer_interrupts():
        assert interrupted_and_lost() == "not noticed"
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_nothing_is_deferred_in_other_threads():
    reached = []

    def work():
        with defer_interrupts():
            reached.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == [signal.getsignal(signal.SIGINT)]


def a_command_line(at: str):
    """`attentune measure` that is interrupted while it is imported, or at its work."""
    if at == "imports":
        return (
            "import signal, sys\n"
            "class Interrupting:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'typer':\n"
            "            signal.raise_signal(signal.SIGINT)\n"
            "sys.meta_path.insert(0, Interrupting())\n"
        )
    return (
        "import signal\n"
        "from attentune.runners import costs\n"
        "costs.measure = lambda *_, **__: signal.raise_signal(signal.SIGINT)\n"
    )


@pytest.mark.parametrize("at", ["imports", "work"])
def test_an_interrupted_command_says_so_and_exits_with_130(at, tmp_path):
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"{a_command_line(at)}"
        "from attentune.__main__ import main\n"
        "sys.argv = ['attentune', 'measure', 'test_resnet', '--no-latency']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")
