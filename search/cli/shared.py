"""What the command groups share: the console, common options, small prints."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

out = Console()
err = Console(stderr=True)

Db = Annotated[
    str | None,
    typer.Option("--db", metavar="PATH|URL", help="Database; else $ATTENTUNE_DB or attentune.db."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Study = Annotated[str, typer.Argument(help="Name of the study.")]


def print_json(value: Any) -> None:
    """JSON for programs, on stdout."""
    typer.echo(json.dumps(value, indent=2))


def plain_table(*columns: str) -> Table:
    """A table without frame; a column whose name starts with `>` is right-aligned."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            name.removeprefix(">"), justify="right" if right else "left", no_wrap=right
        )
    return table


class _ConsoleHandler(logging.Handler):
    """Prints messages as plain lines."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message, without level or time."""
        self._console.print(record.getMessage(), markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def messages_on(console: Console) -> Iterator[None]:
    """Print what the library logs on this console, inside the block."""
    logger = logging.getLogger(__name__.partition(".")[0])
    handler, level = _ConsoleHandler(console), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def print_line(line: str) -> None:
    """One line of plain text, wrapped by the terminal."""
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def print_note(line: str) -> None:
    """A remark beside the result, on stderr; nothing if it is empty."""
    if line:
        err.print(f"Note: {line}", markup=False, highlight=False, soft_wrap=True)
