"""What interrupts do: they end a command once, wherever it is, and with a sentence.

Ctrl-C, and the requests to end of a batch system, a service manager or a closing terminal (SIGTERM,
SIGHUP), mean the same. While a study runs, the first one lets the running epochs end, and another
ends the run at once (`stop_on_interrupt`). Everywhere else, the first one raises KeyboardInterrupt;
more of them do nothing while that exception is on its way, so that nothing is left half done.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
"""Signals that mean an interrupt; SIGBREAK is Ctrl-Break on Windows."""
BURST_SECONDS = 0.1
"""Signals that come closer together were sent for one interrupt: `timeout` and wrappers of commands
send them to the process and again to its group."""
QUIET_SECONDS = 5.0
"""Time after a KeyboardInterrupt in which no other is raised."""

_last_raised = float("-inf")
_is_ending = False
"""Whether this process has only to leave, so that no interrupt is raised or repeated any more."""


def raise_interrupt(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, unless one was raised in the last seconds. A signal handler."""
    global _last_raised
    now = time.monotonic()
    if now - _last_raised >= QUIET_SECONDS and not _is_ending:
        _last_raised = now
        raise KeyboardInterrupt


def interrupted_since(moment: float) -> bool:
    """Whether an interrupt has raised KeyboardInterrupt since a time of `time.monotonic`.

    Whatever has become of the exception: a library may replace it, as the initialisation of a
    compiled module that is interrupted raises ImportError.
    """
    return _last_raised >= moment


def handle_interrupts() -> None:
    """Let every interrupt of this process raise KeyboardInterrupt once. For a command.

    Signals that the process was started to ignore, as by `nohup`, stay ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, raise_interrupt)
    sys.unraisablehook = _repeat_lost_interrupt
    atexit.register(_ignore_interrupts)  # The first one that is registered is called last.


def _ignore_interrupts() -> None:
    """Ignore interrupts, for the moment in which Python removes handlers and still runs."""
    raise_no_more_interrupts()
    for number in SIGNALS:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_IGN)


def raise_no_more_interrupts() -> None:
    """From now on, an interrupt raises nothing and is not repeated: this process is ending."""
    global _is_ending
    _is_ending = True


def end_on_interrupt(code: int) -> None:
    """From now on, let an interrupt end this process at once with an exit code.

    For a command that has done its work and only has to leave.
    """
    raise_no_more_interrupts()
    with suppress(OSError, ValueError):  # What is buffered would be lost.
        sys.stdout.flush()
    for number in SIGNALS:
        if signal.getsignal(number) is raise_interrupt:
            signal.signal(number, lambda *_: os._exit(code))


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Let an interrupt that arrives inside the context take effect when the context ends.

    Some libraries try imports and continue without what cannot be imported. They treat a
    KeyboardInterrupt as a failed import, and the user's Ctrl-C would be lost.
    """
    received: list[int] = []

    def record_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    try:
        with _handler(record_signal):
            yield
    finally:
        for number in dict.fromkeys(received):
            signal.raise_signal(number)


@contextmanager
def stop_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first interrupt inside the context call `stop`, and another end the run at once.

    If the run ends at once, the running epochs are lost, but nothing that was saved before.
    """
    stopped_at: float | None = None

    def request_stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped_at
        now = time.monotonic()
        if stopped_at is None:
            stopped_at = now
            stop()
        elif now - stopped_at >= BURST_SECONDS:
            raise_interrupt(number, frame)

    with _handler(request_stop):
        yield


@contextmanager
def _handler(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle interrupts with a function inside the context.

    Signals that are ignored stay ignored. Signals reach only the main thread; in another thread
    this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, Any] = {}
    try:
        for number in SIGNALS:
            earlier = signal.getsignal(number)
            if earlier not in (None, signal.SIG_IGN):  # None: a handler that is not Python's.
                before[number] = earlier
                signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _repeat_lost_interrupt(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interrupt again that was raised where Python has to ignore it, as in `__del__`."""
    global _last_raised
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
    elif not _is_ending:
        _last_raised = float("-inf")
        threading.Timer(0.01, _interrupt_again).start()


def _interrupt_again() -> None:
    """Send an interrupt to this process, unless it is ending: Python may have removed handlers."""
    if not _is_ending:
        os.kill(os.getpid(), signal.SIGINT)
