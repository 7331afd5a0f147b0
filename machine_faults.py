"""Tell the faults of the machine from those of a trial.

A disk that is full, a file system that became read-only, a missing permission, an I/O error, or a
folder that was removed under a running study say nothing about the architecture that was training.
`machine_fault` finds such a cause in an exception, also where a library has turned the operating
system's error into text: safetensors raises `SafetensorError: … (os error 28)`, torch's writer a
`RuntimeError`, and SQLite `database or disk is full`.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from .errors import MachineError

MACHINE_ERRNOS = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES",
        "EDQUOT",
        "EFBIG",
        "EIO",
        "ELOOP",
        "EMFILE",
        "ENAMETOOLONG",
        "ENFILE",
        "ENODEV",
        "ENOSPC",
        "ENOTCONN",
        "ENXIO",
        "EPERM",
        "EREMOTEIO",
        "EROFS",
        "ETIMEDOUT",
    )
    if hasattr(errno, name)
)
"""Errors of the operating system that are never the fault of a trial."""
FOLDER_ERRNOS = frozenset(
    getattr(errno, name) for name in ("ENOENT", "ENOTDIR", "ESTALE") if hasattr(errno, name)
)
"""Errors that say that a path is gone. They are the machine's fault if it is a path of the study;
an attention of the user's that opens a missing file has itself to blame."""
SQLITE_CODES = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
"""Primary result codes of SQLite for a disk that is full, broken, read-only, or gone."""
SQL_STATES = frozenset({"53100", "58030", "25006"})
"""PostgreSQL's codes for a full disk, an I/O error, and a server that only lets read."""
OS_ERROR_TEXT = re.compile(r"\bos error (\d+)\b|\[Errno (\d+)\]")
"""How Rust (safetensors) and Python write an error number into a text."""
TEXTS = (
    *(os.strerror(number) for number in sorted(MACHINE_ERRNOS - {errno.EPERM, errno.EACCES})),
    "database or disk is full",
    "PytorchStreamWriter failed writing",
    "unexpected pos",
    "iostream error",
)
"""Texts by which a library reports the operating system's error without its number."""


def machine_fault(error: BaseException, folders: Sequence[Path] = ()) -> str | None:
    """What is wrong with the machine, as a sentence without its full stop; None if nothing is.

    Args:
        error: an exception; its causes and contexts are searched too.
        folders: folders of the study, whose absence is a fault of the machine.
    """
    for cause in _causes(error):
        if isinstance(cause, MachineError):
            return str(cause).rstrip(".")
        if reason := _os_fault(cause, folders) or _library_fault(cause, folders):
            return reason
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that led to it, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        related = [cause.__cause__, None if cause.__suppress_context__ else cause.__context__]
        # SQLAlchemy keeps the driver's exception in `orig`.
        related.append(getattr(cause, "orig", None))
        if isinstance(cause, BaseExceptionGroup):
            related += cause.exceptions
        waiting += [item for item in related if isinstance(item, BaseException)]


def _os_fault(error: BaseException, folders: Sequence[Path]) -> str | None:
    if not isinstance(error, OSError) or error.errno is None:
        return None
    name = None if error.filename is None else os.fsdecode(error.filename)
    if error.errno in FOLDER_ERRNOS:
        if name is None or not any(Path(name).is_relative_to(folder) for folder in folders):
            return None
    elif error.errno not in MACHINE_ERRNOS:
        return None
    reason = os.strerror(error.errno)
    return reason if name is None else f"{reason}: {name}"


def _library_fault(error: BaseException, folders: Sequence[Path]) -> str | None:
    if isinstance(error, sqlite3.Error):
        # The lower byte is the primary code of an extended one.
        code = getattr(error, "sqlite_errorcode", None)
        return str(error) if code is not None and code & 0xFF in SQLITE_CODES else None
    if getattr(error, "sqlstate", None) in SQL_STATES:
        return str(error).strip().splitlines()[0]
    if type(error).__name__ not in ("SafetensorError", "RuntimeError"):
        return None
    text = str(error).strip()
    if match := OS_ERROR_TEXT.search(text):
        number = int(match[1] or match[2])
        gone = number in FOLDER_ERRNOS and any(str(folder) in text for folder in folders)
        return text.splitlines()[0] if gone or number in MACHINE_ERRNOS else None
    return text.splitlines()[0] if any(known in text for known in TEXTS) else None
