"""db: look after the database itself."""

from __future__ import annotations

import typer

from .shared import Db, err, messages_on, open_store, print_line

BYTES_PER_MIB = 2**20

database = typer.Typer(
    name="db",
    help="Look after the database.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(database)


@database.callback()
def _group() -> None:
    """Look after the database."""


@database.command()
def compact(db: Db = None) -> None:
    """Give the space of removed studies back, and leave one file that can be copied.

    No study may be running.
    """
    with messages_on(err), open_store(db) as store:
        before, after = (size / BYTES_PER_MIB for size in store.compact())
        print_line(f"{store.name}: {before:,.2f} MiB before, {after:,.2f} MiB now")
