"""All errors that attentune raises on purpose, as one tree of exceptions.

    AttentuneError                  a stated failure, exit code 1
    ├── UsageError                  the request itself is wrong, exit code 2
    │   ├── ArchitectureError       an architecture text or value that describes no network
    │   ├── SpaceError              a search space that is malformed or empty on this backbone
    │   └── RecipeError             training settings that contradict each other
    ├── AttentionError              an attention that cannot be used where it is inserted
    ├── BackboneError               timm does not know it, or it has no site for attention
    ├── DataError                   a data source that cannot be read or used
    ├── StoreError                  the database or a file beside it
    │   ├── MissingStorageError     a database or its artifacts that are gone while in use
    │   ├── DamagedFileError        a file of tensors that is not what was written
    │   ├── InterruptedWaitError    a database server is away, and the wait for it was interrupted
    │   └── StudyError              a study that is missing, present already, or busy
    ├── MachineError                the machine failed: no space, for example, or no permission
    └── TrialError                  one trial failed; carries the kind that the database records

The library raises these; only the command line turns them into text and exit codes. Every
message is one or two plain sentences that say what is wrong and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from .sanitize import escape_unsafe

MAX_SHOWN_LENGTH = 300
MAX_SHOWN_BEFORE = 100
MAX_COMPARED_LENGTH = 100
"""Characters of a text, of what is before its wrong character, and of a misspelt word."""
FailureKind = Literal["out_of_memory", "diverged", "timeout", "worker_died", "invalid", "error"]


class AttentuneError(Exception):
    """Base of every failure that attentune states on purpose."""

    exit_code = 1


class UsageError(AttentuneError):
    """The request itself is wrong, independently of the machine."""

    exit_code = 2


class ArchitectureError(UsageError, ValueError):
    """An architecture that describes no network.

    Args:
        message: what is wrong.
        text: the architecture text, which the message then shows.
        offset: the number of characters before the wrong one, under which it shows a caret.
    """

    def __init__(self, message: str, text: str | None = None, offset: int = 0) -> None:
        self.text, self.offset = text, offset
        if text is not None:
            message = f"{message}\n{_marked(text, offset)}"
        super().__init__(message)


class SpaceError(UsageError, ValueError):
    """A search space that is malformed, or empty on this backbone."""


class RecipeError(UsageError, ValueError):
    """Training settings that are out of range or contradict each other."""


class AttentionError(AttentuneError):
    """An attention that cannot be used: it raises, hangs, or does not keep the shape of the map."""


class BackboneError(AttentuneError, ValueError):
    """A backbone that timm does not know or cannot build, or that has no site for attention."""


class DataError(AttentuneError, ValueError):
    """A data source that cannot be read, or has no images to train on."""


class StoreError(AttentuneError):
    """The database, or a file beside it, cannot be used."""


class InterruptedWaitError(StoreError):
    """A database server cannot be reached, and the wait for it was interrupted."""

    exit_code = 130


class DamagedFileError(StoreError):
    """A file of tensors that is not what was written, or does not fit the network."""


class MissingStorageError(StoreError):
    """The database or its artifacts were removed, moved or replaced while they were in use."""


class StudyError(StoreError):
    """A study that is missing, exists already, or is being run by another process."""


class MachineError(AttentuneError):
    """The machine failed, and not what it was running: no space, no permission, a lost folder.

    No trial is recorded as failed because of it. The study stops, and its unfinished trials resume
    once the cause is removed.
    """


class TrialError(AttentuneError):
    """One trial failed; `kind` is recorded in the database."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind


def _marked(text: str, offset: int) -> str:
    """The text with a caret under one character; of a long text only what is near it."""
    begin = max(0, offset - MAX_SHOWN_BEFORE) if len(text) > MAX_SHOWN_LENGTH else 0
    end = begin + MAX_SHOWN_LENGTH
    before = ("…" if begin else "") + escape_unsafe(text[begin:offset].replace("\n", " "))
    after = escape_unsafe(text[offset:end].replace("\n", " ")) + ("…" if end < len(text) else "")
    return f"  {before}{after}\n  {' ' * len(before)}^"


def did_you_mean(word: str, known: Iterable[str], *, listed: int = 8) -> str:
    """The end of an "unknown name" message: the closest names, then all names if they are few.

    >>> did_you_mean("sse", ["ca", "se"])
    "; did you mean 'se'? known: ca, se"

    Args:
        word: the unknown name.
        known: all names that exist.
        listed: all names are listed if there are at most three times this many.
    """
    names = sorted(known)
    close = []
    if len(word) <= MAX_COMPARED_LENGTH:  # Longer words take seconds.
        close = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    if len(names) <= listed * 3:
        return f"{hint} known: {', '.join(names)}" if close else f"; known: {', '.join(names)}"
    return hint
