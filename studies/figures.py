"""Drawings of the findings, with Plotly: trade-off, attention × stage, learning curves.

Each function takes values from `analysis` and a theme, and copes with nothing to draw. Plotly reads
HTML in its texts, so every text that comes from outside goes through `safe`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from . import wording
from .analysis import main_attention
from .canvas import canvas, nothing, safe, wrapped
from .findings import AttentionTable, Findings, Point
from .objectives import Objective
from .records import BASELINE, EpochRecord, TrialRecord
from .themes import LIGHT, MIXED, Theme

CROWD = 400
"""From so many architectures on, markers and rings shrink and only baselines keep error bars."""
MANY_CURVES = 300
"""So many ordinary learning curves are drawn at most; of more, every n-th."""

Courses = dict[int, dict[int, float]]


def tradeoff_figure(findings: Findings, cost: Objective, theme: Theme = LIGHT) -> go.Figure:
    """Accuracy against one cost: a marker for every architecture, coloured by attention.

    The step line is the best accuracy at this cost; rings mark the study's front over all its
    objectives. Baselines are diamonds, the bare backbone a square, with their names. The shaded
    ground is no better and no cheaper than the bare backbone.
    """
    title = cost.title + (f" ({cost.unit})" if cost.unit else "")
    figure = canvas(theme, title, "Validation accuracy (%)")
    points = [p for p in findings.points if cost.key in p.values]
    if not points:
        return nothing(figure, theme, "No complete trial yet")
    figure.update_layout(height=470)
    figure.update_xaxes(
        range=_padded([p.values[cost.key] for p in points]),
        tickformat="" if cost.unit else "~s",
        nticks=7,
    )
    figure.update_yaxes(range=_padded([100 * p.accuracy for p in points]))
    _shade_dominated(figure, findings.bare, cost, theme)
    figure.add_trace(_best_at_cost(figure, points, cost, theme))
    families = {p.number: _family(p, len(findings.table.stages)) for p in points}
    for name in sorted(set(families.values()), key=lambda name: (name == MIXED, name)):
        group = [p for p in points if families[p.number] == name and not p.baseline]
        if group:
            figure.add_trace(_markers(group, findings, cost, theme, name))
    if baselines := [p for p in findings.baselines if cost.key in p.values]:
        figure.add_trace(_baselines(baselines, findings, cost, theme))
    if front := [p for p in findings.front if cost.key in p.values]:
        size = 20 if len(points) < CROWD else 11
        figure.add_trace(_rings(front, cost, theme, size))
    return figure


def heatmap_figure(table: AttentionTable, theme: Theme = LIGHT) -> go.Figure:
    """Mean accuracy gained over the bare backbone, attention × stage, in percentage points.

    Every cell says mean, standard error and the number of architectures; hatched ones have none.
    """
    figure = canvas(theme, "", "")
    if not table.cells:
        return nothing(figure, theme, "Nothing to compare with the bare backbone yet")
    rows = table.attentions[::-1]
    largest = max(abs(100 * cell.mean) for cell in table.cells.values()) or 1.0
    figure.add_trace(
        go.Heatmap(
            z=[[_cell(table, row, column) for column in table.stages] for row in rows],
            x=list(table.stages),
            y=list(rows),
            text=[[_cell_text(table, row, column) for column in table.stages] for row in rows],
            texttemplate="%{text}",
            textfont={"color": theme.text, "size": 12},
            hovertemplate="%{y} in %{x}<br>%{text}<extra></extra>",
            hoverongaps=False,
            zmin=-largest,
            zmid=0,
            zmax=largest,
            colorscale=[[0, theme.below], [0.5, theme.middle], [1, theme.above]],
            showscale=False,
            xgap=3,
            ygap=3,
        )
    )
    figure.update_layout(height=70 + 62 * len(rows), margin={"t": 40, "b": 16})
    figure.update_xaxes(showgrid=False, side="top", type="category", ticks="", fixedrange=True)
    figure.update_yaxes(showgrid=False, type="category", ticks="", fixedrange=True)
    for y, row in enumerate(rows):
        for x, column in enumerate(table.stages):
            if (row, column) not in table.cells:
                _hatch(figure, x, y, theme)
    return figure


def curves_figure(
    findings: Findings,
    trials: Sequence[TrialRecord],
    epochs: Iterable[EpochRecord],
    theme: Theme = LIGHT,
) -> go.Figure:
    """Validation accuracy by epoch: the bare backbone thick, the front in colour, others faint.

    Trials that ended early, pruned or failed, are dotted.
    """
    figure = canvas(theme, "Epoch", "Validation accuracy (%)")
    courses: Courses = {}
    for record in epochs:
        if not math.isnan(record.report.accuracy):
            courses.setdefault(record.number, {})[record.report.epoch] = record.report.accuracy
    drawn = [trial for trial in trials if trial.number in courses]
    if not drawn:
        return nothing(figure, theme, "No epoch is done yet")
    front = {number for point in findings.front for number in point.numbers}
    remaining = drawn
    for group in _groups(theme, front)[::-1]:
        members = [trial for trial in remaining if group.holds(trial)]
        remaining = [trial for trial in remaining if not group.holds(trial)]
        if members:
            step = math.ceil(len(members) / MANY_CURVES)
            figure.add_trace(_curves(group, members[::step], courses))
    figure.data = figure.data[::-1]
    longest = max(max(course) for course in courses.values())
    pad = 0.02 * (longest - 1) or 0.5
    figure.update_xaxes(dtick=1 if longest <= 12 else None, range=[1 - pad, longest + pad])
    figure.update_layout(legend_traceorder="reversed", height=420)
    return figure


@dataclass(frozen=True)
class _Group:
    """Curves that are drawn alike."""

    title: str
    line: dict[str, Any]
    opacity: float
    holds: Callable[[TrialRecord], bool]


def _groups(theme: Theme, front: set[int]) -> list[_Group]:
    """From the ground up; a trial belongs to the last that holds it."""
    faint, blue, red = theme.faint, theme.palette[0], theme.palette[2]
    return [
        _Group("others", {"color": faint, "width": 1}, 0.45, lambda _: True),
        _Group(
            "ended early",
            {"color": faint, "width": 1.3, "dash": "dot"},
            0.8,
            lambda trial: trial.state in ("pruned", "failed"),
        ),
        _Group(
            "textbook baselines",
            {"color": blue, "width": 1.6},
            0.9,
            lambda trial: trial.role == BASELINE and trial.state != "failed",
        ),
        _Group(
            "on the front",
            {"color": red, "width": 1.8},
            0.9,
            lambda trial: trial.number in front,
        ),
        _Group(
            "bare backbone",
            {"color": theme.text, "width": 3.2},
            1.0,
            lambda trial: trial.parsed.bare,
        ),
    ]


def _curves(group: _Group, trials: Sequence[TrialRecord], courses: Courses) -> go.Scatter:
    """One trace for all of them, with gaps between: a thousand traces would be slow."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str | None] = []
    for trial in trials:
        course = sorted(courses[trial.number].items())
        x += [epoch for epoch, _ in course] + [None]
        y += [100 * accuracy for _, accuracy in course] + [None]
        label = f"trial {trial.number}, seed {trial.seed}<br>{wrapped(trial.architecture)}"
        texts += [label] * len(course) + [None]
    longest = max(len(courses[trial.number]) for trial in trials)
    return go.Scatter(
        x=x,
        y=y,
        text=texts,
        name=f"{group.title} ({len(trials)})",
        mode="lines+markers" if longest == 1 else "lines",
        line=group.line,
        opacity=group.opacity,
        hovertemplate="epoch %{x}: %{y:.1f} %<br>%{text}<extra></extra>",
    )


