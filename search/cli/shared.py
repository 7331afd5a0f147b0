"""What the command groups share: consoles, common options, the database, printing."""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from ...interrupts import defer_interrupts
from ...sanitize import json_text
from ...standard_streams import continue_without_output
from .console import TerminalConsole, wrap_words

if TYPE_CHECKING:
    from ...studies.database.store import Store
    from ..run.callback import Callback

out = TerminalConsole()
err = TerminalConsole(stderr=True)

Db = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="PATH|URL", help="Database. Default: $ATTENTUNE_DB, else attentune.db."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="Where the images of the study are now. Default: where they were.",
    ),
]
AllowChangedData = Annotated[
    bool,
    typer.Option(
        "--allow-changed-data",
        help="Go on although the images are not those that the study was searched on: with those "
        "that are left, in their classes and splits.",
    ),
]
Follow = Annotated[
    list[str] | None,
    typer.Option(
        "--follow",
        metavar="TRACKER",
        help="Also log every trial to an experiment tracker: tensorboard:FOLDER, mlflow[:URI] or "
        "wandb[:PROJECT]. Repeatable.",
    ),
]
Study = Annotated[str, typer.Argument(help="Name of the study.")]


def open_store(db: str | None, *, create: bool = False, read_only: bool = False) -> Store:
    """Open the database of a command.

    The import is here and not at the head of the file, so that `--help` starts without it.

    Args:
        db: a path or a URL; None: the default database.
        create: whether to create the database if it does not exist.
        read_only: whether the command only reads.
    """
    with defer_interrupts():
        from ...studies.database.store import Store

    return Store.open(db, create=create, read_only=read_only)


def followers_of(trackers: Sequence[str] | None) -> list[Callback]:
    """The callbacks that log a study to these experiment trackers, each once.

    Raises:
        UsageError: a tracker is unknown, or its package is not installed.
    """
    if not trackers:
        return []
    from ..run.followers import Follower

    return [Follower(text) for text in dict.fromkeys(trackers)]


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    typer.echo(json_text(value, indent=2))


def plain_table(*columns: str) -> Table:
    """A table without frame; a column whose name starts with `>` is right-aligned.

    Long words in the other columns continue on the next line, so that nothing is cut off.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            name.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="ellipsis" if right else "fold",
        )
    return table


class _ConsoleHandler(logging.Handler):
    """Prints messages as plain lines."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message, without level or time."""
        message = wrap_words(record.getMessage(), self._console)
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)


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


@contextlib.contextmanager
def long_command(console: Console, what_goes_on: str) -> Iterator[None]:
    """Print what the library logs, and let no loss of the output end the command.

    Args:
        console: where to print.
        what_goes_on: the end of the sentence on stderr that says that the output is lost.
    """
    with continue_without_output(what_goes_on), messages_on(console):
        yield


def print_line(line: str) -> None:
    """Print one paragraph of plain text."""
    text = "\n".join(wrap_words(each, out) for each in line.split("\n"))
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def print_note(line: str | None) -> None:
    """Print a note about the result on stderr; None prints nothing."""
    if line is not None:
        text = wrap_words(f"Note: {line}", err)
        err.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class StudyCommands:
    """The commands that are suggested for a study, ready to be copied and run."""

    study: str
    db: str | None

    def command(self, verb: str, rest: str = "") -> str:
        """`attentune VERB STUDY REST`, with the database if one was given."""
        words = ["attentune", verb, shlex.quote(self.study), rest]
        words += ["--db", shlex.quote(self.db)] if self.db else []
        return " ".join(filter(None, words))

    def exit_interrupted(
        self, reason: str, verb: str = "resume", console: Console = out, rest: str = ""
    ) -> NoReturn:
        """Print how to continue, and exit with code 130.

        Args:
            reason: one or more sentences that say why the command ended.
            verb: the command that continues.
            console: where to print.
            rest: its options.
        """
        line = f"{reason} Continue with:\n  {self.command(verb, rest)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130)

    def print_next_steps(
        self, trials: int, pick: int | None, *, until_converged: bool = False
    ) -> None:
        """Print the commands that help after a finished search.

        Args:
            trials: that have run.
            pick: the trial of the recommended architecture; None if that is the bare backbone, or
                nothing is recommended.
            until_converged: whether the plan ends the search once it has converged.
        """
        from ..run.next_command import larger_total

        steps = [(self.command("report", "-o report.html"), "view the trade-offs")]
        if pick is not None:
            steps += [
                (self.command("confirm"), "confirm with fresh seeds"),
                (self.command("export", f"--pick {pick} -o model"), "export the model"),
            ]
        larger = f"--trials {larger_total(trials)}"
        if until_converged:
            larger = f"--until trials {larger}"
        steps.append((self.command("resume", larger), "continue the search"))
        width = max(52, *(len(command) for command, _ in steps))
        lines = [f"  {command:<{width}} {purpose}" for command, purpose in steps]
        if out.is_terminal and max(map(len, lines)) > out.width:
            lines = [f"  {command}\n      {purpose}" for command, purpose in steps]
        out.print("\nNext:", style="bold")
        for line in lines:
            print_line(line)
