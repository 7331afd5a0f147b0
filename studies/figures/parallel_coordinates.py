"""Parallel coordinates: a line for each trial over axes of what it chose, cost and reached.

Plotly's own trace of this kind needs WebGL and compiles code in the browser, which the pages
forbid. So lines are drawn as a scatter plot, and a box that is dragged over an axis is a selection
on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from .base import escape_html, show_message, styled_figure
from .themes import DARK, LIGHT, Theme

COLOUR_STEPS = 6
"""Colours of lines, from the worst to the best results."""
COLOURS = {LIGHT.name: (0.75, 0.0), DARK.name: (0.35, 1.0)}
"""By theme, the part of the colour scale whose colours stand out from the page."""
MAX_TICK_LENGTH = 12


@dataclass(frozen=True, eq=False)
class DrawnAxis:
    """One axis.

    Attributes:
        title: above it.
        positions: (n,) of each trial, from 0 at the bottom to 1; NaN where it is not known.
        ticks: positions and texts.
        brushes: the parts that filters select.
    """

    title: str
    positions: npt.NDArray[np.float64]
    ticks: Sequence[tuple[float, str]]
    brushes: Sequence[tuple[float, float]] = ()


def parallel_coordinates_figure(
    axes: Sequence[DrawnAxis],
    passing: npt.NDArray[np.bool_],
    ranks: npt.NDArray[np.float64],
    theme: Theme = LIGHT,
) -> go.Figure:
    """A line for each of n trials; those that do not pass the filters are grey.

    Args:
        axes: from left to right.
        passing: (n,) whether each trial passes the filters.
        ranks: (n,) of the results, from 0 for the worst to 1 for the best; decide the colours.
        theme: the colours.
    """
    figure = styled_figure(
        theme,
        "",
        "",
        x={"range": [-0.4, len(axes) - 0.6], "visible": False, "fixedrange": True},
        y={"range": [-0.06, 1.14], "visible": False, "fixedrange": True},
        height=380,
        margin={"l": 8, "r": 8, "t": 8, "b": 40},
        dragmode="select",
        selectdirection="any",
    )
    if not len(passing):
        return show_message(figure, theme, "No complete trial yet")
    table = np.column_stack([axis.positions for axis in axes])
    _add_lines(figure, table[~passing], theme.muted, 0.12, "does not pass")
    low, high = COLOURS[theme.name]
    shades = sample_colorscale("Cividis", np.linspace(low, high, COLOUR_STEPS).tolist())
    steps = np.minimum((ranks * COLOUR_STEPS).astype(int), COLOUR_STEPS - 1)
    for step, shade in enumerate(shades):
        names = {0: "worst results", COLOUR_STEPS - 1: "best results"}
        members = table[passing & (steps == step)]
        _add_lines(figure, members, shade, 0.65, names.get(step))
    _add_axes(figure, axes, theme)
    return figure


def _add_lines(
    figure: go.Figure,
    table: npt.NDArray[np.float64],
    colour: str,
    opacity: float,
    name: str | None,
) -> None:
    """One trace for all lines of a colour, with gaps between them."""
    if not len(table):
        return
    count, width = table.shape
    gaps = np.full((count, 1), np.nan)
    x = np.hstack([np.tile(np.arange(width, dtype=float), (count, 1)), gaps])
    y = np.hstack([table, gaps])
    figure.add_trace(
        go.Scatter(
            x=_with_gaps(x),
            y=_with_gaps(y),
            mode="lines",
            line={"color": colour, "width": 1.3},
            opacity=opacity,
            name=name or "",
            showlegend=name is not None,
            hoverinfo="skip",
        )
    )


def _with_gaps(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(v) else round(v, 4) for v in values.ravel().tolist()]


def _add_axes(figure: go.Figure, axes: Sequence[DrawnAxis], theme: Theme) -> None:
    shapes: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    plain = {"showarrow": False, "xref": "x", "yref": "y"}
    small = {"size": 11, "color": theme.text}
    for place, axis in enumerate(axes):
        line = {"color": theme.text, "width": 1.2}
        shapes.append({"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line})
        for low, high in axis.brushes:
            box = {"x0": place - 0.06, "x1": place + 0.06, "y0": low - 0.02, "y1": high + 0.02}
            outline = {"color": theme.palette[0], "width": 1.5}
            shapes.append({"type": "rect", **box, "line": outline, "fillcolor": theme.shade})
        title = {"x": place, "y": 1.1, "text": f"<b>{escape_html(axis.title)}</b>"}
        annotations.append({**plain, **title, "font": {"size": 12, "color": theme.text}})
        for position, text in axis.ticks:
            shown = text if len(text) <= MAX_TICK_LENGTH else f"{text[: MAX_TICK_LENGTH - 1]}…"
            tick = {"x": place, "y": position, "text": escape_html(shown), "font": small}
            beside: dict[str, Any] = {"xanchor": "left", "xshift": 4}
            if place == len(axes) - 1:  # Its texts are inside the figure.
                beside = {"xanchor": "right", "xshift": -4}
            ground = {"bgcolor": theme.page, "opacity": 0.85}
            annotations.append({**plain, **tick, **beside, **ground})
    # A box selects only where there are markers; these are not seen.
    ends = [(place, end) for place in range(len(axes)) for end in (0, 1)]
    figure.add_trace(
        go.Scatter(
            x=[place for place, _ in ends],
            y=[end for _, end in ends],
            mode="markers",
            marker={"size": 1, "opacity": 0},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    figure.update_layout(shapes=shapes, annotations=annotations)
