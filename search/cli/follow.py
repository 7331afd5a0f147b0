"""follow: log a recorded study to experiment trackers."""

from __future__ import annotations

from typing import Annotated

import typer

from ...interrupts import defer_interrupts
from ...studies.text import formatting
from .shared import Db, Study, StudyCommands, err, long_command, open_store, print_line


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(follow)


def follow(
    study: Study,
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="TRACKER",
            help="Where to log it: tensorboard:FOLDER, mlflow[:URI] or wandb[:PROJECT]. "
            "Repeatable.",
        ),
    ],
    db: Db = None,
) -> None:
    """Log a study to an experiment tracker: TensorBoard, MLflow or Weights & Biases.

    One run for each trial. A study that is running is followed until it ends; what was logged
    before is not logged again.
    """
    with defer_interrupts():
        from ...studies.followers.target import TrackerTarget
        from ..run.followers import follow as follow_study

    targets = [TrackerTarget.parse(text) for text in to]
    with long_command(err, "the study is logged. Ctrl-C stops it."):
        try:
            is_logged = follow_study(study, to, db)
        except KeyboardInterrupt:
            rest = " ".join(f"--to {target.shown}" for target in targets)
            line = StudyCommands(study, db).command("follow", rest)
            print_line(f"Stopped. Continue with:\n  {line}")
            raise typer.Exit(130) from None
    if not is_logged:
        raise typer.Exit(1)
    with open_store(db, read_only=True) as store:
        record = store.studies.get(study)
        count = len(store.trials.read(record)) + len(store.trials.read_outside_search(record))
    for target in dict.fromkeys(targets):
        print_line(f"Logged {formatting.plural(count, 'trial')} to {target.shown}")
        if (command := target.view_command) is not None:
            print_line(f"View them with: {command}")
