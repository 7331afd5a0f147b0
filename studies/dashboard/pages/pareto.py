"""Pareto front, the first page: the metric against any cost, filters, the front as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from dash import dcc, html

from ...analysis.findings import ArchitectureSummary, Findings
from ...analysis.trial_table import FAILED, PRUNED
from ...figures.colouring import COLOURINGS
from ...figures.early_ends import MAX_EARLY_ENDS, add_early_ends
from ...figures.pareto import pareto_figure, three_objectives_figure
from ...text import captions, formatting
from ...text.metric_format import MetricFormat, objective_value
from ...text.summary import noise_details
from ..components import (
    Component,
    figure_slot,
    remark,
    section,
    sentence,
    short_architecture,
    table,
    text_slot,
    tiles,
)
from ..context import PageContext
from ..live_analysis import TRAINING_TIME
from .filter_controls import choice, controls_bar, filter_controls
from .trials import CSV_PATH

MAX_FRONT_ROWS = 40
"""Architectures of the front that the table shows, beside the baselines."""


def page(context: PageContext) -> Component:
    """The page without its figures."""
    trials_csv = context.base.address_of(CSV_PATH)
    return [
        text_slot("summary"),
        text_slot("next-steps"),
        text_slot("passing"),
        section(
            f"{context.state.study.metric.heading} against cost",
            f"{captions.MARKERS} Select a marker, or a row of the table below, to see its trial.",
            figure_slot("pareto", 480, trials_csv=trials_csv),
            text_slot("drawn"),
        ),
        section(
            "The Pareto front and the baselines",
            captions.FRONT,
            text_slot("front"),
        ),
        text_slot("alternatives"),
        section(
            "Three objectives at once",
            "The colour is the third objective, which the controls at the top select.",
            figure_slot("three-objectives", 480, trials_csv=trials_csv),
        ),
    ]


def controls(context: PageContext) -> Component:
    """Axes, colours and filters; their values go into the address."""
    analysis, address = context.state.analysis, context.address
    costs = [{"label": cost.title, "value": cost.key} for cost in analysis.costs]
    scales = [{"label": "linear", "value": 0}, {"label": "logarithmic", "value": 1}]
    return controls_bar(
        "Axes and filters",
        [
            choice("Cost", "cost", costs, context.cost.key),
            choice("Third objective", "third", costs, context.third.key),
            choice("Cost axis", "log", scales, int(address.log)),
            choice("Colour by", "colour", list(COLOURINGS), address.colour),
            *filter_controls(context),
        ],
    )


def pareto(context: PageContext) -> go.Figure:
    """The metric against cost. A zoom survives an update as long as `uirevision` stays the same."""
    cost, address, state = context.cost, context.address, context.state
    figure = pareto_figure(
        state.analysis.findings(address, cost),
        cost,
        context.theme,
        colouring=address.colour,
        log=address.log,
        selected=address.trial,
    )
    _add_early_ends(figure, context)
    _add_stars(figure, context)
    return figure.update_layout(uirevision=f"{state.study.id} {cost.key} {address.log}")


def _add_stars(figure: go.Figure, context: PageContext) -> None:
    """Mark the architectures of which a trial has a star."""
    starred = {n for n, marks in context.state.marks.by_number.items() if marks.starred}
    findings = context.state.analysis.findings(context.address, context.cost)
    form, key = MetricFormat(findings.metric), context.cost.key
    points = [s for s in findings.architectures if starred & {*s.numbers} and key in s.values]
    if points:
        figure.add_trace(
            go.Scatter(
                x=[point.values[key] for point in points],
                y=[form.on_axis(point.score) for point in points],
                name="starred",
                mode="text",
                showlegend=False,
                text=["★"] * len(points),
                textposition="top right",
                textfont={"size": 17, "color": context.theme.text},
                hoverinfo="skip",
            )
        )


def _early_ends(context: PageContext) -> npt.NDArray[Any]:
    """The rows of the pruned and failed trials that pass the filters."""
    rows = context.state.trials.rows()
    rows = rows[np.isin(rows["state"], (PRUNED, FAILED))]
    return rows[context.state.analysis.matching_trials(context.address, rows)]


def _add_early_ends(figure: go.Figure, context: PageContext) -> None:
    """Add pruned and failed trials; not over the training time, which they did not need in full."""
    analysis, cost = context.state.analysis, context.cost
    if not figure.data or cost == TRAINING_TIME:
        return
    findings = analysis.findings(context.address, cost)
    lowest = min(summary.score for summary in findings.architectures)
    texts = analysis.filtered_study.texts
    arguments = (_early_ends(context), texts, cost, context.state.study.metric, context.theme)
    add_early_ends(figure, *arguments, lowest=lowest)


def three_objectives(context: PageContext) -> go.Figure:
    """The metric against one cost, coloured by another."""
    cost, third, state = context.cost, context.third, context.state
    log = context.address.log
    findings = state.analysis.findings(context.address, cost)
    figure = three_objectives_figure(findings, cost, third, context.theme, log=log)
    return figure.update_layout(uirevision=f"{state.study.id} {cost.key} {third.key} {log}")


def summary(context: PageContext) -> Component:
    """The summary in one sentence, its caveat, and the key numbers."""
    text, caveat = context.state.summary()
    expected = context.state.expected_gain()
    findings = context.state.analysis.findings()
    return [
        sentence(text),
        _link_to_failures(context) if findings.best is None and findings.counts["failed"] else None,
        remark(caveat) if caveat else None,
        remark(expected) if expected else None,
        tiles(_key_numbers(context, findings)),
    ]


def _link_to_failures(context: PageContext) -> Component:
    address = context.base.address_of(f"/history{context.address.query}")
    return html.P(dcc.Link("Why they failed", href=address))


def _key_numbers(context: PageContext, findings: Findings) -> list[tuple[str, str, str]]:
    chance, trials = context.state.chance(), context.state.trials
    form = MetricFormat(findings.metric)
    numbers = [
        (
            title,
            form.value(summary.score, summary.standard_error),
            formatting.plural(len(summary.seeds), "seed"),
        )
        for title, summary in (
            (f"best {form.metric.noun}", findings.best),
            ("bare backbone", findings.bare),
        )
        if summary is not None
    ]
    if chance is not None:
        value, reason = chance
        numbers.append(("by guessing", value, reason))
    if findings.noise is None:
        numbers.append(("noise floor", "unknown", "no architecture has two seeds yet"))
    else:
        deviation = form.deviation(findings.noise.deviation)
        details = noise_details(findings.noise, findings.metric)
        numbers.append(("noise floor", deviation, details))
    words = {} if trials.has_coordinator else {"running": "unfinished"}
    incomplete = [
        f"{formatting.integer(count)} {words.get(state, state)}"
        for state, count in findings.counts.items()
        if count and state != "complete"
    ]
    complete = formatting.integer(findings.counts["complete"])
    return [*numbers, ("trials complete", complete, ", ".join(incomplete))]


def drawn(context: PageContext) -> Component:
    """How many of all architectures and of the trials that ended early the figure shows."""
    return [_drawn_architectures(context), _drawn_early_ends(context)]


def _drawn_early_ends(context: PageContext) -> Component:
    rows = _early_ends(context)
    if not len(rows) or context.cost == TRAINING_TIME:
        return None
    unknown = int(np.isnan(rows[context.cost.key]).sum())
    counts = [(rows["state"] == state).sum() for state in (PRUNED, FAILED)]
    words = [
        f"{formatting.integer(int(count))} {word}"
        for count, word in zip(counts, ("pruned", "failed"), strict=True)
        if count
    ]
    noun = "trial" if len(rows) == 1 else "trials"
    text = f"{formatting.enumeration(words)} {noun}: pruned ones with the result of their last "
    text += "epoch, at the lower edge if that is below all others; failed ones at the edge."
    if unknown:
        text += f" {formatting.integer(unknown)} of them ended before this cost was known."
    if max(counts) > MAX_EARLY_ENDS:
        text += f" The last {MAX_EARLY_ENDS} of each are drawn."
    return remark(text)


def _drawn_architectures(context: PageContext) -> Component:
    """How many of all architectures the figure shows; nothing if it shows all."""
    analysis, address = context.state.analysis, context.address
    total = formatting.plural(len(analysis.architectures), "architecture")
    matching = int(analysis.matching(address).sum())
    if address.filtered:
        return remark(
            f"{formatting.integer(matching)} of {total} pass the filters. Baselines are always "
            "shown."
        )
    shown = len(analysis.findings(address, context.cost).architectures)
    if matching > shown:
        return remark(
            f"{formatting.integer(shown)} of {total} are drawn: the front, the baselines, and the "
            "best in each region of the figure. All other numbers are based on all "
            "architectures."
        )
    return None


def front(context: PageContext) -> Component:
    """The front and the baselines, as a table with links to their trials."""
    analysis = context.state.analysis
    findings = analysis.findings(context.address, context.cost)
    rows = {s.number: s for s in (*findings.front[:MAX_FRONT_ROWS], *findings.baselines)}
    if not rows:
        return remark("No complete trial yet.")
    costs = [f">{o.heading}" for o in (*findings.further_metrics, *analysis.costs)]
    form = MetricFormat(findings.metric)
    gain = f">Gain, {form.unit}" if form.unit else ">Gain"
    head = ["Architecture", f">{form.metric.heading}", gain, *costs, ">Seeds"]
    more = len(findings.front) - MAX_FRONT_ROWS
    return [
        table(head, [_row(context, findings, summary) for summary in rows.values()]),
        remark(f"… and {more} more on the front.") if more > 0 else None,
    ]


def _row(context: PageContext, findings: Findings, summary: ArchitectureSummary) -> list[Component]:
    link = dcc.Link(
        short_architecture(str(summary.architecture)),
        href=context.address.with_changes({"trial": summary.number}).query,
    )
    gain, form = formatting.MISSING, MetricFormat(findings.metric)
    if summary.gain is not None:
        gain = form.gain(summary.gain, summary.gain_error)
    compared = (*findings.further_metrics, *context.state.analysis.costs)
    return [
        html.Span([link, *_tags(findings, summary)]),
        form.value(summary.score, summary.standard_error),
        gain,
        *(objective_value(summary.values, each) for each in compared),
        str(len(summary.seeds)),
    ]


def _tags(findings: Findings, summary: ArchitectureSummary) -> list[Component]:
    front = {s.number for s in findings.front}
    tags = {
        "best": findings.best is not None and findings.best.number == summary.number,
        "knee": findings.knee is not None and findings.knee.number == summary.number,
        "front": summary.number in front,
        "baseline": summary.baseline,
    }
    return [html.Span(tag, className="tag") for tag, applies in tags.items() if applies]
