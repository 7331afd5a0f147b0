"""The consoles of the command line, and its messages about wrong usage.

Names and messages come from other programs and other people. What reaches a terminal is therefore
cleaned here once more, even if it was stored by an older version or changed in the database: the
terminal obeys only what the display itself writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.highlighter import ReprHighlighter
from rich.segment import Segment
from rich.text import Text
from typer.core import TyperGroup

from ...errors import MachineError
from ...sanitize import clean_text, escape_unsafe

MAX_HIGHLIGHTED_LENGTH = 500


class _ShortTextHighlighter(ReprHighlighter):
    """Colours numbers and the like in short texts: its patterns take minutes for long words."""

    def highlight(self, text: Text) -> None:
        """Add styles to a text."""
        if len(text) <= MAX_HIGHLIGHTED_LENGTH:
            super().highlight(text)


class TerminalConsole(Console):
    """A console that shows text as it is: no markup, no emoji codes, and no escape sequences."""

    def __init__(self, **settings: Any) -> None:
        plain = {"markup": False, "emoji": False, "highlighter": _ShortTextHighlighter()}
        super().__init__(**{**plain, **settings})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """The segments of anything that is shown, such as a line, a table cell or a live display.

        Args:
            renderable: what is shown.
            options: see `Console.render`.
        """
        for segment in super().render(renderable, options):
            if segment.control or (text := escape_unsafe(segment.text)) == segment.text:
                yield segment
            else:
                yield Segment(text, segment.style)


_WORD = re.compile(r"(?:`[^`]*`|\S)+")
"""A word; a command in backticks is one, so that it is copied in one piece."""


def wrap_words(line: str, console: Console) -> str:
    """A line of prose, broken between words where it would leave a terminal.

    A line that begins with a space is a command, and stays as it is; so does all that goes to a
    file or another program.
    """
    if not console.is_terminal or line.startswith(" "):
        return line
    lines = [""]
    for match in _WORD.finditer(line):
        longer = f"{lines[-1]} {match[0]}" if lines[-1] else match[0]
        if lines[-1] and cell_len(longer) > console.width:
            lines.append(match[0])
        else:
            lines[-1] = longer
    return "\n".join(lines)


class CommandGroup(TyperGroup):
    """The commands. Messages about wrong usage repeat what the user typed, so they are cleaned."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the options before the command."""
        with _cleaning_messages():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Typer would answer Ctrl-C at a question, and a lost process, "Aborted.".

        Raises:
            KeyboardInterrupt: a question was answered with Ctrl-C.
            MachineError: a process or a file that was read from ended unexpectedly.
        """
        try:
            with _cleaning_messages():
                return super().invoke(ctx)
        except typer.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise
        except EOFError as error:
            raise MachineError(
                "a process or a file that was being read has ended unexpectedly; start the command "
                "again, with `attentune --debug` if that does not help."
            ) from error


@contextmanager
def _cleaning_messages() -> Iterator[None]:
    """Clean the message of an error about usage that leaves the block."""
    try:
        yield
    except Exception as error:  # Typer does not export the base of its errors.
        message = getattr(error, "message", None)
        if isinstance(message, str):
            error.message = clean_text(message)  # type: ignore[attr-defined]
        raise
