"""Trade-offs, the first page: accuracy against any cost, filters, the front as a table."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
from dash import dcc, html

from ...analysis.findings import Findings, Point
from ...figures.pareto import COLOURINGS, three_figure, tradeoff_figure
from ...text import formatting
from ..components import Component, architecture, plot, section, soft, table, tiles, words
from ..context import Scene

ROWS = 40
"""Rows of the table of the front."""


def page(_: Scene) -> Component:
    """The skeleton."""
    return [
        words("answer"),
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


def controls(scene: Scene) -> Component:
    """What to show; every value goes into the address."""
    board, view = scene.board, scene.view
    costs = [{"label": cost.title, "value": cost.key} for cost in board.costs]
    scales = [{"label": "linear", "value": 0}, {"label": "logarithmic", "value": 1}]
    insertions = board.traits.insertions
    ratios = sorted({r for i in insertions if isinstance(r := dict(i.options).get("r"), int)})
    stages = [f"s{stage}" for stage in range(1, board.stages + 1)]
    return html.Div(
        [
            _choice("Cost", "cost", costs, scene.cost.key),
            _choice("Third objective", "third", costs, scene.third.key),
            _choice("Scale of the cost", "log", scales, int(view.log)),
            _choice("Colour by", "colour", list(COLOURINGS), view.colour),
            _several("Attention", "attention", board.traits.attentions, view.attention),
            _several("Position", "position", [*{i.position: 0 for i in insertions}], view.position),
            _several("Stage", "stage", stages, view.stage),
            _several("Ratio", "ratio", [str(ratio) for ratio in ratios], view.ratio),
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


def tradeoff(scene: Scene) -> go.Figure:
    """The main figure. Zoom survives an update as long as `uirevision` stays the same."""
    cost, view = scene.cost, scene.view
    figure = tradeoff_figure(
        scene.board.findings(view, cost),
        cost,
        scene.theme,
        colouring=view.colour,
        log=view.log,
        selected=view.trial,
    )
    return figure.update_layout(uirevision=f"{scene.board.study.id} {cost.key} {view.log}")


def three(scene: Scene) -> go.Figure:
    """The second view."""
    cost, third, log = scene.cost, scene.third, scene.view.log
    figure = three_figure(scene.board.findings(scene.view, cost), cost, third, scene.theme, log=log)
    return figure.update_layout(uirevision=f"{scene.board.study.id} {cost.key} {third.key} {log}")


def answer(scene: Scene) -> Component:
    """The answer in words, and the key numbers."""
    said, doubt = scene.board.answer()
    found = scene.board.findings()
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
    numbers.append(
        ("noise floor", "unknown", "no architecture has two seeds yet")
        if noise is None
        else ("noise floor", f"{100 * noise.deviation:.1f} points", formatting.scatter(noise))
    )
    others = ", ".join(f"{n:,} {s}" for s, n in found.counts.items() if n and s != "complete")
    numbers.append(("trials complete", f"{found.counts['complete']:,}", others))
    return [html.P(said, className="answer"), soft(doubt) if doubt else None, tiles(numbers)]


def drawn(scene: Scene) -> Component:
    """How many of all architectures the figure shows."""
    board, view = scene.board, scene.view
    total = int(board.chosen(view).sum())
    shown = len(board.findings(view, scene.cost).points)
    if view.filtered:
        return soft(
            f"{total:,} of {len(board.architectures):,} architectures pass the filters; baselines "
            "are always shown."
        )
    if total > shown:
        return soft(
            f"{shown:,} of {total:,} architectures are drawn: the front, the baselines, and the "
            "most accurate at every spot. All of them count in every other number."
        )
    return None


def front(scene: Scene) -> Component:
    """The front and the baselines, as a table with links to their cards."""
    found = scene.board.findings(scene.view, scene.cost)
    listed = list({p.number: p for p in (*found.front[:ROWS], *found.baselines)}.values())
    if not listed:
        return soft("No complete trial yet.")
    costs = scene.board.costs
    head = ["Architecture", ">Accuracy", ">Gain, points", *(f">{c.title}" for c in costs), ">Seeds"]
    more = len(found.front) - ROWS
    return [
        table(head, [_row(scene, found, point) for point in listed]),
        soft(f"… and {more} more on the front.") if more > 0 else None,
    ]


def _row(scene: Scene, found: Findings, point: Point) -> list[Component]:
    link = dcc.Link(
        architecture(str(point.architecture)),
        href=scene.view.with_changes({"trial": point.number}).search,
    )
    gain = point.gain
    return [
        html.Span([link, *_tags(found, point)]),
        formatting.percent(point.accuracy, point.standard_error),
        "–" if gain is None else formatting.points(gain.mean, gain.standard_error),
        *(formatting.cost(point.values.get(cost.key), cost) for cost in scene.board.costs),
        str(len(point.seeds)),
    ]


def _tags(found: Findings, point: Point) -> list[Component]:
    numbers = {p.number for p in found.front}
    holds = {
        "best": found.best is not None and found.best.number == point.number,
        "knee": found.knee is not None and found.knee.number == point.number,
        "front": point.number in numbers,
        "baseline": point.baseline,
    }
    return [html.Span(tag, className="tag") for tag, held in holds.items() if held]
