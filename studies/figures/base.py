"""What all figures share: fonts, axes and legend; a message in place of data; texts made safe."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import plotly.graph_objects as go

from .themes import Theme

AxisSettings = Mapping[str, Any]
DEFAULT_AXIS: AxisSettings = MappingProxyType({})
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

MESSAGE_WIDTH, MESSAGE_LINES = 56, 6
"""Characters in a line of a message, and its lines: a phone shows as much."""


def escape_html(text: str) -> str:
    """Escape a text so that Plotly, which interprets HTML, shows it as it is."""
    return html.escape(text, quote=False)


def wrap_architecture(architecture: str) -> str:
    """An architecture's text as HTML, one insertion a line."""
    return escape_html(architecture).replace("+", "<br>+")


def band(
    x: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str, **line: Any
) -> go.Scatter:
    """A translucent band between two curves.

    Args:
        x: (n,) horizontal positions.
        low, high: (n,) lower and upper ends.
        colour: `#rrggbb`.
        **line: further settings of the outline, such as its shape.
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return go.Scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, 0.18)",
        line={"width": 0, **line},
        hoverinfo="skip",
        mode="lines",
        showlegend=False,
    )


def styled_figure(
    theme: Theme,
    x_title: str,
    y_title: str,
    *,
    x: AxisSettings = DEFAULT_AXIS,
    y: AxisSettings = DEFAULT_AXIS,
    **layout: Any,
) -> go.Figure:
    """An empty figure in the project's style, with a transparent background.

    Pass settings here rather than to `update_layout` later: that takes ten times as long as
    making the figure.

    Args:
        theme: the colours.
        x_title: title of the horizontal axis; empty for none.
        y_title: title of the vertical axis; empty for none.
        x: further settings of the horizontal axis.
        y: further settings of the vertical axis.
        **layout: further settings of the figure; `height` is in pixels.
    """
    axis = {"gridcolor": theme.grid, "zeroline": False, "automargin": True}
    style = {
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": theme.text},
        "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
        "legend": {
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "font": {"size": 12},
        },
        "hoverlabel": {"bgcolor": theme.page, "font": {"color": theme.text}, "align": "left"},
        "hovermode": "closest",
        "height": 400,
        "xaxis": {**axis, "title": {"text": x_title, "standoff": 10}, **x},
        "yaxis": {**axis, "title": {"text": y_title, "standoff": 10}, **y},
    }
    return go.Figure(layout={**style, **layout})


def show_message(figure: go.Figure, theme: Theme, message: str) -> go.Figure:
    """Hide the axes of a figure without data and show a message instead.

    Args:
        figure: changed in place.
        theme: the colours.
        message: a sentence.

    Returns:
        The same figure.
    """
    figure.update_layout(height=180)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    centre: dict[str, Any] = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    lines = textwrap.wrap(message, MESSAGE_WIDTH, max_lines=MESSAGE_LINES, placeholder=" …")
    text = "<br>".join(lines)
    figure.add_annotation(**centre, text=text, showarrow=False, font={"color": theme.muted})
    return figure


def selection_text(levels: Mapping[str, str]) -> str:
    """What a marker or bar stands for, as its `customdata`, such as `attention=se~ratio=16`.

    Args:
        levels: by factor: attention, position, stage or ratio.
    """
    return "~".join(f"{factor}={level}" for factor, level in levels.items())


def read_selection(text: str) -> dict[str, str]:
    """The inverse of `selection_text`; without the parts that are none of it."""
    pairs = (part.partition("=") for part in text.split("~"))
    return {factor: level for factor, equals, level in pairs if equals}


def fade_unselected(figure: go.Figure, selected: Callable[[Mapping[str, str]], bool]) -> go.Figure:
    """Fade the markers and bars that stand for something that is not selected.

    Args:
        figure: changed in place; `customdata` of its traces are texts of `selection_text`.
        selected: whether something with these levels is selected.

    Returns:
        The same figure.
    """
    for trace in figure.data:
        if trace.customdata is not None:
            texts = [read_selection(text or "") for text in trace.customdata]
            trace.selectedpoints = [i for i, levels in enumerate(texts) if selected(levels)]
            trace.unselected = {"marker": {"opacity": 0.25}}
    return figure
