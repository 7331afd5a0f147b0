"""The follower of a study as a process of its own, and what its parent knows of it.

It is a process and not a thread, because what a tool does then cannot touch the search: hang,
crash, take the interpreter's lock, start threads, handle signals, or wait at exit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

from ..database.sqlite_file import VARIABLE as DATABASE_VARIABLE
from . import child_process
from .target import TrackerTarget

SECONDS_BEFORE_MESSAGE = 2.0
"""A wait for a follower that takes longer is said."""
KILL_SECONDS = 5.0

logger = logging.getLogger(__name__)


class FollowerProcess:
    """A process that logs one study to one tracker."""

    def __init__(self, study: str, database: str, target: TrackerTarget, follows: str) -> None:
        """Start the process.

        Args:
            study: its name.
            database: the URL of its database, password included.
            target: where it is logged.
            follows: `child_process.SEARCH`, until `end` is called; or `child_process.STUDY`, until
                no process runs the study.

        Raises:
            OSError: the process cannot be started.
        """
        self._study, self._target = study, target
        self._is_ending = False
        search_path = [entry or str(Path.cwd()) for entry in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", child_process.__name__, study, str(target), follows],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **target.environment,
                **os.environ,
                # Not among the arguments, which other users of the machine can read.
                DATABASE_VARIABLE: database,
                "PYTHONPATH": os.pathsep.join(search_path),
                "PYTHONIOENCODING": "utf-8",
            },
            start_new_session=True,  # So that a terminal's Ctrl-C does not end it.
        )
        self._reader = threading.Thread(target=self._pass_on_messages, daemon=True)
        self._reader.start()

    def _pass_on_messages(self) -> None:
        """Log the messages of the process, and say if it ends too early."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                text = line.decode("utf-8", "replace").rstrip("\n")
                level = logging.INFO if text[:1] == child_process.INFO else logging.WARNING
                logger.log(level, "%s", text[1:])
        code = self._process.wait()
        if code not in child_process.STATED_EXIT_CODES and not self._is_ending:
            logger.warning(
                "%s: the process that logs to it has ended (exit code %d). The study goes on; %s",
                self._target.shown,
                code,
                self._advice,
            )

    @property
    def _advice(self) -> str:
        words = ["attentune", "follow", shlex.quote(self._study)]
        words += ["--to", shlex.quote(self._target.shown)]
        return f"`{' '.join(words)}` logs what is missing."

    def wait(self) -> bool:
        """Wait until the process ends by itself; whether everything is logged."""
        code = self._process.wait()
        self._reader.join()
        return code == 0

    def end(self, seconds: float) -> bool:
        """Let the process log what is recorded, and end it; whether everything is logged.

        Args:
            seconds: how long to wait for it. Then it is killed.
        """
        was_running, self._is_ending = self._process.poll() is None, True
        self._close_stdin()
        try:
            is_logged = self._wait(seconds) == 0
        finally:
            self.kill()
        if was_running and not is_logged:
            logger.warning("%s: not everything is logged; %s", self._target.shown, self._advice)
        return is_logged

    def _wait(self, seconds: float) -> int | None:
        """The exit code; None if the process still runs after so many seconds."""
        before_message = min(SECONDS_BEFORE_MESSAGE, seconds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(before_message)
        logger.info("waiting for %s, for up to %.0f s …", self._target.shown, seconds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds - before_message)
        return None

    def kill(self) -> None:
        """End the process at once, with those that it has started."""
        self._close_stdin()
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                with contextlib.suppress(OSError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)
        self._reader.join(KILL_SECONDS)

    def _close_stdin(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
