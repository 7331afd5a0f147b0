"""What the network looks at: which channels pass, and which places, beside the bare backbone."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import dcc, html

from ...figures.attention_maps import channels_figure, places_figure
from ...text import formatting
from ..components import Component, plot, section, soft, waiting, words
from ..context import PageContext
from ..study_state import InspectedTrial


def page(_: PageContext) -> Component:
    """The skeleton."""
    return [
        section(
            "What the network looks at",
            "A trained network shown some validation pictures: how strongly each attention passes "
            "on every channel and every place.",
            words("looking"),
        ),
        section(
            "Look what",
            "A tick is a channel; the line at 1 is unchanged.",
            plot("channels", 300),
        ),
        section(
            "Look where",
            "Under each stage our gate, or the strength of its output where it has none, and "
            "beside it the strength in the bare backbone.",
            plot("places", 600, wide=True),
        ),
    ]


def controls(context: PageContext) -> Component:
    """Which trial."""
    found = context.state.findings(None, context.cost)
    points = {p.number: p for p in (*found.front, *found.baselines)}
    options = [
        {"label": f"{n}: {formatting.short_architecture(p.architecture)}", "value": n}
        for n, p in sorted(points.items())
    ]
    chosen = number(context)
    if chosen is not None and chosen not in points:
        options.append({"label": f"trial {chosen}", "value": chosen})
    picker = dcc.Dropdown(options, chosen, id={"control": "trial"}, placeholder="choose a trial")
    return html.Div([html.Label(["Trial", picker])], className="controls one")


def number(context: PageContext) -> int | None:
    """The trial that is looked through: the selected one, else the best."""
    if context.address.trial is not None:
        return context.address.trial
    best = context.state.findings().best
    return None if best is None else best.number


def _attention_maps(context: PageContext) -> InspectedTrial | None:
    chosen = number(context)
    return None if chosen is None else context.state.attention_maps_of(chosen)


def said(context: PageContext) -> Component:
    """What is shown, or why nothing is."""
    found = _attention_maps(context)
    if found is None:
        waits = number(context) is not None
        return soft("The network is shown its pictures …" if waits else "No complete trial yet.")
    if found.ours is None:
        return html.P(found.problem)
    ours = found.ours
    right = sum(int(a) == int(b) for a, b in zip(ours.labels, ours.predicted, strict=True))
    score = f"{right} of {len(ours.labels)} pictures right"
    lines = [f"Trial {number(context)}, {ours.architecture}: {score}."]
    if found.problem:
        lines.append(found.problem)
    return [*map(html.P, lines), *map(soft, ours.left_out)]


def channels(context: PageContext) -> go.Figure:
    """Look what."""
    found = _attention_maps(context)
    if found is None or found.ours is None:
        return waiting(context.theme, "" if found else "Being computed …")
    return channels_figure(found.ours, context.theme)


def places(context: PageContext) -> go.Figure:
    """Look where."""
    found = _attention_maps(context)
    if found is None or found.ours is None:
        return waiting(context.theme, "" if found else "Being computed …")
    return places_figure(found.ours, found.baseline, context.theme)
