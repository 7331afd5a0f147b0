"""The ground that all figures are drawn on: fonts, axes, legend; and texts made safe for it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import plotly.graph_objects as go

from .themes import Theme

Axis = Mapping[str, Any]
NEUTRAL: Axis = MappingProxyType({})
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def safe(text: str) -> str:
    """Text that Plotly, which reads HTML, shows as it is."""
    return html.escape(text, quote=False)


def wrapped(architecture: str) -> str:
    """An architecture's text, safe, one insertion a line."""
    return safe(architecture).replace("+", "<br>+")


def canvas(
    theme: Theme, x_title: str, y_title: str, *, x: Axis = NEUTRAL, y: Axis = NEUTRAL, **layout: Any
) -> go.Figure:
    """An empty figure in the house style, on a transparent ground.

    `x`, `y` and `layout` add to the axes' and the figure's own settings. They are better given
    here than by `update_layout`, which takes ten times as long as making the figure.
    """
    style = {"gridcolor": theme.grid, "zeroline": False, "automargin": True}
    house = {
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
        "xaxis": {**style, "title": {"text": x_title, "standoff": 10}, **x},
        "yaxis": {**style, "title": {"text": y_title, "standoff": 10}, **y},
    }
    return go.Figure(layout={**house, **layout})


def nothing(figure: go.Figure, theme: Theme, text: str) -> go.Figure:
    """The figure with a sentence in place of data."""
    figure.update_layout(height=180)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    place: dict[str, Any] = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
    figure.add_annotation(**place, text=text, showarrow=False, font={"color": theme.faint})
    return figure