def _markers(
    points: Sequence[Point], findings: Findings, cost: Objective, theme: Theme, name: str
) -> go.Scatter:
    return go.Scatter(
        **_where(points, cost),
        name=name,
        mode="markers",
        marker={
            "color": theme.attention(name),
            "size": 9 if len(findings.points) < CROWD else 6,
            "opacity": 0.9,
            "line": {"width": 1, "color": theme.page},
        },
        error_y=_errors(points if len(findings.points) < CROWD else (), theme.attention(name)),
        hovertext=[_hover(p, findings) for p in points],
        hoverinfo="text",
    )


def _baselines(
    points: Sequence[Point], findings: Findings, cost: Objective, theme: Theme
) -> go.Scatter:
    colours = [theme.attention(_family(p, 0)) for p in points]
    return go.Scatter(
        **_where(points, cost),
        name="baselines",
        mode="markers+text",
        cliponaxis=False,
        text=[_short(p) for p in points],
        textposition="top center",
        textfont={"size": 11, "color": theme.text},
        marker={
            "color": colours,
            "symbol": ["square" if p.architecture.bare else "diamond" for p in points],
            "size": 13,
            "line": {"width": 1.5, "color": theme.text},
        },
        error_y=_errors(points, theme.text),
        hovertext=[_hover(p, findings) for p in points],
        hoverinfo="text",
    )


def _rings(points: Sequence[Point], cost: Objective, theme: Theme, size: int) -> go.Scatter:
    return go.Scatter(
        **_where(points, cost),
        name="Pareto front",
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": size,
            "color": theme.text,
            "line": {"width": 1.5},
        },
        hoverinfo="skip",
    )


