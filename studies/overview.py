"""Drawings of a search as a whole: how its front grew, and which decisions mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from . import wording
from .canvas import canvas, nothing, safe
from .themes import LIGHT, Theme
from .volume import Step


def course_figure(steps: Sequence[Step], theme: Theme = LIGHT) -> go.Figure:
    """The hypervolume of the front over the epochs that were trained."""
    figure = canvas(theme, "Epochs trained, all trials together", "Hypervolume of the front")
    if not steps:
        return nothing(figure, theme, "No complete trial yet")
    figure.add_trace(
        go.Scatter(
            x=[step.epochs for step in steps],
            y=[step.volume for step in steps],
            mode="lines+markers" if len(steps) < 60 else "lines",
            line={"color": theme.palette[0], "width": 2, "shape": "hv"},
            marker={"size": 5},
            text=[wording.duration(step.seconds) for step in steps],
            hovertemplate="%{y:.3f} after %{x} epochs, %{text} in trials<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(height=320)
    figure.update_yaxes(rangemode="tozero")
    return figure


def importance_figure(shares: Mapping[str, float], theme: Theme = LIGHT) -> go.Figure:
    """The share of the accuracy's variation that each stage's attention explains."""
    figure = canvas(theme, "Share of the variation explained (%)", "")
    if not shares:
        return nothing(figure, theme, "Too few architectures to tell yet")
    names = sorted(shares)
    figure.add_trace(
        go.Bar(
            x=[100 * shares[name] for name in names],
            y=[safe(name) for name in names],
            orientation="h",
            marker={"color": theme.palette[0]},
            hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(height=110 + 32 * len(names), margin={"t": 8})
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True)
    return figure
