"""search, resume: start a study, or continue one."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...errors import StoreError, UsageError
from ...interrupts import defer_interrupts
from .options_from_settings import plan_options, search_options
from .shared import (
    AllowChangedData,
    Data,
    Db,
    Follow,
    Study,
    StudyCommands,
    followers_of,
    long_command,
    open_store,
    out,
)

if TYPE_CHECKING:
    from ...studies.database.store import Store
    from ...studies.records import StudyRecord
    from ..run.callback import Callback
    from ..run.data_options import DataOptions

SETTING_UP = "setting up the study"
EXAMPLE = """a search needs a name, a backbone and images, such as
  attentune search mine --backbone resnet18 --data photos
where photos is a folder with a folder of images for each class. Without images of your own, try
  attentune search first --backbone resnet6_050 --data cued-digits --trials 4 --epochs 2
attentune search --help lists all settings."""
RECORDED = "the search continues and is recorded. Ctrl-C stops it."


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(search)
    app.command()(resume)


@search_options
def search(
    study: Annotated[
        str | None, typer.Argument(help="A name for the study.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with any of these settings; options take precedence."),
    ] = None,
    follow: Follow = None,
    db: Db = None,
    **settings: Any,
) -> None:
    """Start a study: search for the best attention, ratio and position."""
    if study is None:
        raise UsageError(EXAMPLE)
    with defer_interrupts(), out.status("starting"):
        from ..run.session import create_study
        from ..setup.request import read_request
        from .progress import decoding_progress

    request = read_request(settings, config)
    followers = followers_of(follow)
    with long_command(out, RECORDED), open_store(db, create=True) as store:
        command = shlex.join(["attentune", *sys.argv[1:]])
        try:
            with decoding_progress(out, SETTING_UP) as progress:
                record = create_study(store, study, request, progress, command)
        except KeyboardInterrupt:
            _exit_if_being_set_up(store, StudyCommands(study, db))
            raise
        _run(store, record, db, followers)


@plan_options(
    "trials",
    "budget",
    "until",
    "min_gain",
    "device_budget",
    "trial_timeout",
    "trial_memory",
    "workers",
    "pool",
    "ray_address",
    "device",
    "keep_weights",
    "max_weights_size",
    "keep_predictions",
    "max_predictions_size",
    "alternatives",
)
def resume(
    study: Study,
    data: Data = None,
    allow_changed_data: AllowChangedData = False,
    follow: Follow = None,
    db: Db = None,
    **settings: Any,
) -> None:
    """Continue a study where it stopped; trials and budgets are totals over all runs.

    Unfinished trials continue from their last epoch.
    """
    with defer_interrupts():
        from ..run.data_options import DataOptions
        from ..setup.plan_changes import read_plan_changes

    changes = read_plan_changes(settings)
    options = DataOptions(data, allow_changed_data)
    followers = followers_of(follow)
    with long_command(out, RECORDED), open_store(db) as store:
        _run(store, store.studies.get(study), db, followers, changes, options)


def _run(
    store: Store,
    record: StudyRecord,
    db: str | None,
    followers: Sequence[Callback],
    changes: Mapping[str, Any] | None = None,
    data_options: DataOptions | None = None,
) -> None:
    """Run the study, then print its summary and what to do next."""
    with defer_interrupts():
        from ..run.session import run_study
        from ..run.study_setup import set_up
        from .progress import LiveDisplay, decoding_progress
        from .summary import print_summary

    commands = StudyCommands(record.name, db)
    try:
        if record.config.is_being_set_up:
            with decoding_progress(out, SETTING_UP) as progress:
                place = None if data_options is None else data_options.data
                record = set_up(store, record, progress, changes, place)
        outcome = run_study(store, record, [LiveDisplay(out), *followers], changes, data_options)
    except KeyboardInterrupt:
        _exit_if_being_set_up(store, commands)
        commands.exit_interrupted(
            "Stopped immediately. Finished trials are saved; running ones continue from their "
            "last checkpoint."
        )
    if not outcome.finished:
        commands.exit_interrupted(outcome.sentence)
    recommendation = print_summary(store, record)
    trials = store.trials.read(record)
    if not any(trial.state == "complete" for trial in trials):
        raise typer.Exit(1)
    takes_attention = recommendation is not None and not recommendation.keeps_bare
    pick = recommendation.pick.number if recommendation and takes_attention else None
    until_converged = store.studies.get(record.name).config.plan.until == "converged"
    commands.print_next_steps(len(trials), pick, until_converged=until_converged)


def _exit_if_being_set_up(store: Store, commands: StudyCommands) -> None:
    """After an interrupt, exit with the command that continues a study that is being set up."""
    studies: Sequence[StudyRecord] = ()
    with contextlib.suppress(StoreError):  # A server that is away is why it was interrupted.
        studies = store.studies.read_all()
    if any(s.name == commands.study and s.config.is_being_set_up for s in studies):
        commands.exit_interrupted("Stopped while the study was being set up.")