def _best_at_cost(
    figure: go.Figure, points: Sequence[Point], cost: Objective, theme: Theme
) -> go.Scatter:
    x: list[float] = []
    y: list[float] = []
    for point in sorted(points, key=lambda p: (p.values[cost.key], -p.accuracy)):
        if not y or 100 * point.accuracy > y[-1]:
            x.append(point.values[cost.key])
            y.append(100 * point.accuracy)
    return go.Scatter(
        x=[*x, figure.layout.xaxis.range[1]],
        y=[*y, y[-1]],
        name="best at cost",
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": theme.faint},
        hoverinfo="skip",
    )


def _shade_dominated(figure: go.Figure, bare: Point | None, cost: Objective, theme: Theme) -> None:
    if bare is None or cost.key not in bare.values:
        return
    right, bottom = figure.layout.xaxis.range[1], figure.layout.yaxis.range[0]
    corner = {"x0": bare.values[cost.key], "y0": bottom, "x1": right, "y1": 100 * bare.accuracy}
    figure.add_shape(type="rect", **corner, line_width=0, fillcolor=theme.shade, layer="below")
    figure.add_annotation(
        x=right,
        y=bottom,
        xanchor="right",
        yanchor="bottom",
        text="no better than bare, and no cheaper",
        showarrow=False,
        font={"size": 11, "color": theme.faint},
    )


def _hatch(figure: go.Figure, x: int, y: int, theme: Theme) -> None:
    left, right, low, high = x - 0.48, x + 0.48, y - 0.47, y + 0.47
    box = {"x0": left, "x1": right, "y0": low, "y1": high}
    figure.add_shape(type="rect", **box, line_width=0, fillcolor=theme.empty, layer="below")
    strokes = []
    for part in np.linspace(0.2, 1.8, 9):
        # Points of the diagonal u + v = part inside the unit square.
        u0, u1 = max(0.0, part - 1), min(1.0, part)
        ends = [(left + u * (right - left), low + (part - u) * (high - low)) for u in (u0, u1)]
        strokes.append("M{:.3f},{:.3f} L{:.3f},{:.3f}".format(*ends[0], *ends[1]))
    line = {"color": theme.faint, "width": 1}
    figure.add_shape(type="path", path=" ".join(strokes), line=line, opacity=0.3, layer="below")


def _padded(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    pad = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    return [low - pad, high + 1.6 * pad]


def _where(points: Sequence[Point], cost: Objective) -> dict[str, list[float]]:
    return {
        "x": [p.values[cost.key] for p in points],
        "y": [100 * p.accuracy for p in points],
    }


def _errors(points: Sequence[Point], colour: str) -> dict[str, Any]:
    errors = [p.standard_error for p in points]
    return {
        "type": "data",
        "array": [None if error is None else 100 * error for error in errors],
        "color": colour,
        "thickness": 1,
        "width": 3,
        "visible": any(error is not None for error in errors),
    }


def _hover(point: Point, findings: Findings) -> str:
    seeds = wording.plural(len(point.seeds), "seed")
    lines = [f"<b>{wrapped(str(point.architecture))}</b>"]
    lines.append(f"accuracy {wording.percent(point.accuracy, point.standard_error)} ({seeds})")
    if point.gain is not None:
        gain = wording.points(point.gain.mean, point.gain.standard_error)
        lines.append(f"{gain} points against the bare backbone")
    for cost in findings.costs:
        if cost.key in point.values:
            value = point.values[cost.key]
            line = f"{cost.title.lower()} {wording.cost(value, cost)}"
            if findings.bare is not None and cost.key in findings.bare.values:
                line += f" ({wording.change(value, findings.bare.values[cost.key])})"
            lines.append(line)
    numbers = ", ".join(map(str, point.numbers[:6])) + (", …" if len(point.numbers) > 6 else "")
    lines.append(f"{'trial' if len(point.numbers) == 1 else 'trials'} {numbers}")
    return "<br>".join(lines)


def _family(point: Point, stages: int) -> str:
    return main_attention(point.architecture, stages)


def _short(point: Point) -> str:
    names = [i.attention for i in point.architecture.insertions]
    if point.architecture.bare:
        return "bare"
    return safe("+".join(dict.fromkeys(names)) or "no attention")


def _cell(table: AttentionTable, row: str, column: str) -> float | None:
    cell = table.cells.get((row, column))
    return None if cell is None else 100 * cell.mean


def _cell_text(table: AttentionTable, row: str, column: str) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return ""
    error = "" if cell.standard_error is None else f"±{100 * cell.standard_error:.1f}<br>"
    return f"<b>{wording.points(cell.mean)}</b><br>{error}n={cell.count}"
