"""db: look after the database itself, and copy studies to another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...interrupts import defer_interrupts
from .shared import Db, Json, err, messages_on, open_store, print_json, print_line

if TYPE_CHECKING:
    from ...studies.database.store import Store
    from ..run.copy_studies import CopiedStudy

BYTES_PER_MIB = 2**20

database = typer.Typer(
    name="db",
    help="Look after the database, and copy studies to another one.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(app: typer.Typer) -> None:
    """Add this group."""
    app.add_typer(database)


@database.callback()
def _group() -> None:
    """Look after the database, and copy studies to another one."""


@database.command()
def compact(db: Db = None) -> None:
    """Give the space of removed studies back, and leave one file that can be copied.

    No study may be running.
    """
    with messages_on(err), open_store(db) as store:
        before, after = (size / BYTES_PER_MIB for size in store.compact())
        print_line(f"{store.name}: {before:,.2f} MiB before, {after:,.2f} MiB now")


@database.command()
def copy(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Database that holds the studies: path or URL.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="Database to copy to; made if it is missing.")
    ],
    studies: Annotated[
        list[str] | None,
        typer.Argument(metavar="STUDY", help="Names of studies. Default: all."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy studies between SQLite and PostgreSQL, with their weights and Optuna's tables.

    Every copy is compared with its original before it is kept. A study that runs is refused.
    """
    with defer_interrupts():
        from ..run.copy_studies import copy_studies, select_studies

    copied: list[CopiedStudy] = []
    with messages_on(err), open_store(source) as original:
        records = select_studies(original, studies or ())
        with open_store(target, create=True) as copies, err.status("copying") as status:
            size = 0

            def show_progress(file_size: int) -> None:
                nonlocal size
                size += file_size
                status.update(f"copying: {size / BYTES_PER_MIB:,.1f} MiB of files")

            for study in copy_studies(original, copies, records, show_progress):
                copied.append(study)
                if not as_json:
                    _print_copied(study)
            if as_json:
                _print_copies(original, copies, copied)
                return
            folders = {copies.artifacts_of(study.name).name for study in copied}
            holders = " and ".join(sorted(folders or {str(copies.artifacts)}))
            print_line(f"{copies.name} has the copies, and {holders} their files.")


def _print_copied(study: CopiedStudy) -> None:
    from ...studies.text.formatting import plural

    files = plural(study.artifacts.files, "file")
    print_line(
        f"Copied {study.name!r}: {plural(study.trials, 'trial')}, {plural(study.rows, 'row')} in "
        f"all tables, {files} ({study.artifacts.size / BYTES_PER_MIB:,.2f} MiB); counts and sums "
        "are equal."
    )


def _print_copies(source: Store, target: Store, copied: list[CopiedStudy]) -> None:
    print_json(
        {
            "source": source.name,
            "target": target.name,
            "artifacts": str(target.artifacts),
            "studies": [
                {
                    "study": study.name,
                    "trials": study.trials,
                    "rows": study.rows,
                    "files": study.artifacts.files,
                    "bytes": study.artifacts.size,
                }
                for study in copied
            ],
        }
    )
