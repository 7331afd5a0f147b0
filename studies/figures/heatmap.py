"""Drawings of the findings, with Plotly: attention × stage, learning curves; see also `tradeoff`.

Each function takes values from `analysis` and a theme, and copes with nothing to draw. Plotly reads
HTML in its texts, so every text that comes from outside goes through `safe`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..analysis.findings import AttentionTable, Findings, MeanGain
from ..records import BASELINE, EpochRecord, TrialRecord
from ..text import formatting
from .base import canvas, nothing, safe, wrapped
from .themes import LIGHT, Theme

MANY_CURVES = 300
"""So many ordinary learning curves are drawn at most; of more, every n-th."""

ENOUGH = 3
"""Architectures from which on a cell of a heat map is coloured."""

Courses = dict[int, dict[int, float]]


def heatmap_figure(table: AttentionTable, theme: Theme = LIGHT) -> go.Figure:
    """Mean accuracy gained over the bare backbone, attention × stage, in percentage points.

    Every cell says mean, standard error and the number of architectures. A cell without enough
    evidence, of too few architectures or within two standard errors of nothing, has no colour, and
    one without any is hatched.
    """
    figure = canvas(theme, "", "")
    if not table.cells:
        return nothing(figure, theme, "Nothing to compare with the bare backbone yet")
    rows = table.attentions[::-1]
    largest = max(abs(100 * cell.mean) for cell in table.cells.values()) or 1.0
    figure.add_trace(
        go.Heatmap(
            z=[[_colour(table, row, column) for column in table.stages] for row in rows],
            x=list(table.stages),
            y=list(rows),
            text=[[_cell_text(table, row, column) for column in table.stages] for row in rows],
            texttemplate="%{text}",
            textfont={"color": theme.text, "size": 12},
            hovertemplate="%{y} in %{x}<br>%{text}<extra></extra>",
            customdata=[[_cell(table, row, column) for column in table.stages] for row in rows],
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


def learning_curves_figure(
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


def _cell(table: AttentionTable, row: str, column: str) -> float | None:
    cell = table.cells.get((row, column))
    return None if cell is None else 100 * cell.mean


def _colour(table: AttentionTable, row: str, column: str) -> float | None:
    """What colours a cell: its mean, or no gain at all where the evidence is weak."""
    cell = table.cells.get((row, column))
    if cell is None:
        return None
    error = cell.standard_error
    weak = cell.count < ENOUGH or error is None or abs(cell.mean) < 2 * error
    return 0.0 if weak else 100 * cell.mean


def _cell_text(table: AttentionTable, row: str, column: str) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return ""
    error = "" if cell.standard_error is None else f"±{100 * cell.standard_error:.1f}<br>"
    return f"<b>{formatting.points(cell.mean)}</b><br>{error}n={cell.count}"


def ratios_figure(
    curves: Mapping[str, Sequence[tuple[int, MeanGain]]], theme: Theme = LIGHT
) -> go.Figure:
    """Mean gain by reduction ratio, a line for each attention, with standard errors."""
    figure = canvas(theme, "Reduction ratio", "Gain over the bare backbone (points)")
    if not curves:
        return nothing(figure, theme, "No attention with a ratio to compare yet")
    figure.add_hline(y=0, line={"color": theme.text, "width": 1})
    for name, cells in curves.items():
        figure.add_trace(
            go.Scatter(
                x=[ratio for ratio, _ in cells],
                y=[100 * cell.mean for _, cell in cells],
                name=safe(name),
                mode="lines+markers",
                marker={"color": theme.attention(name), "size": 9},
                line={"color": theme.attention(name), "width": 1.5},
                error_y={
                    "type": "data",
                    "array": [100 * (cell.standard_error or 0) for _, cell in cells],
                    "thickness": 1.5,
                    "width": 4,
                },
                text=[formatting.plural(cell.count, "architecture") for _, cell in cells],
                hovertemplate="r = %{x}: %{y:+.2f} points<br>%{text}<extra></extra>",
            )
        )
    ratios = sorted({ratio for cells in curves.values() for ratio, _ in cells})
    figure.update_xaxes(type="log", tickvals=ratios, ticktext=[str(r) for r in ratios])
    figure.update_layout(height=380)
    return figure
