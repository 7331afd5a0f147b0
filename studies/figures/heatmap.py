"""Heat map of gains: attention × stage, or attention × position.

Each cell is the mean gain of all architectures that have this attention there. They also differ
elsewhere, so a cell is not the effect of the attention alone (see `main_effects`).
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from ..analysis.findings import AttentionTable
from ..text import formatting
from .base import show_message, styled_figure
from .themes import LIGHT, Theme

MIN_ARCHITECTURES = 3
"""A cell with fewer architectures has no colour."""
ROW_HEIGHT = 62
"""Pixels for each attention."""


def heatmap_figure(table: AttentionTable, theme: Theme = LIGHT) -> go.Figure:
    """Mean accuracy gained over the bare backbone by attention and column, in points.

    The text of a cell has the mean, its standard error and the number of architectures. A cell has
    no colour if the evidence is weak: few architectures, or a mean within two standard errors of
    zero. A cell that was not tried is hatched.
    """
    figure = styled_figure(theme, "", "")
    if not table.cells:
        return show_message(figure, theme, "Nothing to compare with the bare backbone yet")
    rows = table.attentions[::-1]
    columns = table.stages
    largest = max(abs(100 * cell.mean) for cell in table.cells.values()) or 1.0
    figure.add_trace(
        go.Heatmap(
            z=[[_coloured_mean(table, row, column) for column in columns] for row in rows],
            x=list(columns),
            y=list(rows),
            text=[[_text(table, row, column) for column in columns] for row in rows],
            texttemplate="%{text}",
            textfont={"color": theme.text, "size": 12},
            hovertemplate="%{y} in %{x}<br>%{text}<extra></extra>",
            customdata=[[_mean(table, row, column) for column in columns] for row in rows],
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
    figure.update_layout(height=70 + ROW_HEIGHT * len(rows), margin={"t": 40, "b": 16})
    figure.update_xaxes(showgrid=False, side="top", type="category", ticks="", fixedrange=True)
    figure.update_yaxes(showgrid=False, type="category", ticks="", fixedrange=True)
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            if (row, column) not in table.cells:
                _hatch(figure, x, y, theme)
    return figure


def _hatch(figure: go.Figure, x: int, y: int, theme: Theme) -> None:
    """Draw a cell as a rectangle with diagonal strokes."""
    left, right, low, high = x - 0.48, x + 0.48, y - 0.47, y + 0.47
    box = {"x0": left, "x1": right, "y0": low, "y1": high}
    figure.add_shape(type="rect", **box, line_width=0, fillcolor=theme.empty, layer="below")
    strokes = []
    for level in np.linspace(0.2, 1.8, 9):
        # Points of the diagonal u + v = level inside the unit square.
        u0, u1 = max(0.0, level - 1), min(1.0, level)
        ends = [(left + u * (right - left), low + (level - u) * (high - low)) for u in (u0, u1)]
        strokes.append("M{:.3f},{:.3f} L{:.3f},{:.3f}".format(*ends[0], *ends[1]))
    line = {"color": theme.muted, "width": 1}
    figure.add_shape(type="path", path=" ".join(strokes), line=line, opacity=0.3, layer="below")


def _mean(table: AttentionTable, row: str, column: str) -> float | None:
    cell = table.cells.get((row, column))
    return None if cell is None else 100 * cell.mean


def _coloured_mean(table: AttentionTable, row: str, column: str) -> float | None:
    """The value that colours a cell: its mean, or zero where the evidence is weak."""
    cell = table.cells.get((row, column))
    if cell is None:
        return None
    error = cell.standard_error
    weak = cell.count < MIN_ARCHITECTURES or error is None or abs(cell.mean) < 2 * error
    return 0.0 if weak else 100 * cell.mean


def _text(table: AttentionTable, row: str, column: str) -> str:
    cell = table.cells.get((row, column))
    if cell is None:
        return ""
    error = ""
    if cell.standard_error is not None:
        error = f"±{formatting.points(cell.standard_error, signed=False)}<br>"
    return f"<b>{formatting.points(cell.mean)}</b><br>{error}n={cell.count}"
