"""The process in which users' attentions are tried, so that none can end or block a search.

An attention can end its process, never return, or take all memory. The coordinator of a search asks
here what one costs at a site, and gets an answer or an AttentionError in any case.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import lru_cache
from multiprocessing import connection

from ...errors import AttentionError
from ...spaces.attentions.plugins.environment import PLUGINS_VARIABLE
from ..costs import AttentionUse
from ..results import Costs
from .isolated_process import IsolatedProcess

CHECK_SECONDS = 60.0
"""A check that takes longer has failed."""
MAX_LOST_CHECKS = 2
"""An attention that so often ended its process, or did not return, is not tried again."""
SECONDS_BEFORE_MESSAGE = 3.0
"""A check that takes longer is announced."""

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
        self._process = IsolatedProcess(_answer_checks, "plug-in check")

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
        pipe = self._process.start()
        try:
            pipe.send(use)
            if not pipe.poll(min(SECONDS_BEFORE_MESSAGE, self._seconds)):
                logger.info("trying the attention %r on maps of %s …", use.name, use.shown)
                if not pipe.poll(max(0.0, self._seconds - SECONDS_BEFORE_MESSAGE)):
                    return self._lose(use, f"it did not return within {self._seconds:g} s")
            answer: Costs | str = pipe.recv()
            return answer
        except (EOFError, OSError):
            return self._lose(use, self._process.describe_exit())
        except BaseException:  # An interrupt: the answer that is on its way must not be the next.
            self.close()
            raise

    def _lose(self, use: AttentionUse, reason: str) -> str:
        self.close()
        answer = f"on a map of {use.shown}, {reason}"
        self._lost.setdefault(use.name, []).append(answer)
        return answer

    def close(self) -> None:
        """End the process, and what an attention has started in it."""
        self._process.close()


def plugin_checker() -> PluginChecker:
    """The checker that all parts of this process share."""
    return _checker_of(os.environ.get(PLUGINS_VARIABLE, ""), tuple(sys.path))


@lru_cache(maxsize=1)
def _checker_of(_modules: str, _search_path: tuple[str, ...]) -> PluginChecker:
    return PluginChecker()


def _answer_checks(pipe: connection.Connection) -> None:
    """Answer in the process, until the pipe is closed."""
    from .check import PluginChecks

    checks = PluginChecks()
    while True:
        use: AttentionUse = pipe.recv()
        try:
            pipe.send(checks.check_use(use))
        except AttentionError as error:
            pipe.send(str(error))
