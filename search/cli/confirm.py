"""confirm: what the search found, tested with fresh seeds on the test split."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ...studies.analysis.analyse import analyse
from ...studies.analysis.confirmation import Confirmation, Contender, confirmation_json, confirmed
from ...studies.database.store import Store
from ...studies.text import formatting
from ...studies.text.confirmation import (
    conclusion,
    gain_points,
    interval_points,
    p_value,
    rank_warning,
)
from .search import StudyCommands
from .shared import Db, Json, Study, err, out, plain_table, print_json


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(confirm)


def confirm(
    study: Study,
    top: Annotated[
        int | None,
        typer.Option(
            min=1, help="Finalists, from the Pareto front; its knee comes too. Default: 3."
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Fresh seeds for each architecture. Default: 5.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of a trial. Default: 2.5 times the search's.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at once.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Retrain finalists and baselines with fresh seeds, and judge them on the test split.

    Goes on where it was interrupted; without anything left to do it shows what was found.
    """
    from ..run.session import confirm_study
    from .progress import watching

    console = err if as_json else out

    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    commands = StudyCommands(study, db)
    with Store.open(db) as store:
        record = store.study(study)
        try:
            ending = confirm_study(
                store,
                record,
                tell,
                lambda coordinator: watching(coordinator, console),
                top=top,
                seeds=seeds,
                epochs=epochs,
                workers=workers,
                device=device,
            )
        except KeyboardInterrupt:
            commands.interrupted("Ended at once; what was finished is saved.", "confirm", console)
        record = store.study(study)
        findings = analyse(record, store.trials(record))
        found = confirmed(record, findings, store.trials(record, confirming=True))
        if found is None or not ending.finished:
            how = f"Stopped after {ending.trials} trials; everything is saved."
            commands.interrupted(how, "confirm", console)
        if as_json:
            print_json(confirmation_json(found, conclusion(found)))
        else:
            print_confirmation(found, console)
        if not found.contenders:
            raise typer.Exit(1)


def print_confirmation(found: Confirmation, console: Console = out) -> None:
    """The contenders with their differences to the bare backbone, and what can be claimed."""
    table = plain_table(">test", ">searched", ">gain", ">95 % interval", ">p", "architecture")
    table.columns[-1].overflow = "fold"
    for contender in found.contenders:
        style = "" if contender.finalist else "dim"
        table.add_row(*_row(contender), style=style)
    if found.contenders:
        console.print(
            f"Accuracy on the test split after {found.epochs} epochs, and gain over the bare "
            "backbone in points, with p corrected for the number of comparisons:",
            soft_wrap=True,
        )
        console.print(table)
        console.print()
    console.print(Text(conclusion(found)), soft_wrap=True)
    if warning := rank_warning(found):
        console.print(Text(warning, style="yellow"), soft_wrap=True)


def _row(contender: Contender) -> list[str | Text]:
    accuracy = formatting.percent(contender.accuracy, contender.standard_error)
    searched = contender.searched
    before = formatting.percent(None if searched is None else searched.accuracy)
    gain = contender.gain
    name = Text(formatting.short_architecture(contender.architecture))
    if gain is None:
        return [accuracy, before, formatting.MISSING, "", "", name]
    p = Text(p_value(gain.corrected).removeprefix("p ").removeprefix("= "))
    p.stylize("bold" if gain.claimed else "")
    return [accuracy, before, gain_points(gain, error=False), interval_points(gain), p, name]
