"""A process for computations that would keep the server from responding.

Importances take seconds of Python, whatever the size of a study. In a thread they would hold the
interpreter lock that every request needs. The process starts when it is first needed, computes one
thing at a time, and ends with the server, even if the server is killed.
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
    """Calls functions in another process; functions, arguments and results are pickled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: Connection | None = None

    def call(self, function: Callable[..., Value], *arguments: object) -> Value:
        """Call a function in the process and wait for it.

        Args:
            function: a function of a module, which the process imports.
            *arguments: its arguments.

        Raises:
            EOFError: the process was killed meanwhile.
            Exception: whatever the function raises.
        """
        with self._lock:
            pipe = self._pipe or self._start()
            self._pipe = None  # If the call fails, the next one starts a new process.
            pipe.send((function, arguments))
            value, error = pipe.recv()
            self._pipe = pipe
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        server_end, process_end = context.Pipe()
        context.Process(target=_run_calls, args=(process_end,), daemon=True).start()
        process_end.close()  # Otherwise the process would not notice the end of the server.
        return server_end


def _run_calls(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the server.
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((function(*arguments), None))
        except Exception as error:  # The caller handles it.
            pipe.send((None, error))
