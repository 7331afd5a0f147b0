"""Another process, for what would keep the server from answering.

Importances take seconds of Python whatever a study's size; in a thread they would share the
interpreter with every request. The process starts when it is first needed, computes one thing at
a time, and ends with the server, however that ends.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

Value = TypeVar("Value")


class BackgroundProcess:
    """Calls functions elsewhere; they, what they are given and what they return are pickled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: Connection | None = None

    def call(self, function: Callable[..., Value], *given: object) -> Value:
        """What the function returns, or raises; EOFError if the process was killed meanwhile."""
        with self._lock:
            pipe = self._pipe or self._started()
            self._pipe = None  # a process that was lost is not asked again
            pipe.send((function, given))
            value, error = pipe.recv()
            self._pipe = pipe
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def _started(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs,), daemon=True).start()
        theirs.close()  # or the end of the server would not reach the other side
        return ours


def _serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the server
    while True:
        try:
            function, given = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((function(*given), None))
        except Exception as error:  # whatever it is belongs to the one who asked
            pipe.send((None, error))
