"""Keep Ctrl-C from being lost in code that swallows KeyboardInterrupt."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Let an interrupt that arrives inside the context take effect when the context ends.

    Some libraries try imports and continue without what cannot be imported. They treat a
    KeyboardInterrupt as a failed import, and the user's Ctrl-C would be lost.
    """
    handler = signal.getsignal(signal.SIGINT)
    if handler is None or threading.current_thread() is not threading.main_thread():
        # The handler is not one of Python's, or interrupts never reach this thread.
        yield
        return
    received: list[int] = []

    def record_signal(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    signal.signal(signal.SIGINT, record_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)  # `os.kill` would end the process on Windows.
