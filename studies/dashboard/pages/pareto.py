"""Trade-offs, the first page: accuracy against any cost, filters, the front as a table."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import dcc, html

from ...analysis.findings import ArchitectureSummary, Findings
from ...figures.colouring import COLOURINGS
from ...figures.pareto import pareto_figure, three_objectives_figure
from ...text import formatting
from ...text.summary import noise_details
from ..components import Component, architecture, plot, section, soft, table, tiles, words
from ..context import PageContext

ROWS = 40
"""Rows of the table of the front."""


def page(_: PageContext) -> Component:
    """The skeleton."""
    return [
        words("summary"),
        section(
            "Accuracy against cost",
            "One marker is one architecture, the mean over its seeds with its standard error. "
            "Select a marker, or a row of the table below, to see its card.",
            plot("tradeoff", 480),
            words("drawn"),
        ),
        section(
            "The Pareto front and the baselines",
            "No other architecture is at least as good in every objective and better in one.",
            words("front"),
        ),
        section(
            "Three objectives at once",
            "The colour is the third objective, which is chosen above.",
            plot("three", 480),
        ),
    ]


def controls(context: PageContext) -> Component:
    """What to show; every value goes into the address."""
    state, address = context.state, context.address
    costs = [{"label": cost.title, "value": cost.key} for cost in state.costs]
    scales = [{"label": "linear", "value": 0}, {"label": "logarithmic", "value": 1}]
    insertions = state.traits.insertions
    positions = list(dict.fromkeys(i.position for i in insertions))
    ratios = sorted({r for i in insertions if isinstance(r := dict(i.options).get("r"), int)})
    stages = [f"s{stage}" for stage in range(1, state.stages + 1)]
    return html.Div(
        [
            _choice("Cost", "cost", costs, context.cost.key),
            _choice("Third objective", "third", costs, context.third.key),
            _choice("Scale of the cost", "log", scales, int(address.log)),
            _choice("Colour by", "colour", list(COLOURINGS), address.colour),
            _several("Attention", "attention", state.traits.attentions, address.attention),
            _several("Position", "position", positions, address.position),
            _several("Stage", "stage", stages, address.stage),
            _several("Ratio", "ratio", [str(ratio) for ratio in ratios], address.ratio),
        ],
        className="controls",
        role="group",
        **{"aria-label": "What to show"},
    )


def _choice(label: str, name: str, options: list[Any], value: Any) -> Component:
    return html.Label(
        [
            label,
            dcc.Dropdown(options, value, id={"control": name}, clearable=False, searchable=False),
        ]
    )


def _several(label: str, name: str, options: list[str], value: tuple[str, ...]) -> Component:
    shown = [*options, *(v for v in value if v not in options)]
    several = {"multi": True, "placeholder": "all"}
    return html.Label([label, dcc.Dropdown(shown, list(value), id={"control": name}, **several)])


def tradeoff(context: PageContext) -> go.Figure:
    """The main figure. Zoom survives an update as long as `uirevision` stays the same."""
    cost, address = context.cost, context.address
    figure = pareto_figure(
        context.state.findings(address, cost),
        cost,
        context.theme,
        colouring=address.colour,
        log=address.log,
        selected=address.trial,
    )
    return figure.update_layout(uirevision=f"{context.state.study.id} {cost.key} {address.log}")


def three(context: PageContext) -> go.Figure:
    """Accuracy against one cost, coloured by another."""
    cost, third, log = context.cost, context.third, context.address.log
    figure = three_objectives_figure(
        context.state.findings(context.address, cost), cost, third, context.theme, log=log
    )
    return figure.update_layout(uirevision=f"{context.state.study.id} {cost.key} {third.key} {log}")


def summary(context: PageContext) -> Component:
    """The summary in one sentence, and the key numbers."""
    sentence, doubt = context.state.summary()
    found = context.state.findings()
    numbers = [
        (
            title,
            formatting.percent(p.accuracy, p.standard_error),
            formatting.plural(len(p.seeds), "seed"),
        )
        for title, p in (("best accuracy", found.best), ("bare backbone", found.bare))
        if p is not None
    ]
    noise = found.noise
    if noise is None:
        numbers.append(("noise floor", "unknown", "no architecture has two seeds yet"))
    else:
        deviation = f"{formatting.points(noise.deviation, signed=False)} points"
        numbers.append(("noise floor", deviation, noise_details(noise)))
    others = ", ".join(f"{n:,} {s}" for s, n in found.counts.items() if n and s != "complete")
    numbers.append(("trials complete", f"{found.counts['complete']:,}", others))
    return [html.P(sentence, className="summary"), soft(doubt) if doubt else None, tiles(numbers)]


def drawn(context: PageContext) -> Component:
    """How many of all architectures the figure shows."""
    state, address = context.state, context.address
    total = int(state.chosen(address).sum())
    shown = len(state.findings(address, context.cost).points)
    if address.filtered:
        return soft(
            f"{total:,} of {len(state.architectures):,} architectures pass the filters; baselines "
            "are always shown."
        )
    if total > shown:
        return soft(
            f"{shown:,} of {total:,} architectures are drawn: the front, the baselines, and the "
            "most accurate at every spot. All of them count in every other number."
        )
    return None


def front(context: PageContext) -> Component:
    """The front and the baselines, as a table with links to their cards."""
    found = context.state.findings(context.address, context.cost)
    listed = list({p.number: p for p in (*found.front[:ROWS], *found.baselines)}.values())
    if not listed:
        return soft("No complete trial yet.")
    costs = context.state.costs
    head = ["Architecture", ">Accuracy", ">Gain, points", *(f">{c.title}" for c in costs), ">Seeds"]
    more = len(found.front) - ROWS
    return [
        table(head, [_row(context, found, point) for point in listed]),
        soft(f"… and {more} more on the front.") if more > 0 else None,
    ]


def _row(context: PageContext, found: Findings, point: ArchitectureSummary) -> list[Component]:
    link = dcc.Link(
        architecture(str(point.architecture)),
        href=context.address.with_changes({"trial": point.number}).query,
    )
    gain = point.gain
    return [
        html.Span([link, *_tags(found, point)]),
        formatting.percent(point.accuracy, point.standard_error),
        formatting.MISSING if gain is None else formatting.points(gain.mean, gain.standard_error),
        *(formatting.cost(point.values.get(cost.key), cost) for cost in context.state.costs),
        str(len(point.seeds)),
    ]


def _tags(found: Findings, point: ArchitectureSummary) -> list[Component]:
    numbers = {p.number for p in found.front}
    holds = {
        "best": found.best is not None and found.best.number == point.number,
        "knee": found.knee is not None and found.knee.number == point.number,
        "front": point.number in numbers,
        "baseline": point.baseline,
    }
    return [html.Span(tag, className="tag") for tag, held in holds.items() if held]
