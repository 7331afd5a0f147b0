"""The card of a trial: its architecture drawn stage by stage, its curve, costs, seeds, command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dash import dcc, html

from ....spaces.architecture import Architecture, Insertion
from ...analysis.analyse import reaches
from ...analysis.findings import ArchitectureSummary
from ...figures.learning_curves import architecture_curves_figure
from ...figures.themes import Theme
from ...objectives import OBJECTIVES
from ...records import TrialRecord
from ...text import formatting
from ..components import CONFIG, Component, copied, table
from ..context import PageContext
from ..study_state import StudyState


def trial_card(context: PageContext) -> Component:
    """Of the selected trial; nothing if none is, a sentence if there is no such trial."""
    state, address = context.state, context.address
    if address.trial is None:
        return None
    close = dcc.Link(
        "Close",
        href=address.with_changes({"trial": None}).query or "?",
        className="close",
        title="Close the card (Escape)",
        id="close-card",
    )
    found = state.record(address.trial)
    if found is None:
        return html.Aside([close, html.P(f"There is no trial {address.trial}.")], className="card")
    trials = state.trials_like(found)
    findings = state.findings(address, context.cost)
    point = next((p for p in findings.points if found.number in p.numbers), None)
    numbers, bare = [t.number for t in trials], state.bare_numbers
    epochs = state.epochs_of([*bare, *numbers])
    curve = architecture_curves_figure(numbers, bare, epochs, context.theme)
    return html.Aside(
        [
            close,
            html.H2(f"Trial {found.number}"),
            *_state(found),
            drawing(found.parsed, state.stages, context.theme),
            html.H3("Architecture"),
            copied(found.architecture, "the architecture"),
            html.H3("Learning curve"),
            dcc.Graph(figure=curve, config=CONFIG),
            html.H3("Against the bare backbone"),
            _costs(point, findings.bare, found),
            html.H3("Seeds"),
            _seeds(trials),
            html.H3("Take it along"),
            copied(export_command(context, found), "the command"),
            html.H3("What it ran on"),
            _facts(state, found),
        ],
        className="card",
        **{"aria-label": f"Trial {found.number}"},
    )


def drawing(found: Architecture, stages: int, theme: Theme) -> Component:
    """The backbone as a row of stages, with what is inserted in each."""
    boxes = [html.Div([html.B("stem")], className="stage stem")]
    for stage in range(1, stages + 1):
        inside = [i for i in found.insertions if reaches(i, stage)]
        marks = [
            html.Div(
                _insertion(i, stage),
                className="inserted",
                style={"borderColor": theme.attention_colour(i.attention)},
            )
            for i in inside
        ] or [html.Div(formatting.MISSING, className="left-alone")]
        boxes.append(html.Div([html.B(f"s{stage}"), *marks], className="stage"))
    boxes.append(html.Div([html.B("head")], className="stage stem"))
    return html.Div(boxes, className="stages", role="img", **{"aria-label": str(found)})


def _insertion(insertion: Insertion, stage: int) -> list[Component]:
    blocks = sorted({p.block for p in insertion.places if p.first <= stage <= p.last and p.block})
    where = insertion.position + (f", block {', '.join(map(str, blocks))}" if blocks else "")
    options = ", ".join(f"{k}={v}" for k, v in insertion.options if (k, v) != ("start", "identity"))
    return [html.Strong(insertion.attention), *([f" {options}"] if options else []), html.Br(),
            html.Small(where)]  # fmt: skip


def _state(trial: TrialRecord) -> list[Component]:
    tags = [html.Span(word, className="tag") for word in (trial.state, trial.role)]
    spent = f" {formatting.plural(trial.epochs, 'epoch')}, {formatting.duration(trial.seconds)}"
    lines: list[Component] = [html.P([*tags, spent])]
    if trial.note:
        lines.append(html.P(trial.note, className="caption"))
    if trial.failure is not None:
        lines.append(html.P(html.Span(trial.failure.kind, className="tag bad")))
        lines.append(html.Pre(trial.failure.message[:2000], className="message"))
    return lines


def _costs(
    point: ArchitectureSummary | None, bare: ArchitectureSummary | None, trial: TrialRecord
) -> Component:
    values = point.values if point is not None else trial.values
    rows: list[list[Component]] = []
    if point is not None:
        gain = formatting.MISSING
        if point.gain is not None:
            gain = f"{formatting.points(point.gain.mean, point.gain.standard_error)} points"
        reached = formatting.percent(point.accuracy, point.standard_error)
        rows.append(["Validation accuracy", reached, gain])
    for cost in OBJECTIVES.values():
        if cost.key in values and cost.key != "accuracy":
            more = formatting.MISSING
            if bare is not None and cost.key in bare.values and point is not bare:
                more = formatting.relative_change(values[cost.key], bare.values[cost.key])
            rows.append([cost.title, formatting.cost(values[cost.key], cost), more])
    if trial.peak_memory_mib is not None:
        rows.append(["Peak memory", f"{trial.peak_memory_mib:,.0f} MiB", formatting.MISSING])
    return table(["", ">here", ">difference"], rows)


def _seeds(trials: Sequence[TrialRecord]) -> Component:
    rows = [
        [
            str(t.number),
            str(t.seed),
            t.state,
            str(t.epochs),
            formatting.percent(t.accuracy),
        ]
        for t in trials
    ]
    return table([">trial", ">seed", "state", ">epochs", ">accuracy"], rows)


def export_command(context: PageContext, trial: TrialRecord) -> str:
    """What to type to take the trial's network along."""
    words = ["attentune", "export", context.state.study.name, "--pick", str(trial.number)]
    return shlex.join([*words, "-o", "model", "--db", context.database])


def _facts(state: StudyState, trial: TrialRecord) -> Component:
    facts = state.environments().get(trial.environment or "", {})
    if not facts:
        return html.P("It has not said yet.", className="caption")
    pairs = [[html.Dt(name), html.Dd(value)] for name, value in facts.items()]
    return html.Dl([item for pair in pairs for item in pair])
