"""The process that logs a study to one tracker; `follower_process.FollowerProcess` starts it.

    python -m attentune.studies.followers.child_process STUDY TARGET search|study

The database is named by $ATTENTUNE_DB. Each line on stdout is a message for the log of the parent:
a letter for its level, and the text. What the tool itself prints goes nowhere. The process ends
after the end of its stdin (with what was recorded until then), so also if its parent is killed; if
it follows a `study` and not a `search`, it also ends once no process runs the study.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TextIO

from ...errors import AttentuneError
from ...interrupts import SIGNALS
from ...machine_faults import machine_fault
from ...sanitize import clean_error
from ..database.connection import TransientError
from ..database.store import Store
from .follow import StudyFollower
from .target import TrackerTarget
from .tracker import open_tracker

SECONDS_BETWEEN_READINGS = 2.0
READING_SHARE = 0.05
"""Of the time is spent on reading a long study again and again, at most."""
RETRY_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Pauses after the first errors in a row; the last one for all further ones."""
NICENESS = 10
INFO, WARNING = "I", "W"
SEARCH, STUDY = "search", "study"
STATED_EXIT_CODES = (0, 1)
"""All is logged; or a message has said why not. A process with another code has crashed."""


class FollowerLoop:
    """Follows a study until it is told to end."""

    def __init__(
        self,
        follower: StudyFollower,
        target: TrackerTarget,
        messages: TextIO,
        *,
        while_running: bool,
    ) -> None:
        """Follow a study.

        Args:
            follower: of the study.
            target: to which it is logged, for messages.
            messages: where lines for the log of the parent go.
            while_running: whether to end by itself once no process runs the study.
        """
        self._follower, self._target, self._messages = follower, target, messages
        self._while_running = while_running
        self._ends = threading.Event()
        self._errors = 0

    def end_with_stdin(self) -> None:
        """Ask the loop to end once stdin has ended."""
        with contextlib.suppress(OSError, ValueError):
            sys.stdin.buffer.read()
        self._ends.set()

    def run(self) -> int:
        """Follow; the exit code is 0 if all that was recorded is logged."""
        while True:
            # Asked before reading, so that what is recorded before the end is read.
            is_last = self._ends.is_set() or self._study_has_ended()
            began = time.monotonic()
            succeeded = self._update(is_last)
            if is_last:
                return 0 if self._close() and succeeded else 1
            pause = max(SECONDS_BETWEEN_READINGS, (time.monotonic() - began) / READING_SHARE)
            if not succeeded:
                pause = RETRY_SECONDS[min(self._errors, len(RETRY_SECONDS)) - 1]
            self._ends.wait(pause)

    def _study_has_ended(self) -> bool:
        """Whether it ends by itself now; also if the study cannot be read any more.

        A server that was restarted can be read again soon.
        """
        try:
            return self._while_running and not self._follower.is_running()
        except TransientError:
            return False
        except AttentuneError:
            return True

    def _update(self, is_last: bool) -> bool:
        """Log what is new; an error is said once, until logging succeeds again."""
        try:
            self._follower.update()
        except Exception as error:
            self._errors += 1
            if self._errors == 1:
                what_follows = "" if is_last else " It is tried again; the study goes on."
                self._say(WARNING, f"{self._target.shown}: {_reason(error)}.{what_follows}")
            return False
        if self._errors:
            self._errors = 0
            self._say(INFO, f"{self._target.shown}: logging goes on, and nothing is missing.")
        return True

    def _close(self) -> bool:
        try:
            self._follower.close()
        except Exception as error:
            self._say(WARNING, f"{self._target.shown}: {_reason(error)}")
            return False
        return True

    def _say(self, level: str, text: str) -> None:
        write_message(self._messages, level, text)


def write_message(messages: TextIO, level: str, text: str) -> None:
    """Write one line for the log of the parent.

    Args:
        messages: the stream that the parent reads.
        level: `INFO` or `WARNING`.
        text: of the message; it becomes one line.
    """
    with contextlib.suppress(OSError, ValueError):  # The parent may be gone.
        messages.write(level + " ".join(text.split()) + "\n")
        messages.flush()


def _reason(error: Exception) -> str:
    if isinstance(error, AttentuneError):
        return str(error).rstrip(".")
    return (machine_fault(error) or clean_error(error)).rstrip(".")


def _reserve_stdout() -> TextIO:
    """The stream for messages; what else is printed in this process goes nowhere."""
    messages = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
    return messages


def main(study: str, target_text: str, follows: str) -> int:
    """Follow a study; see the head of this file.

    Args:
        study: its name in the database of $ATTENTUNE_DB.
        target_text: as `TrackerTarget.parse` reads it.
        follows: `search` or `study`.
    """
    for number in SIGNALS:
        if number != getattr(signal, "SIGTERM", None):
            signal.signal(number, signal.SIG_IGN)  # The parent decides what an interrupt means.
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICENESS)
    messages = _reserve_stdout()
    target = TrackerTarget.parse(target_text)
    try:
        with Store.open(None, read_only=True) as store:
            follower = StudyFollower(store, study, lambda record: open_tracker(target, record))
            loop = FollowerLoop(follower, target, messages, while_running=follows == STUDY)
            threading.Thread(target=loop.end_with_stdin, daemon=True).start()
            return loop.run()
    except Exception as error:
        write_message(messages, WARNING, f"{target.shown}: {_reason(error)}.")
        return 1


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    # Threads and exit handlers of the tools may hang; everything has been written.
    sys.stdout.flush()
    os._exit(code)
