"""list, show, rm: what the database holds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.text import Text

from ...errors import UsageError
from ...studies.database.store import Store
from ...studies.missing_attentions import missing_note
from ...studies.text import formatting
from .shared import Db, Json, Study, out, plain_table, print_json, print_note
from .summary import print_summary, print_trial, study_json, summary_json, trial_json


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("list")(list_studies)
    app.command()(show)
    app.command("rm")(remove)


def list_studies(db: Db = None, as_json: Json = False) -> None:
    """List the studies of a database."""
    with Store.open(db, read_only=True) as store:
        summaries = store.summaries()
        if as_json:
            print_json([summary_json(summary) for summary in summaries])
            return
        if not summaries:
            out.print(f"No studies in {store.name}; start one with `attentune search`.")
            return
        table = plain_table(
            "study", "backbone", ">trials", ">pruned", ">failed", ">best", "last change"
        )
        for summary in summaries:
            counts, best = summary.counts, summary.best_accuracy
            table.add_row(
                Text(summary.study.name),
                Text(summary.study.backbone),
                str(counts.get("complete", 0)),
                str(counts.get("pruned", 0)),
                str(counts.get("failed", 0)),
                formatting.percent(best),
                f"{summary.last_activity.astimezone():%Y-%m-%d %H:%M}",
            )
        out.print(table)


def show(
    study: Study,
    trial: Annotated[int | None, typer.Option(help="Show one trial in full.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Show a study's trials and its Pareto front."""
    with Store.open(db, read_only=True) as store:
        record = store.study(study)
        trials = store.trials(record) if trial is None else [store.trial(record, trial)]
        if trial is not None:
            if as_json:
                print_json(trial_json(store, record, trials[0]))
            else:
                print_trial(store, record, trials[0])
        elif as_json:
            print_json(study_json(store, record))
        else:
            print_summary(store, record)
        print_note(missing_note(record, trials))


def remove(
    study: Study,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    db: Db = None,
) -> None:
    """Remove a study with its trials, checkpoints and weights."""
    with Store.open(db) as store:
        record = store.study(study)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("rm asks before it removes a study; add --yes in a script")
            count = len(store.trials(record))
            typer.confirm(f"Remove {study!r} with {count} trials and their weights?", abort=True)
        from ..run.optuna_study import delete_optuna_study

        store.delete_study(study)
        delete_optuna_study(store, study)
        out.print(f"Removed {study!r}.", markup=False)
