"""Heat map of effects: attention × stage, or attention × position."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go

from ..analysis.attention_effects import Effect, EffectTable
from ..objectives import Objective
from ..text.metric_format import MetricFormat
from .base import show_message, styled_figure
from .themes import LIGHT, Theme

ROW_HEIGHT = 62
"""Pixels for each attention."""
FADED = 0.7
"""How much a cell that is not selected is covered."""


def heatmap_figure(table: EffectTable, metric: Objective, theme: Theme = LIGHT) -> go.Figure:
    """What an attention gains over the bare backbone by column.

    The text of a cell has the effect, its 95 % interval and the number of architectures. A cell has
    a colour only if the interval excludes zero. A cell that was not tried is hatched.

    Args:
        table: the effects.
        metric: of the gains.
        theme: of the figure.
    """
    form = MetricFormat(metric)
    figure = styled_figure(theme, form.gain_title("Gain over the bare backbone"), "")
    if not table.cells:
        return show_message(figure, theme, "Nothing to compare with the bare backbone yet")
    rows, columns = table.attentions[::-1], table.columns
    largest = max(abs(form.length(effect.mean)) for effect in table.cells.values()) or 1.0
    figure.add_trace(
        go.Heatmap(
            z=[[_coloured_mean(table, row, column, form) for column in columns] for row in rows],
            x=list(columns),
            y=list(rows),
            text=[[_text(table, row, column, form) for column in columns] for row in rows],
            texttemplate="%{text}",
            textfont={"color": theme.text, "size": 12},
            hovertemplate="%{y} in %{x}<br>%{text}<extra></extra>",
            customdata=[[_mean(table, row, column, form) for column in columns] for row in rows],
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


def fade_cells(
    figure: go.Figure, selected: Callable[[str, str], bool], theme: Theme = LIGHT
) -> go.Figure:
    """Fade the cells of a heat map that are not selected.

    Args:
        figure: changed in place.
        selected: whether the cell of an attention and a column is.
        theme: of the figure.

    Returns:
        The same figure.
    """
    for heat in figure.data:
        for y, row in enumerate(heat.y):
            for x, column in enumerate(heat.x):
                if not selected(row, column):
                    box = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
                    figure.add_shape(
                        type="rect", **box, line_width=0, fillcolor=theme.page, opacity=FADED
                    )
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


def _mean(table: EffectTable, row: str, column: str, form: MetricFormat) -> float | None:
    effect = table.cells.get((row, column))
    return None if effect is None else form.length(effect.mean)


def _coloured_mean(table: EffectTable, row: str, column: str, form: MetricFormat) -> float | None:
    """The value that colours a cell: its effect, or zero if the interval includes zero."""
    effect = table.cells.get((row, column))
    if effect is None:
        return None
    return form.length(effect.mean) if effect.excludes_zero else 0.0


def _text(table: EffectTable, row: str, column: str, form: MetricFormat) -> str:
    effect = table.cells.get((row, column))
    if effect is None:
        return ""
    return (
        f"<b>{form.gain(effect.mean)}</b><br>{interval_text(effect, form)}<br>"
        f"n={effect.architectures}"
    )


def interval_text(effect: Effect, form: MetricFormat) -> str:
    """The 95 % interval of an effect, without its unit: `−0.3 to +1.2`."""
    return f"{form.gain(effect.low)} to {form.gain(effect.high)}"
