"""`attentune`, and `python -m attentune`: the command line, with Ctrl-C answered from the start."""

from __future__ import annotations

import sys
from typing import NoReturn

from .interrupts import defer_interrupts

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        with defer_interrupts():
            from .search.cli import main as command_line
        command_line()
    except KeyboardInterrupt:
        _interrupted()
    except SystemExit as leaving:
        # Typer turns an interrupt that a command lets through into an exit without a word.
        if isinstance(getattr(leaving.__context__, "__cause__", None), KeyboardInterrupt):
            _interrupted()
        raise


def _interrupted() -> NoReturn:
    print("Interrupted.", file=sys.stderr)
    sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
