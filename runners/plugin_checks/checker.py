"""The process in which users' attentions are tried, so that none can end or block a search.

An attention can end its process, never return, or take all memory. The coordinator of a search asks
here what one costs at a site, and gets an answer or an AttentionError in any case.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import sys
from functools import lru_cache
from multiprocessing import connection, process
from pathlib import Path

from ...errors import AttentionError
from ...spaces.attentions.plugins.environment import PLUGINS_VARIABLE
from ..costs import AttentionUse
from ..results import Costs
from ..workers.processes import describe_exit, end_process, start_process
from ..workers.worker import die_with_parent

CHECK_SECONDS = 60.0
"""A check that takes longer has failed."""
MAX_LOST_CHECKS = 2
"""An attention that so often ended its process, or did not return, is not tried again."""
SECONDS_BEFORE_MESSAGE = 3.0
"""A check that takes longer is announced."""
_START_SECONDS = 120.0
"""Time for the process to import what it needs."""

logger = logging.getLogger(__name__)


class PluginChecker:
    """Answers what attentions of users cost, and remembers every answer.

    Args:
        seconds: for one check.
    """

    def __init__(self, seconds: float = CHECK_SECONDS) -> None:
        self._seconds = seconds
        self._answers: dict[AttentionUse, Costs | str] = {}
        self._lost: dict[str, list[str]] = {}
        self._process: process.BaseProcess | None = None
        self._pipe: connection.Connection | None = None

    def __call__(self, use: AttentionUse) -> Costs:
        """Parameters and MACs of an attention at a site.

        Raises:
            AttentionError: it cannot be used there.
        """
        if use not in self._answers:
            lost = self._lost.get(use.name, [])
            self._answers[use] = lost[-1] if len(lost) >= MAX_LOST_CHECKS else self._check(use)
        answer = self._answers[use]
        if isinstance(answer, str):
            raise AttentionError(answer)
        return answer

    def _check(self, use: AttentionUse) -> Costs | str:
        pipe = self._start()
        try:
            pipe.send(use)
            if not pipe.poll(min(SECONDS_BEFORE_MESSAGE, self._seconds)):
                logger.info("trying the attention %r on maps of %s …", use.name, use.shown)
                if not pipe.poll(max(0.0, self._seconds - SECONDS_BEFORE_MESSAGE)):
                    return self._lose(use, f"it did not return within {self._seconds:g} s")
            answer: Costs | str = pipe.recv()
            return answer
        except (EOFError, OSError):
            assert self._process is not None
            self._process.join(5.0)
            cause = describe_exit("of the check", self._process.exitcode)
            return self._lose(use, cause)
        except BaseException:  # An interrupt: the answer that is on its way must not be the next.
            self.close()
            raise

    def _lose(self, use: AttentionUse, reason: str) -> str:
        self.close()
        answer = f"on a map of {use.shown}, {reason}"
        self._lost.setdefault(use.name, []).append(answer)
        return answer

    def _start(self) -> connection.Connection:
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self.close()
        # Python waits for processes at exit, and this one ignores requests to end, as workers do.
        atexit.register(self.close)
        self._pipe, other_end = multiprocessing.Pipe()
        self._process = start_process(_answer_checks, other_end, name="plug-in check")
        other_end.close()
        if not self._pipe.poll(_START_SECONDS):
            self.close()
            raise AttentionError("the process that tries attentions of users does not start")
        with contextlib.suppress(EOFError):
            self._pipe.recv()
        return self._pipe

    def close(self) -> None:
        """End the process, and what an attention has started in it."""
        atexit.unregister(self.close)
        if self._process is not None and self._process.pid is not None:
            with contextlib.suppress(OSError, AttributeError):
                os.killpg(self._process.pid, signal.SIGKILL)
            end_process(self._process)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def plugin_checker() -> PluginChecker:
    """The checker that all parts of this process share."""
    return _checker_of(os.environ.get(PLUGINS_VARIABLE, ""), tuple(sys.path))


@lru_cache(maxsize=1)
def _checker_of(_modules: str, _search_path: tuple[str, ...]) -> PluginChecker:
    return PluginChecker()


def _answer_checks(pipe: connection.Connection) -> None:
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

    from .check import PluginChecks

    checks = PluginChecks()
    pipe.send("ready")
    while True:
        try:
            use: AttentionUse = pipe.recv()
            try:
                pipe.send(checks.check_use(use))
            except AttentionError as error:
                pipe.send(str(error))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
