"""The command line in a new process, and what every end of a command must say."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .attack import Attempt

STATED_EXIT_CODES = (0, 1, 2, 130)
TRACEBACK = re.compile(r"^Traceback \(most recent call last\)", re.M)
MAX_SHOWN_CHARACTERS = 1200


@dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Attributes:
        words: after `attentune`.
        code: its exit code; None if it did not end in time and was killed.
        out, error: what it printed.
    """

    words: tuple[str, ...]
    code: int | None
    out: str
    error: str

    @property
    def shown(self) -> str:
        """The command and the end of what it printed."""
        text = (self.out + self.error)[-MAX_SHOWN_CHARACTERS:]
        return f"attentune {' '.join(map(ascii_word, self.words))} → {self.code}: {text}"


def ascii_word(word: str) -> str:
    """A word that can be printed everywhere."""
    return word if word.isascii() and word.isprintable() else ascii(word)


def start_python(
    *words: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Python in a new process, in a process group of its own, with its output in files of `cwd`.

    Args:
        words: the arguments of Python.
        cwd: the folder to run in.
        environment: variables to add.
    """
    with (cwd / "out.txt").open("wb") as out, (cwd / "error.txt").open("wb") as error:
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=error,
            start_new_session=True,
        )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started, if they still run."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_attentune(
    *words: str,
    cwd: Path,
    seconds: float = 120.0,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run `attentune` with these words in a new process; it is killed after `seconds`."""
    process = start_python("-m", "attentune", *words, cwd=cwd, environment=environment)
    try:
        code: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        end_group(process)
    return read_end(words, code, cwd)


def read_end(words: tuple[str, ...], code: int | None, cwd: Path) -> Ended:
    """The end of a process of `start_python`."""
    out, error = (
        (cwd / name).read_text("utf-8", errors="replace") for name in ("out.txt", "error.txt")
    )
    return Ended(words, code, out, error)


def check_stated(attempt: Attempt, ended: Ended) -> bool:
    """Report a command that did not say in a sentence how it ended; return whether it did."""
    if ended.code is None:
        attempt.unstated(f"did not end: {ended.shown}")
    elif TRACEBACK.search(ended.out + ended.error):
        attempt.unstated(f"traceback: {ended.shown}")
    elif ended.code not in STATED_EXIT_CODES:
        attempt.unstated(f"exit code {ended.code}: {ended.shown}")
    elif ended.code in (1, 2) and len((ended.out + ended.error).strip()) < len("Error: x"):
        attempt.unstated(f"no words: {ended.shown}")
    else:
        return True
    return False
