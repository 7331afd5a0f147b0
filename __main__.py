"""`attentune`, and `python -m attentune`: the command line.

An interrupt prints one sentence instead of a traceback, even while modules are being imported.
"""

from __future__ import annotations

import contextlib
import sys
from typing import NoReturn

from .interrupts import (
    defer_interrupts,
    end_on_interrupt,
    handle_interrupts,
    raise_no_more_interrupts,
)

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    handle_interrupts()
    try:
        _run_command_line()
    except KeyboardInterrupt:
        # While an interrupt is on its way, Python may have dropped it elsewhere too, and it is
        # repeated; so another one may arrive here.
        with contextlib.suppress(KeyboardInterrupt):
            _exit_interrupted()
        _exit_interrupted()


def _run_command_line() -> None:
    try:
        with defer_interrupts():
            from .search.cli import main as command_line
        command_line()
    except SystemExit as ending:
        end_on_interrupt(ending.code if isinstance(ending.code, int) else 0)
        # Typer turns an interrupt that a command does not catch into an exit without a message.
        if isinstance(getattr(ending.__context__, "__cause__", None), KeyboardInterrupt):
            _exit_interrupted()
        raise


def _exit_interrupted() -> NoReturn:
    raise_no_more_interrupts()
    with contextlib.suppress(OSError):  # The terminal has been closed.
        print("Interrupted.", file=sys.stderr, flush=True)
    end_on_interrupt(EXIT_INTERRUPTED)  # Not before, since that must not keep this from being said.
    sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
