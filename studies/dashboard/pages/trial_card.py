"""The card of a trial: its architecture by stage, learning curve, costs, seeds, export command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import plotly.graph_objects as go
from dash import dcc, html

from ....spaces.architecture import OWN, Architecture, Insertion
from ...analysis.analyse import reaches_stage
from ...analysis.findings import ArchitectureSummary
from ...figures.learning_curves import architecture_curves_figure, losses_figure
from ...figures.themes import Theme
from ...objectives import OBJECTIVES
from ...records import TrialRecord
from ...text import formatting
from ...text.metric_format import MetricFormat
from ..address import Address
from ..components import GRAPH_CONFIG, Component, copyable_text, remark, table
from ..context import PageContext
from ..model_download import MODEL_PATH
from ..trial_columns import LOAD_TITLES
from .predictions import metrics_table

STAR_BUTTON = "star-button"
MAX_MESSAGE_LENGTH = 2000
"""Characters of a failure's message."""


def trial_card(context: PageContext) -> Component:
    """The card of the selected trial; None if none is selected."""
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
    trial = state.records.trial(address.trial)
    if trial is None:
        message = f"There is no trial {address.trial}."
        return html.Div([close, html.P(message)], className="trial-card")
    trials = state.records.trials_of_same_architecture(trial)
    findings = state.analysis.findings(address, context.cost)
    summary = next((s for s in findings.architectures if trial.number in s.numbers), None)
    numbers, bare = [t.number for t in trials], state.trials.bare_numbers()
    form = MetricFormat(state.study.metric)
    epochs = state.records.epochs([*bare, *numbers])
    drawn = {"bare backbone": bare, "this architecture": numbers}
    curves = architecture_curves_figure(drawn, epochs, state.study.metric, context.theme)
    losses = losses_figure([e for e in epochs if e.number == trial.number], context.theme)
    return html.Div(
        [
            close,
            html.H2(f"Trial {trial.number}"),
            *_state(trial),
            architecture_diagram(trial.parsed, state.analysis.stages, context.theme),
            *_marks(context, trial),
            html.H3("Architecture"),
            copyable_text(trial.architecture, "the architecture"),
            html.H3("Learning curve"),
            _graph(curves, "learning curve"),
            html.H3("Training and validation loss"),
            _graph(losses, "training and validation loss"),
            html.H3("Compared with the bare backbone"),
            _costs(summary, findings.bare, trial, form),
            dcc.Link(
                "Beside another architecture",
                href=context.base.address_of(
                    "/pair" + address.with_changes({"first": trial.number}).query
                ),
            ),
            html.H3("Metrics"),
            metrics_table(context, trial),
            dcc.Link(
                "Classes, confusion, and fixed images",
                href=context.base.address_of(f"/predictions{address.query}"),
            ),
            html.H3("Seeds"),
            _seeds(trials, form),
            html.H3("Export this model"),
            *_export(context, trial),
            html.H3("Environment"),
            _environment(context, trial),
        ],
        className="trial-card",
        role="complementary",
        **{"aria-label": f"Trial {trial.number}"},
    )


def _marks(context: PageContext, trial: TrialRecord) -> list[Component]:
    """The star, the tags and the note of a trial; buttons only where they may be changed."""
    marks = context.state.marks.of(trial.number)
    shown: list[Component] = []
    if context.may_edit:
        star = html.Button(
            "★ Starred" if marks.starred else "☆ Star",
            id=STAR_BUTTON,
            type="button",
            **{"aria-pressed": "true" if marks.starred else "false"},
        )
        address = context.address.with_changes({"edit": True})
        words = "Edit tags and note" if marks.tags or marks.note else "Add tags or a note"
        shown.append(html.P([star, " ", dcc.Link(words, href=address.query)], className="marks"))
    elif marks.starred:
        shown.append(html.P("★ Starred"))
    if marks.tags:
        shown.append(html.P([html.Span(tag, className="tag") for tag in marks.tags]))
    if marks.note:
        shown.append(html.P(marks.note, className="note"))
    return shown


def _graph(figure: go.Figure, label: str) -> Component:
    graph = dcc.Graph(figure=figure, config=GRAPH_CONFIG)
    return html.Div(graph, role="figure", **{"aria-label": label})


