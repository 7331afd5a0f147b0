"""report, export: what comes out of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...studies.database.store import Store
from .shared import Db, Study, out


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(report)
    app.command()(export)


def report(
    study: Study,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path(
        "report.html"
    ),
    db: Db = None,
) -> None:
    """Write a study's figures and tables into one offline HTML file."""
    from ...studies.outputs.report import write_report

    with Store.open(db, read_only=True) as store:
        path = write_report(store, store.study(study), output)
    out.print(f"Wrote {path}", markup=False, highlight=False, soft_wrap=True)


def export(
    study: Study,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    pick: Annotated[str, typer.Option(help="best, knee, or a trial's number.")] = "best",
    db: Db = None,
) -> None:
    """Export a trial as a model: weights, architecture, model card."""
    from ...studies.outputs.export import export as write
    from ...studies.outputs.export import pick_trial

    with Store.open(db, read_only=True) as store:
        record = store.study(study)
        trial = pick_trial(store, record, pick)
        folder = write(store, record, trial, output)
    out.print(
        f"Exported trial {trial.number}, {trial.architecture}, to {folder}\n"
        f'Use it with attentune.load("{folder}").',
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
