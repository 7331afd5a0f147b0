"""Interrupts from the terminal, while code of others runs that would lose them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """An interrupt that arrives inside takes effect when the block ends.

    Libraries try imports and go on without whatever cannot be imported; some of them then take a
    KeyboardInterrupt for that, and the user's Ctrl-C is lost.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield  # a handler that is not Python's, or a thread that interrupts never reach
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            os.kill(os.getpid(), signal.SIGINT)