def architecture_diagram(architecture: Architecture, stages: int, theme: Theme) -> Component:
    """The backbone as a row of stages, each with its insertions.

    Args:
        architecture: what to draw.
        stages: of the backbone.
        theme: the colours of the attentions.
    """
    boxes = [html.Div([html.B("stem")], className="stage narrow")]
    for stage in range(1, stages + 1):
        insertions = [
            html.Div(
                _insertion(insertion, stage),
                className="inserted",
                style={"borderColor": theme.attention_colour(insertion.attention)},
            )
            for insertion in architecture.changes
            if reaches_stage(insertion, stage)
        ] or [html.Div(formatting.MISSING, className="unchanged")]
        boxes.append(html.Div([html.B(f"s{stage}"), *insertions], className="stage"))
    boxes.append(html.Div([html.B("head")], className="stage narrow"))
    label = {"aria-label": str(architecture)}
    return html.Div(boxes, className="stages", role="img", tabIndex=0, **label)


def _insertion(insertion: Insertion, stage: int) -> list[Component]:
    blocks = sorted({p.block for p in insertion.places if p.first <= stage <= p.last and p.block})
    where = [insertion.position] if insertion.position != OWN else []
    if blocks:
        where.append(f"{'block' if len(blocks) == 1 else 'blocks'} {', '.join(map(str, blocks))}")
    options = ", ".join(f"{k}={v}" for k, v in insertion.options if (k, v) != ("start", "identity"))
    name = [html.Strong(insertion.attention), *([f" {options}"] if options else [])]
    return [*name, html.Br(), html.Small(", ".join(where))]


def _state(trial: TrialRecord) -> list[Component]:
    tags = [html.Span(word, className="tag") for word in (trial.state, trial.role)]
    trained = f" {formatting.plural(trial.epochs, 'epoch')}, {formatting.duration(trial.seconds)}"
    if trial.seconds and trial.device_seconds is not None:
        busy = min(1.0, trial.device_seconds / trial.seconds)
        trained += f", the device busy {formatting.share(busy)} of the time"
    lines: list[Component] = [html.P([*tags, trained])]
    if trial.note:
        lines.append(remark(trial.note))
    if trial.failure is not None:
        lines.append(html.P(html.Span(trial.failure.kind, className="tag bad")))
        message = trial.failure.message[:MAX_MESSAGE_LENGTH]
        lines.append(html.Pre(message, className="message"))
    return lines


def _costs(
    summary: ArchitectureSummary | None,
    bare: ArchitectureSummary | None,
    trial: TrialRecord,
    form: MetricFormat,
) -> Component:
    values = summary.values if summary is not None else trial.values
    rows: list[list[Component]] = []
    if summary is not None:
        gain = formatting.MISSING
        if summary.gain is not None:
            gain = form.gain_with_unit(summary.gain, summary.gain_error)
        reached = form.value(summary.score, summary.standard_error)
        rows.append([form.metric.title, reached, gain])
    for cost in OBJECTIVES.values():
        if cost.key in values and cost.is_cost:
            bare_values = {} if bare is None or summary is bare else bare.values
            change = formatting.cost_change(values, bare_values, cost) or formatting.MISSING
            rows.append([cost.title, formatting.cost_of(values, cost), change])
    if trial.peak_memory_mib is not None:
        memory = formatting.cost(trial.peak_memory_mib, OBJECTIVES["memory"])
        rows.append(["Peak memory", memory, formatting.MISSING])
    for name, title in LOAD_TITLES.items():
        if (load := getattr(trial, name)) is not None:
            rows.append([f"{title} while it ran", formatting.share(load), formatting.MISSING])
    return table(["", ">value", ">difference"], rows)


def _seeds(trials: Sequence[TrialRecord], form: MetricFormat) -> Component:
    rows = [
        [
            str(trial.number),
            str(trial.seed),
            trial.state,
            str(trial.epochs),
            form.value(trial.score),
        ]
        for trial in trials
    ]
    return table([">trial", ">seed", "state", ">epochs", f">{form.metric.noun}"], rows)


def _export(context: PageContext, trial: TrialRecord) -> list[Component]:
    """The command that exports the model, and a link to it."""
    if trial.state != "complete":
        return [remark("Only complete trials can be exported.")]
    query = Address(study=context.state.study.name, trial=trial.number).query
    link = html.A(
        "Download the model",
        href=context.base.address_of(MODEL_PATH + query),
        title="The files of the export as a .zip; it takes some seconds",
    )
    return [copyable_text(export_command(context, trial), "the command"), html.P(link)]


def export_command(context: PageContext, trial: TrialRecord) -> str:
    """The command that exports the trial's model."""
    words = ["attentune", "export", context.state.study.name, "--pick", str(trial.number)]
    return shlex.join([*words, "-o", "model", "--db", context.database])


def _environment(context: PageContext, trial: TrialRecord) -> Component:
    facts = context.state.records.environments().get(trial.environment or "", {})
    if not facts:
        return remark("Not recorded yet.")
    pairs = [[html.Dt(name), html.Dd(value)] for name, value in facts.items()]
    return html.Dl([item for pair in pairs for item in pair])
