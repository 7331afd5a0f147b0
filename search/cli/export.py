"""report, export-table, export: write a study as a file, a trial as a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...interrupts import defer_interrupts
from ...studies.text import formatting
from .shared import AllowChangedData, Data, Db, Study, err, messages_on, open_store, print_line


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(report)
    app.command("export-table")(export_table)
    app.command()(export)


def report(
    study: Study,
    output: Annotated[Path, typer.Option("--output", "-o", help="HTML file to write.")] = Path(
        "report.html"
    ),
    db: Db = None,
) -> None:
    """Write a study's figures and tables into one offline HTML file."""
    with defer_interrupts():
        from ...studies.outputs.report import write_report

    with open_store(db, read_only=True) as store:
        path = write_report(store, store.studies.get(study), output)
    print_line(f"Wrote {path}")


def export_table(
    study: Study,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .csv, .tsv or .parquet.")
    ],
    db: Db = None,
) -> None:
    """Write a study's trials as a table: one row a trial, one column a choice."""
    with defer_interrupts():
        from ...studies.outputs.trials_table import write_trials_table

    with open_store(db, read_only=True) as store:
        count = write_trials_table(store, store.studies.get(study), output)
    print_line(f"Wrote {formatting.plural(count, 'trial')} to {output}")


def export(
    study: Study,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to create.")],
    pick: Annotated[str, typer.Option(help="Trial to export: best, knee, or a number.")] = "best",
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Also write model.onnx; needs attentune[onnx].")
    ] = False,
    data: Data = None,
    allow_changed_data: AllowChangedData = False,
    db: Db = None,
) -> None:
    """Export a trial as a model: weights, architecture, preprocessing, model card."""
    with defer_interrupts():
        from ...studies.outputs.export import export as export_trial
        from ...studies.outputs.export import pick_trial, read_export_note

    with messages_on(err), open_store(db, read_only=True) as store:
        record = store.studies.get(study)
        trial = pick_trial(store, record, pick)
        note = read_export_note(store, record, trial)
        folder = export_trial(
            store,
            record,
            trial,
            output,
            onnx=onnx,
            data=data,
            allow_changed_data=allow_changed_data,
        )
    print_line(f"Exported trial {trial.number}, {trial.architecture}, to {folder}")
    if note is not None:
        print_line(note)
    if record.config.evaluation is not None:
        print_line(f"{folder / 'README.md'} says how to build its network.")
        return
    print_line(f'Use it with attentune.load("{folder}").')
