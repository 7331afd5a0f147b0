"""What attacks are made of: an attack, one run of it, its attempts, and what they found."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

Case = TypeVar("Case")

MAX_NOTES = 10
"""Faults of an attack that are described in the result; all are counted."""
MAX_TRACEBACK_CHARACTERS = 1500
"""The end of the traceback of an unexpected exception that a note keeps."""


@dataclass
class Tally:
    """What an attack has found.

    Attributes:
        tried: attempts.
        lost, wrong, unstated: faults by kind; see the package.
        notes: the first faults, each with what repeats it.
        facts: measurements to report, such as a slope of the memory.
    """

    tried: int = 0
    lost: int = 0
    wrong: int = 0
    unstated: int = 0
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def faults(self) -> int:
        """All faults together."""
        return self.lost + self.wrong + self.unstated


@dataclass
class Attempt:
    """One try of an attack.

    Attributes:
        label: repeats this attempt, together with the seed.
        random: its random numbers.
        folder: an empty folder, which is deleted afterwards unless there was a fault.
    """

    label: str
    random: random.Random
    folder: Path
    tally: Tally
    faults: int = 0

    def lost(self, what: str) -> None:
        """Report that something acknowledged is gone."""
        self.tally.lost += 1
        self._note("lost", what)

    def wrong(self, what: str) -> None:
        """Report that something recorded did not happen so."""
        self.tally.wrong += 1
        self._note("wrong", what)

    def unstated(self, what: str) -> None:
        """Report a traceback, a hang or a silent end."""
        self.tally.unstated += 1
        self._note("unstated", what)

    def note(self, what: str) -> None:
        """Add a circumstance of the last fault."""
        if self.faults and len(self.tally.notes) < MAX_NOTES:
            self.tally.notes.append(f"[{self.label}] {what}")

    def _note(self, kind: str, what: str) -> None:
        self.faults += 1
        if len(self.tally.notes) < MAX_NOTES:
            self.tally.notes.append(f"{kind}: [{self.label}] {what}")


class AttackRun:
    """One run of an attack.

    Args:
        name: of the attack; part of the seed of every attempt.
        seed: of the run.
        folder: where attempts put their files.
        seconds: no attempt begins after this time.
        max_attempts: nor after so many attempts.
        label: make only the attempt with this label.
        keep: do not delete the folders of attempts with faults.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        folder: Path,
        *,
        seconds: float = float("inf"),
        max_attempts: int | None = None,
        label: str | None = None,
        keep: bool = False,
    ) -> None:
        self.name, self.seed, self.folder, self.label, self.keep = name, seed, folder, label, keep
        self.max_attempts = max_attempts
        self.tally = Tally()
        self._ends = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until no attempt begins any more."""
        return max(0.0, self._ends - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether no further attempt should begin."""
        enough = self.max_attempts is not None and self.tally.tried >= self.max_attempts
        return enough or self.seconds_left <= 0

    def steps(self) -> Iterator[int]:
        """0, 1, 2, … until the run is over."""
        if self.label is not None:
            yield int(self.label.removeprefix("step "))
            return
        yield from itertools.takewhile(lambda _: not self.is_over, itertools.count())

    def each(self, cases: Sequence[Case]) -> Iterator[Case]:
        """The cases, in a random order, until the run is over."""
        order = [case for case in cases if self.label in (None, label_of(case))]
        self._random("order of the cases").shuffle(order)
        yield from itertools.takewhile(lambda _: not self.is_over, order)

    @contextlib.contextmanager
    def attempt(self, case: object) -> Iterator[Attempt]:
        """One try, in which an exception is reported as unstated.

        Args:
            case: what `steps` or `each` yielded. Its text is different for every attempt of the
                attack, and the same in every run.
        """
        label = label_of(case)
        folder = self.folder / hashlib.sha256(label.encode(errors="replace")).hexdigest()[:12]
        folder.mkdir(parents=True)
        attempt = Attempt(label, self._random(label), folder, self.tally)
        self.tally.tried += 1
        try:
            yield attempt
        except Exception:
            attempt.unstated(traceback.format_exc()[-MAX_TRACEBACK_CHARACTERS:])
        finally:
            if not (self.keep and attempt.faults):
                shutil.rmtree(folder, ignore_errors=True)

    def _random(self, label: str) -> random.Random:
        return random.Random(f"{self.seed} {self.name} {label}")


def label_of(case: object) -> str:
    """The text that repeats an attempt with `--label`."""
    return f"step {case}" if isinstance(case, int) else str(case)


@dataclass(frozen=True)
class Attack:
    """An attack, as the suite runs it.

    Attributes:
        name: in the table of results.
        title: what is tried, in a few words.
        function: makes the attempts.
        weight: its part of the time of `make chaos`.
        short: attempts in the normal tests; 0 if even one takes too long.
    """

    name: str
    title: str
    function: Callable[[AttackRun], None]
    weight: float = 1.0
    short: int = 0
