"""A process for the code of users, which can neither end nor block the process that asks it.

The code can end its process, never return, start others, print, or take all memory. The process
answers through a pipe; what it prints goes nowhere, and what it has started ends with it.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing import connection, process
from pathlib import Path

from ...errors import AttentionError
from ..workers.processes import describe_exit, end_process, start_process
from ..workers.worker import die_with_parent

_START_SECONDS = 120.0
"""Time for the process to import what it needs."""
_END_SECONDS = 5.0
_READY = "ready"

Serve = Callable[[connection.Connection], None]


class IsolatedProcess:
    """A process that is started when it is first needed, and again after it has ended.

    Args:
        serve: called in the process with its end of the pipe; it receives and answers.
        name: of the process.
    """

    def __init__(self, serve: Serve, name: str) -> None:
        self._serve = serve
        self._name = name
        self._process: process.BaseProcess | None = None
        self._pipe: connection.Connection | None = None

    def start(self) -> connection.Connection:
        """The pipe to the process, which is started if it does not run.

        Raises:
            AttentionError: it does not start.
        """
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self.close()
        # Python waits for processes at exit, and this one ignores requests to end, as workers do.
        atexit.register(self.close)
        self._pipe, other_end = multiprocessing.Pipe()
        self._process = start_process(_serve_in_isolation, self._serve, other_end, name=self._name)
        other_end.close()
        if not self._pipe.poll(_START_SECONDS):
            self.close()
            raise AttentionError("the process that tries attentions of users does not start")
        with contextlib.suppress(EOFError):
            self._pipe.recv()
        return self._pipe

    def describe_exit(self) -> str:
        """How the process has ended, in words."""
        assert self._process is not None
        self._process.join(_END_SECONDS)
        return describe_exit("of the check", self._process.exitcode)

    def close(self) -> None:
        """End the process, and what code has started in it."""
        atexit.unregister(self.close)
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(OSError, AttributeError):
                os.killpg(self._process.pid, signal.SIGKILL)
            end_process(self._process)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _serve_in_isolation(serve: Serve, pipe: connection.Connection) -> None:
    """The main function of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The coordinator decides what an interrupt means.
    die_with_parent()
    with contextlib.suppress(OSError, AttributeError):
        os.setsid()  # With `killpg`, processes that an attention starts end as well.
    with contextlib.suppress(OSError):  # If the memory is used up, end this process and no other.
        Path("/proc/self/oom_score_adj").write_text("1000", "utf-8")
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    pipe.send(_READY)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(pipe)
