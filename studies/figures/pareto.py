"""A metric against a cost, with the Pareto front: the main figure of a study.

One marker is one architecture. For a very large study the caller selects those to draw:
`Findings.architectures` then holds only some architectures, the front and the baselines among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..analysis.analyse import main_attention
from ..analysis.findings import ArchitectureSummary, Findings
from ..analysis.pareto import comparison_errors
from ..objectives import Objective
from ..text import formatting
from ..text.metric_format import MetricFormat
from .base import escape_html, show_message, styled_figure, wrap_architecture
from .colouring import Colouring, group_architectures, group_colours
from .themes import LIGHT, SYMBOLS, Theme

MANY_ARCHITECTURES = 400
"""From this number on, markers and rings are smaller and only baselines have error bars."""
LABEL_POSITIONS = ("top center", "bottom right", "top left", "bottom left")
"""Where the name of a baseline may be placed; the first free position is used."""
LABEL_DISTANCE = 0.15
"""Baselines closer than this, as a fraction of the range of all baselines, get different
`LABEL_POSITIONS`, so that their names do not overlap."""
MAX_NUMBERS = 6
"""Trials of an architecture that the hover text names."""


def pareto_figure(
    findings: Findings,
    cost: Objective,
    theme: Theme = LIGHT,
    *,
    colouring: Colouring = "attention",
    log: bool = False,
    selected: int | None = None,
) -> go.Figure:
    """The study's metric against one cost: a marker for every architecture.

    The step line is the best result at each cost; rings mark the front over all objectives.
    Baselines are named diamonds, the bare backbone a square. The shaded region is above and left
    of a baseline: better, and no more expensive. The band around the bare backbone is the noise of
    a single trial.

    Args:
        findings: what to draw.
        cost: the horizontal axis.
        theme: the colours.
        colouring: what the markers are coloured by.
        log: whether the axis of the cost is logarithmic; not if a cost is zero.
        selected: number of a trial whose marker is ringed.
    """
    figure = _empty_figure(findings, cost, theme, log)
    points = _with_cost(findings.architectures, cost)
    if not points:
        return show_message(figure, theme, "No complete trial yet")
    form = MetricFormat(findings.metric)
    extent = _Extent.of(points, cost, form, log)
    baselines = _with_cost(findings.baselines, cost)
    _shade_better(figure, baselines, cost, theme, extent)
    _shade_noise(figure, findings, theme)
    figure.add_trace(_best_at_cost(points, cost, theme, extent))
    groups = group_architectures(points, colouring, findings.stages)
    for name, colour in group_colours(groups, colouring, theme).items():
        members = [p for p in points if groups[p.number] == name and not p.baseline]
        if members:
            symbol = theme.attention_symbol(name) if colouring == "attention" else SYMBOLS[0]
            figure.add_trace(_markers(members, findings, cost, (colour, symbol), name))
    if baselines:
        figure.add_trace(_baseline_markers(baselines, findings, cost, theme))
    if front := _with_cost(findings.front, cost):
        size = 20 if len(points) < MANY_ARCHITECTURES else 11
        figure.add_trace(_rings(front, (cost, form), theme, "Pareto front", size, 1.5))
    if ringed := [p for p in points if selected in p.numbers]:
        figure.add_trace(_rings(ringed, (cost, form), theme, "selected", 26, 3.5))
    return figure


def three_objectives_figure(
    findings: Findings,
    cost: Objective,
    third: Objective,
    theme: Theme = LIGHT,
    *,
    log: bool = False,
) -> go.Figure:
    """The metric against one cost, coloured by another; rings mark the front.

    Args:
        findings: what to draw.
        cost: the horizontal axis.
        third: the colour.
        theme: the colours.
        log: whether the axis of the cost is logarithmic; not if a cost is zero.
    """
    figure = _empty_figure(findings, cost, theme, log)
    points = [p for p in _with_cost(findings.architectures, cost) if third.key in p.values]
    if not points:
        return show_message(figure, theme, "No complete trial with these costs yet")
    form = MetricFormat(findings.metric)
    figure.add_trace(
        go.Scatter(
            **_coordinates(points, cost, form),
            mode="markers",
            name=third.title,
            marker={
                "color": [p.values[third.key] for p in points],
                "colorscale": "Cividis",
                "size": 11 if len(points) < MANY_ARCHITECTURES else 7,
                "symbol": ["diamond" if p.baseline else "circle" for p in points],
                "line": {"width": 1, "color": theme.text},
                "colorbar": {
                    "title": {"text": _axis_title(third), "side": "right"},
                    "thickness": 14,
                },
            },
            customdata=[p.number for p in points],
            hovertext=[_hover_text(p, findings) for p in points],
            hoverinfo="text",
            showlegend=False,
        )
    )
    if front := _with_cost(findings.front, cost):
        figure.add_trace(_rings(front, (cost, form), theme, "Pareto front", 20, 1.5))
    return figure


@dataclass(frozen=True)
class _Extent:
    """The region that is drawn on, in the units of the axes: somewhat more than the points cover.

    Plotly derives the ranges of the axes from what is drawn. A range that is set here would change
    during a search, and every change would undo a reader's zoom.
    """

    left: float
    right: float
    best: float
    form: MetricFormat

    @classmethod
    def of(
        cls,
        points: Sequence[ArchitectureSummary],
        cost: Objective,
        form: MetricFormat,
        log: bool,
    ) -> _Extent:
        costs = [p.values[cost.key] for p in points]
        log = log and min(costs) > 0
        left, right = _padded_range([math.log10(c) for c in costs] if log else costs)
        _, best = _padded_range([p.score for p in points])
        return cls(10**left if log else left, 10**right if log else right, best, form)


def _padded_range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    padding = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    return low - padding, high + 1.6 * padding


def _empty_figure(findings: Findings, cost: Objective, theme: Theme, log: bool) -> go.Figure:
    costs = [p.values[cost.key] for p in _with_cost(findings.architectures, cost)]
    axis = {
        "type": "log" if log and min(costs, default=0) > 0 else "linear",
        "tickformat": "" if cost.unit else "~s",
        "nticks": 7,
    }
    form = MetricFormat(findings.metric)
    title = _axis_title(cost)
    return styled_figure(theme, title, form.axis_title, x=axis, y=form.axis, height=470)


def _axis_title(cost: Objective) -> str:
    return cost.title + (f" ({cost.unit})" if cost.unit else "")


def _with_cost(points: Sequence[ArchitectureSummary], cost: Objective) -> list[ArchitectureSummary]:
    return [p for p in points if cost.key in p.values]


def _shade_better(
    figure: go.Figure,
    baselines: Sequence[ArchitectureSummary],
    cost: Objective,
    theme: Theme,
    extent: _Extent,
) -> None:
    """Shade what is above and left of a baseline: one path along their staircase."""
    ordered = sorted(baselines, key=lambda p: (-p.values[cost.key], p.score))
    if not ordered:
        return
    score, place = extent.best, extent.form.on_axis
    corners = [(extent.left, place(score)), (ordered[0].values[cost.key], place(score))]
    following = [*(p.values[cost.key] for p in ordered[1:]), extent.left]
    for point, next_cost in zip(ordered, following, strict=True):
        # At each cost, the region above the lowest of the baselines that cost at least as much.
        score = min(score, point.score)
        corners += [(point.values[cost.key], place(score)), (next_cost, place(score))]
    path = "M" + " L".join(f"{x},{y}" for x, y in corners) + " Z"
    figure.add_shape(type="path", path=path, line_width=0, fillcolor=theme.shade, layer="below")
    figure.add_annotation(
        x=0,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="top",
        text="better than a baseline, and no more expensive",
        showarrow=False,
        font={"size": 11, "color": theme.muted},
    )


def _shade_noise(figure: go.Figure, findings: Findings, theme: Theme) -> None:
    """Shade one standard deviation of a single trial around the bare backbone."""
    if findings.noise is None or findings.bare is None:
        return
    form, score, noise = MetricFormat(findings.metric), findings.bare.score, findings.noise
    worse, better = (form.on_axis(score + sign * noise.deviation) for sign in (-1, 1))
    figure.add_shape(
        xref="x domain",
        x0=0,
        x1=1,
        y0=worse,
        y1=better,
        line_width=0,
        fillcolor=theme.shade,
        layer="below",
    )
    figure.add_annotation(
        x=1,
        xref="paper",
        y=better,
        xanchor="right",
        yanchor="bottom",
        text=f"noise of one trial: ± {form.deviation(noise.deviation)}",
        showarrow=False,
        font={"size": 11, "color": theme.muted},
    )


def _markers(
    points: Sequence[ArchitectureSummary],
    findings: Findings,
    cost: Objective,
    style: tuple[str, str],
    name: str,
) -> go.Scatter:
    colour, symbol = style
    few = len(findings.architectures) < MANY_ARCHITECTURES
    form = MetricFormat(findings.metric)
    return go.Scatter(
        **_coordinates(points, cost, form),
        name=escape_html(name),
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 9 if few else 6,
            "opacity": 0.9,
            "line": {"width": 1, "color": "rgba(127, 127, 127, 0.5)"},
        },
        error_x=_cost_error_bars(points if few else (), cost, colour),
        error_y=_error_bars(points if few else (), form, colour),
        customdata=[p.number for p in points],
        hovertext=[_hover_text(p, findings) for p in points],
        hoverinfo="text",
    )


def _baseline_markers(
    points: Sequence[ArchitectureSummary], findings: Findings, cost: Objective, theme: Theme
) -> go.Scatter:
    form = MetricFormat(findings.metric)
    return go.Scatter(
        **_coordinates(points, cost, form),
        name="baselines",
        mode="markers+text",
        cliponaxis=False,
        text=[_baseline_name(p) for p in points],
        textposition=_label_positions(points, cost, form),
        textfont={"size": 11, "color": theme.text},
        marker={
            "color": [theme.attention_colour(main_attention(p.architecture)) for p in points],
            "symbol": ["square" if p.architecture.bare else "diamond" for p in points],
            "size": 13,
            "line": {"width": 1.5, "color": theme.text},
        },
        error_x=_cost_error_bars(points, cost, theme.text),
        error_y=_error_bars(points, form, theme.text),
        customdata=[p.number for p in points],
        hovertext=[_hover_text(p, findings) for p in points],
        hoverinfo="text",
    )


def _label_positions(
    points: Sequence[ArchitectureSummary], cost: Objective, form: MetricFormat
) -> list[str]:
    """The position of each name, such that names of neighbours do not overlap."""
    coordinates = _coordinates(points, cost, form)
    x, y = coordinates["x"], coordinates["y"]
    width, height = np.ptp(x) or 1.0, np.ptp(y) or 1.0
    positions: dict[int, str] = {}
    for index in np.argsort(x, kind="stable").tolist():
        taken = {
            position
            for other, position in positions.items()
            if abs(x[index] - x[other]) < LABEL_DISTANCE * width
            and abs(y[index] - y[other]) < LABEL_DISTANCE * height
        }
        free = (position for position in LABEL_POSITIONS if position not in taken)
        positions[index] = next(free, LABEL_POSITIONS[0])
    return [positions[index] for index in range(len(points))]


def _rings(
    points: Sequence[ArchitectureSummary],
    axes: tuple[Objective, MetricFormat],
    theme: Theme,
    name: str,
    size: int,
    width: float,
) -> go.Scatter:
    return go.Scatter(
        **_coordinates(points, *axes),
        name=name,
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": size,
            "color": theme.text,
            "line": {"width": width},
        },
        hoverinfo="skip",
    )


def _best_at_cost(
    points: Sequence[ArchitectureSummary], cost: Objective, theme: Theme, extent: _Extent
) -> go.Scatter:
    x: list[float] = []
    scores: list[float] = []
    for point in sorted(points, key=lambda p: (p.values[cost.key], -p.score)):
        if not scores or point.score > scores[-1]:
            x.append(point.values[cost.key])
            scores.append(point.score)
    y = [extent.form.on_axis(score) for score in scores]
    return go.Scatter(
        x=[*x, extent.right],
        y=[*y, y[-1]],
        name="best at cost",
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": theme.muted},
        hoverinfo="skip",
    )


def _coordinates(
    points: Sequence[ArchitectureSummary], cost: Objective, form: MetricFormat
) -> dict[str, list[float]]:
    return {
        "x": [p.values[cost.key] for p in points],
        "y": [form.on_axis(p.score) for p in points],
    }


def _error_bars(
    points: Sequence[ArchitectureSummary], form: MetricFormat, colour: str
) -> dict[str, Any]:
    return _bars([form.length(p.standard_error) for p in points], colour)


def _cost_error_bars(
    points: Sequence[ArchitectureSummary], cost: Objective, colour: str
) -> dict[str, Any]:
    """The errors with which a measured cost is compared within the study."""
    errors = comparison_errors(
        lambda key: np.array([p.values.get(key, np.nan) for p in points]), (cost.key,)
    )
    return _bars([float(error) or None for error in errors[:, 0]], colour)


def _bars(errors: Sequence[float | None], colour: str) -> dict[str, Any]:
    return {
        "type": "data",
        "array": list(errors),
        "color": colour,
        "thickness": 1,
        "width": 3,
        "visible": any(error is not None for error in errors),
    }


def _hover_text(point: ArchitectureSummary, findings: Findings) -> str:
    seeds = formatting.plural(len(point.seeds), "seed")
    lines = [f"<b>{wrap_architecture(str(point.architecture))}</b>"]
    form = MetricFormat(findings.metric)
    reached = form.value(point.score, point.standard_error)
    lines.append(f"{findings.metric.noun} {reached} ({seeds})")
    if point.gain is not None:
        gain = form.gain_with_unit(point.gain, point.gain_error)
        lines.append(f"{gain} over the bare backbone")
    for cost in findings.costs:
        if cost.key in point.values:
            line = f"{cost.title.lower()} {formatting.cost_of(point.values, cost)}"
            bare = {} if findings.bare is None else findings.bare.values
            if change := formatting.cost_change(point.values, bare, cost):
                line += f" ({change})"
            lines.append(line)
    more = ", …" if len(point.numbers) > MAX_NUMBERS else ""
    numbers = ", ".join(map(str, point.numbers[:MAX_NUMBERS])) + more
    lines.append(f"{'trial' if len(point.numbers) == 1 else 'trials'} {numbers}")
    return "<br>".join(lines)


def _baseline_name(point: ArchitectureSummary) -> str:
    if point.architecture.bare:
        return "bare"
    names = dict.fromkeys(i.attention for i in point.architecture.changes)
    return escape_html("+".join(names))
