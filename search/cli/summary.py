"""Studies, trials and confirmations as tables and sentences on the terminal.

Commands import this module when they run: it brings in the analysis and the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from ...studies.analysis import analyse
from ...studies.analysis.confirmation import Confirmation, Contender, confirmed
from ...studies.analysis.findings import ArchitectureSummary, Findings
from ...studies.database.store import Store
from ...studies.outputs.study_list import ListedStudy
from ...studies.records import StudyRecord, TrialRecord
from ...studies.text import formatting
from ...studies.text.confirmation import (
    conclusion,
    gain_points,
    interval_points,
    p_value,
    rank_warning,
)
from .shared import out, plain_table, print_line

FRONT_ROWS = 12
"""Rows of the front that a terminal shows."""


def print_studies(studies: Iterable[ListedStudy]) -> None:
    """One line for each study."""
    table = plain_table(
        "study", "backbone", ">trials", ">pruned", ">failed", ">best", "last change"
    )
    for study in studies:
        summary, counts = study.summary, study.summary.counts
        table.add_row(
            Text(summary.study.name),
            Text(summary.study.backbone),
            str(counts.get("complete", 0)),
            str(counts.get("pruned", 0)),
            str(counts.get("failed", 0)),
            formatting.percent(study.best.accuracy if study.best else None),
            f"{summary.last_activity.astimezone():%Y-%m-%d %H:%M}",
        )
    out.print(table)


def print_summary(store: Store, record: StudyRecord) -> None:
    """A study's counts, its front against the bare backbone, and its failures."""
    trials = store.trials.read(record)
    found = analyse.analyse(record, trials)
    rejected = len(store.trials.read_rejections(record))
    words = [f"{count} {state}" for state, count in found.counts.items() if count]
    words += [f"{rejected} rejected by a limit"] if rejected else []
    out.print(Text(record.name, style="bold"), end="")
    print_line(f" · {record.backbone} · {', '.join(words) or 'no trials yet'}")
    if found.front:
        _print_front(found)
    if proven := confirmed(record, found, store.trials.read(record, confirming=True)):
        print_line(f"\nConfirmation: {conclusion(proven)}")
    failures = [trial for trial in trials if trial.failure]
    for trial in failures[:5]:
        print_line(f"#{trial.number} failed, {trial.failure.kind}: {trial.failure.message}")  # type: ignore[union-attr]
    if len(failures) > 5:
        print_line(f"… and {len(failures) - 5} more failures")


def _print_front(found: Findings) -> None:
    costs = [f">{cost.name}" for cost in found.costs]
    table = plain_table(">trial", ">accuracy", ">gain", *costs, "architecture")
    table.columns[-1].overflow = "fold"
    rows = [*found.front]
    extra = [p for p in found.baselines if p not in rows]
    for point in rows[-FRONT_ROWS:]:
        table.add_row(*_row(point, found))
    if extra:
        table.add_section()
    for point in extra:
        table.add_row(*_row(point, found), style="dim")
    print_line("\nPareto front, then the other baselines; gain over the bare backbone in points:")
    out.print(table)
    if found.noise:
        deviation = formatting.points(found.noise.deviation, signed=False)
        print_line(f"One trial has a noise of {deviation} points; smaller gains may be noise.")
        if found.noise.shared:
            shared = formatting.points(found.noise.shared, signed=False)
            print_line(
                f"What all trials of a seed share ({shared} points) is removed from accuracies."
            )
    else:
        print_line("Every architecture ran with one seed only: small gains may be noise.")


def _row(point: ArchitectureSummary, found: Findings) -> list[str | Text]:
    accuracy = formatting.percent(point.accuracy, point.standard_error)
    gain = formatting.points(point.gain.mean) if point.gain else formatting.MISSING
    costs = [formatting.cost(point.values.get(cost.key), cost) for cost in found.costs]
    notes = [note for note, which in (("best", found.best), ("knee", found.knee)) if which == point]
    text = Text(formatting.short_architecture(point.architecture))
    if notes:
        text.append(f"  ← {', '.join(notes)}", "bold green")
    return [f"#{point.number}", accuracy, gain, *costs, text]


def print_trial(store: Store, record: StudyRecord, trial: TrialRecord) -> None:
    """One trial in full: what it was, what came of it, its epochs, what it ran on."""
    table = plain_table("", "")
    table.show_header = False
    facts: list[tuple[str, Any]] = [
        ("trial", f"#{trial.number} of {record.name}"),
        ("architecture", trial.architecture),
        ("key", trial.key),
        ("seed", trial.seed),
        ("role", trial.role),
        ("state", trial.state + (f": {trial.note}" if trial.note else "")),
    ]
    facts += [(key, f"{value:,.6g}") for key, value in trial.values.items()]
    if trial.seconds is not None:
        facts.append(("time", formatting.duration(trial.seconds)))
    if trial.failure:
        facts.append(("failure", f"{trial.failure.kind}: {trial.failure.message}"))
    for name, value in facts:
        table.add_row(name, Text(str(value)))
    for name, value in (
        store.trials.read_environments(record).get(trial.environment or "", {}).items()
    ):
        table.add_row(Text(name, style="dim"), Text(str(value), style="dim"))
    out.print(table)
    epochs = store.epochs.read(record, trial.number)
    if epochs:
        curve = plain_table(">epoch", ">train loss", ">val loss", ">accuracy", ">seconds")
        for epoch in epochs:
            r = epoch.report
            row = (f"{r.train_loss:.4f}", f"{r.val_loss:.4f}", formatting.percent(r.accuracy))
            curve.add_row(str(r.epoch), *row, f"{r.seconds:.1f}")
        out.print()
        out.print(curve)


def print_confirmation(found: Confirmation, console: Console) -> None:
    """The contenders with their differences to the bare backbone, and what can be claimed."""
    table = plain_table(">test", ">searched", ">gain", ">95 % interval", ">p", "architecture")
    table.columns[-1].overflow = "fold"
    for contender in found.contenders:
        style = "" if contender.finalist else "dim"
        table.add_row(*_contender_row(contender), style=style)
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


def _contender_row(contender: Contender) -> list[str | Text]:
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
