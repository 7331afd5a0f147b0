"""search, resume: start a study, or go on with one."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from ...studies.database.store import Store
from ...studies.records import StudyRecord
from .options import plan_options, search_options
from .shared import Db, Study, messages_on, out
from .summary import print_summary


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(search)
    app.command()(resume)


@search_options
def search(
    study: Annotated[str, typer.Argument(help="A name for the study.")],
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with any of these settings; options take precedence."),
    ] = None,
    db: Db = None,
    **settings: Any,
) -> None:
    """Start a study: search for the best attention, ratio and position."""
    from ..run.session import create_study
    from ..setup.request import read_request
    from .progress import decoding

    request = read_request(settings, config)
    with messages_on(out), Store.open(db, create=True) as store:
        with decoding(out) as progress:
            command = shlex.join(["attentune", *sys.argv[1:]])
            record = create_study(store, study, request, progress, command)
        _run(store, record, db)


@plan_options("trials", "budget", "device_budget", "workers", "device")
def resume(study: Study, db: Db = None, **settings: Any) -> None:
    """Continue a study where it stopped; trials and budgets are totals over all runs.

    Unfinished trials continue from their last epoch.
    """
    from ..run.session import update_plan
    from ..setup.request import read_plan_changes

    changes = read_plan_changes(settings)
    with Store.open(db) as store:
        record = update_plan(store, store.study(study), **changes)
        _run(store, record, db)


def _run(store: Store, record: StudyRecord, db: str | None) -> None:
    from ..run.session import run_study
    from .progress import watching

    commands = StudyCommands(record.name, db)
    try:
        ending = run_study(store, record, lambda coordinator: watching(coordinator, out))
    except KeyboardInterrupt:
        commands.interrupted(
            "Ended at once; finished trials are saved, running ones go on from their last "
            "checkpoint."
        )
    if not ending.finished:
        commands.interrupted(f"Stopped after {ending.trials} trials; everything is saved.")
    print_summary(store, record)
    if not any(trial.state == "complete" for trial in store.trials(record)):
        raise typer.Exit(1)
    commands.next_steps()


@dataclass(frozen=True)
class StudyCommands:
    """Commands that are printed for a study; the user can copy and run them as they are."""

    study: str
    db: str | None

    def command(self, verb: str, rest: str = "") -> str:
        """`attentune VERB STUDY REST`, with the database if one was given."""
        words = ["attentune", verb, shlex.quote(self.study), rest]
        words += ["--db", shlex.quote(self.db)] if self.db else []
        return " ".join(filter(None, words))

    def interrupted(self, how: str, verb: str = "resume", console: Console = out) -> NoReturn:
        """Say how to go on, and leave."""
        line = f"{how} Go on with:\n  {self.command(verb)}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(130)

    def next_steps(self) -> None:
        """What one does with a finished study."""
        steps = (
            (self.command("report", "-o report.html"), "look at the trade-offs"),
            (self.command("confirm"), "test it with fresh seeds"),
            (self.command("export", "--pick knee -o model"), "take a model along"),
            (self.command("resume", "--trials 100"), "search on"),
        )
        width = max(52, *(len(command) for command, _ in steps))
        out.print("\nNext:", style="bold")
        for command, why in steps:
            line = f"  {command:<{width}} {why}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
