"""Ctrl-C while a library would lose it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from attentune import interrupts
from attentune.interrupts import SIGNALS, defer_interrupts, raise_interrupt, stop_on_interrupt


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
    """`attentune measure` that is interrupted while it is imported, or at its work.

    Or in a library that takes the interrupt for a failure of its own.
    """
    if at == "imports":
        return (
            "import signal, sys\n"
            "class Interrupting:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'typer':\n"
            "            signal.raise_signal(signal.SIGINT)\n"
            "sys.meta_path.insert(0, Interrupting())\n"
        )
    if at == "library":
        return (
            "import signal\n"
            "from attentune.runners import costs\n"
            "def measure(*_, **__):\n"
            "    try:\n"
            "        signal.raise_signal(signal.SIGINT)\n"
            "    except KeyboardInterrupt:\n"
            "        raise ImportError('initialization failed') from None\n"
            "costs.measure = measure\n"
        )
    return (
        "import signal\n"
        "from attentune.runners import costs\n"
        "costs.measure = lambda *_, **__: signal.raise_signal(signal.SIGINT)\n"
    )


@pytest.mark.parametrize("at", ["imports", "work", "library"])
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


@pytest.fixture
def noisy(monkeypatch):
    """No interrupt was raised lately."""
    monkeypatch.setattr(interrupts, "_last_raised", float("-inf"))


@pytest.fixture(params=[number for number in SIGNALS if number != signal.SIGINT])
def request_to_end(request):
    """A signal that means an interrupt, with a handler that raises at once."""
    before = signal.signal(request.param, raise_interrupt)
    yield request.param
    signal.signal(request.param, before)


def test_requests_to_end_are_interrupts_and_only_the_first_one_is_raised(noisy, request_to_end):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(request_to_end)
    signal.raise_signal(request_to_end)
    signal.raise_signal(request_to_end)


def test_requests_to_end_are_deferred_like_interrupts(noisy, request_to_end):
    with pytest.raises(KeyboardInterrupt), defer_interrupts():
        assert signal.raise_signal(request_to_end) is None


def test_the_first_interrupt_stops_and_another_ends_at_once(noisy, request_to_end):
    stops = []
    with stop_on_interrupt(lambda: stops.append(1)):
        signal.raise_signal(request_to_end)
        signal.raise_signal(request_to_end)  # sent at once, as by `timeout`: still the same one
        assert stops == [1]
        time.sleep(2 * interrupts.BURST_SECONDS)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(request_to_end)
        signal.raise_signal(request_to_end)
    assert stops == [1]
    assert signal.getsignal(request_to_end) is raise_interrupt


def test_a_run_in_the_background_keeps_ignoring_interrupts(noisy):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stop_on_interrupt(lambda: pytest.fail("an ignored signal was handled")):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_python_drops_is_raised_again(tmp_path):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from attentune import __main__\n"
        "class Dropped:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "def work():\n"
        "    Dropped()\n"
        "    time.sleep(60)\n"
        "from attentune.search import cli\n"
        "cli.main = work\n"
        "__main__.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_an_interrupt_that_is_both_raised_and_dropped_ends_the_command_once(tmp_path):
    """The repetition of the dropped one arrives while the command says that it was interrupted."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from attentune import __main__\n"
        "class Dropped:\n"
        "    def __del__(self):\n"
        "        raise KeyboardInterrupt\n"
        "def work():\n"
        "    Dropped()\n"
        "    raise KeyboardInterrupt\n"
        "def slow_print(*_, **__):\n"
        "    time.sleep(0.3)\n"
        "    sys.stderr.write('Interrupted.\\n')\n"
        "__main__.print = slow_print\n"
        "from attentune.search import cli\n"
        "cli.main = work\n"
        "__main__.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize(
    "when",
    [
        "atexit.register(signal.raise_signal, signal.SIGINT)",
        "__main__.last = type('', (), {'__del__': lambda _, end=signal.raise_signal: end(15)})()",
    ],
)
def test_what_is_printed_is_kept_if_a_finished_command_is_interrupted(when, tmp_path):
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from attentune import __main__\n"
        "from attentune.search import cli\n"
        "def work():\n"
        "    print('done')\n"
        "    sys.exit(0)\n"
        "cli.main = work\n"
        "import atexit\n"
        f"{when}\n"
        "__main__.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
