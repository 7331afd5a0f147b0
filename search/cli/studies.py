"""list, show, rm: what the database holds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ...errors import UsageError
from ...interrupts import defer_interrupts
from .shared import Db, Json, Study, err, messages_on, open_store, out, print_json, print_note


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("list")(list_studies)
    app.command()(show)
    app.command("rm")(remove)


def list_studies(db: Db = None, as_json: Json = False) -> None:
    """List the studies of a database."""
    with defer_interrupts():
        from ...studies.outputs import study_list
        from ...studies.outputs.study_json import listed_study_json
        from .summary import print_studies

    with open_store(db, read_only=True) as store:
        studies = study_list.list_studies(store)
        if as_json:
            print_json([listed_study_json(study) for study in studies])
        elif studies:
            print_studies(studies)
        else:
            out.print(f"No studies in {store.name}; start one with `attentune search`.")


def show(
    study: Study,
    trial: Annotated[int | None, typer.Option(help="Show this trial in detail.")] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Show all metrics of every architecture.")
    ] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Show a study's trials and its Pareto front."""
    with defer_interrupts():
        from ...studies.missing_attentions import missing_note
        from ...studies.outputs.study_json import study_json, trial_json
        from .metrics import print_metrics
        from .summary import print_summary, print_trial

    if metrics and trial is not None:
        raise UsageError("show: --trial shows the metrics of that trial; leave out --metrics")

    with open_store(db, read_only=True) as store:
        record = store.studies.get(study)
        trials = store.trials.read(record) if trial is None else [store.trials.get(record, trial)]
        match trial, as_json:
            case None, True:
                print_json(study_json(store, record))
            case None, False if metrics:
                print_metrics(store, record)
            case None, False:
                print_summary(store, record)
            case _, True:
                print_json(trial_json(store, record, trials[0]))
            case _:
                print_trial(store, record, trials[0])
        print_note(missing_note(record, trials))


def remove(
    study: Study,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    db: Db = None,
) -> None:
    """Remove a study with its trials, checkpoints and weights."""
    with defer_interrupts():
        from ..run.session import delete_study

    with messages_on(err), open_store(db) as store:
        if not yes:
            exists = any(record.name == study for record in store.studies.read_all())
            _ask_to_remove(study, len(store.trials.read(study)) if exists else 0)
        delete_study(store, study)
    out.print(f"Removed {study!r}.")


def _ask_to_remove(study: str, trials: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "rm asks for confirmation before it removes a study; add --yes in a script"
        )
    typer.confirm(f"Remove {study!r} with {trials} trials and their weights?", abort=True)
