"""confirm: test the result of a search with fresh seeds on the test split."""

from __future__ import annotations

from typing import Annotated

import typer

from ...interrupts import defer_interrupts
from .shared import (
    AllowChangedData,
    Data,
    Db,
    Follow,
    Json,
    Study,
    StudyCommands,
    err,
    followers_of,
    long_command,
    open_store,
    out,
    print_json,
)

RECORDED = "the confirmation continues and is recorded. Ctrl-C stops it."


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(confirm)


def confirm(
    study: Study,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of finalists from the Pareto front; the knee is added. Default: 3."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Fresh seeds per architecture and split. Default: 5.")
    ] = None,
    splits: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Splits into training, validation and test images, where the data have no test "
            "split of their own. Default: 1.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs per trial. Default: 2.5 times the search's.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials that run at the same time. Default: the search's."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps. Default: the search's."),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="Where workers run: local or ray. Default: the search's.")
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Ray cluster: auto, HOST:PORT or local. Default: the search's."),
    ] = None,
    gpus_per_trial: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="GPUs on which each trial is trained, with every batch divided among them, for "
            "large backbones. Default: 1.",
        ),
    ] = None,
    alternatives: Annotated[
        bool | None,
        typer.Option(
            "--alternatives/--no-alternatives",
            help="Also confirm the alternatives to attention. Default: if the search trains them.",
        ),
    ] = None,
    data: Data = None,
    allow_changed_data: AllowChangedData = False,
    follow: Follow = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Retrain finalists and baselines with fresh seeds, and judge them on the test split.

    An interrupted confirmation continues; a finished one is shown again.
    """
    with defer_interrupts():
        from ...studies.analysis.confirmation import confirmation_json
        from ...studies.outputs.alternatives import read_confirmed_alternatives
        from ...studies.text.confirmation import conclusion, confirmation_warnings
        from ..run.confirm import ConfirmRequest, read_confirmation
        from ..run.data_options import DataOptions
        from ..run.session import confirm_study
        from .progress import LiveDisplay
        from .summary import print_confirmation

    followers = followers_of(follow)
    console = err if as_json else out
    commands = StudyCommands(study, db)
    rest = f"--gpus-per-trial {gpus_per_trial}" if (gpus_per_trial or 1) > 1 else ""
    with long_command(console, RECORDED), open_store(db) as store:
        try:
            outcome = confirm_study(
                store,
                store.studies.get(study),
                ConfirmRequest(
                    top,
                    seeds,
                    splits,
                    epochs,
                    workers,
                    device,
                    alternatives,
                    pool,
                    ray_address,
                    gpus_per_trial,
                ),
                [LiveDisplay(console), *followers],
                DataOptions(data, allow_changed_data),
            )
        except KeyboardInterrupt:
            commands.exit_interrupted(
                "Stopped immediately. Finished trials are saved.", "confirm", console, rest
            )
        confirmation = read_confirmation(store, study)
        record = store.studies.get(study)
        confirmed = read_confirmed_alternatives(store, record, confirmation)
    if confirmation is None or not outcome.finished:
        commands.exit_interrupted(outcome.sentence, "confirm", console, rest)
    if as_json:
        warnings = confirmation_warnings(confirmation)
        printed = confirmation_json(confirmation, conclusion(confirmation), warnings)
        print_json({**printed, "alternatives": [a.to_json() for a in confirmed]})
    else:
        print_confirmation(confirmation, confirmed, console)
    if not confirmation.contenders:
        raise typer.Exit(1)
