"""`check_implementation`: compare an implementation with its paper's, whatever its code does.

The code runs in a process of its own (`plugin_checks/isolated_process.py`): it may hang, exit,
print, or leave processes behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from multiprocessing import connection
from pathlib import Path
from typing import Any

from ...errors import AttentionError, AttentuneError, UsageError
from ..plugin_checks.isolated_process import IsolatedProcess
from .report import CheckedAspect, ImplementationCheck, ImplementationReport

ASPECT_SECONDS = 60.0
"""An aspect that takes longer has failed."""
_FINISHED = None


def check_implementation(
    reference: str,
    attention: str | None = None,
    *,
    channels: int = 64,
    ratio: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    seconds: float = ASPECT_SECONDS,
) -> ImplementationReport:
    """Compare somebody's implementation of an attention with that of its paper.

    Args:
        reference: a class of modules, a function that makes one, or a module, as
            `my_module:MyCBAM`; the module is imported from the current folder or the search path.
        attention: which attention it is, such as `cbam` or `cbam(k=3)`; None: to be told by the
            name of the class.
        channels: of the map.
        ratio: reduction ratio; None: the class's own default, else the paper's.
        arguments: further arguments of the class, by name.
        seconds: for each aspect.

    Raises:
        UsageError: the reference names nothing that can be checked, or it is not clear which
            attention it is.
        AttentionError: it cannot be made or imported.
    """
    check = ImplementationCheck(
        reference, attention, channels, ratio, tuple((arguments or {}).items()), str(Path.cwd())
    )
    process = IsolatedProcess(_serve, "check of an implementation")
    try:
        return _collect(check, process, seconds)
    finally:
        process.close()


def _collect(
    check: ImplementationCheck, process: IsolatedProcess, seconds: float
) -> ImplementationReport:
    """The report from what the process says."""
    facts = ("", check.attention or "", "", "")
    aspects: list[CheckedAspect] = []
    now = "importing it"
    for event in _events(check, process, seconds):
        if isinstance(event, str):
            now = event
        elif isinstance(event, CheckedAspect):
            aspects.append(event)
        elif isinstance(event, _Lost):
            if not facts[0]:
                raise AttentionError(f"{check.reference}: while {now}, {event.reason}")
            aspects.append(CheckedAspect(now, "fails", event.reason))
        else:
            facts = event
    return ImplementationReport(check.reference, *facts, check.channels, tuple(aspects))


class _Lost:
    """The process does not answer any more."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def _events(check: ImplementationCheck, process: IsolatedProcess, seconds: float) -> Iterator[Any]:
    """What the process sends, until it has finished or is lost."""
    pipe = process.start()
    pipe.send(check)
    while True:
        try:
            if not pipe.poll(seconds):
                yield _Lost(f"it did not return within {seconds:g} s")
                return
            event = pipe.recv()
        except (EOFError, OSError):
            yield _Lost(f"it ended its process ({process.describe_exit()})")
            return
        if event is _FINISHED:
            return
        if isinstance(event, BaseException):
            raise event
        yield event


def _serve(pipe: connection.Connection) -> None:
    """Answer in the process."""
    from .examination import Identified, examine

    check: ImplementationCheck = pipe.recv()
    try:
        for event in examine(check):
            if isinstance(event, Identified):
                pipe.send((event.made_by, event.attention, event.title, event.paper))
            else:
                pipe.send(event)
    except UsageError as error:
        pipe.send(UsageError(str(error)))
    except AttentuneError as error:
        pipe.send(AttentionError(str(error)))
    pipe.send(_FINISHED)
    os._exit(0)  # Threads that the code has started must not keep the process alive.
