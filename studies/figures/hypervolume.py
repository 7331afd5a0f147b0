"""The hypervolume of the Pareto front as the search proceeds."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.hypervolume import HypervolumeStep
from ..text import formatting
from .base import show_message, styled_figure
from .themes import LIGHT, Theme

MAX_STEPS_WITH_MARKERS = 60
"""With more steps, only the line is drawn."""


def hypervolume_figure(
    steps: Sequence[HypervolumeStep], theme: Theme = LIGHT, *, over_time: bool = False
) -> go.Figure:
    """The hypervolume of the front against the training that was spent.

    Args:
        steps: the hypervolume history of the study.
        theme: the colours.
        over_time: whether the horizontal axis counts minutes in trials; else epochs.
    """
    title = "Minutes in trials" if over_time else "Epochs trained, all trials together"
    figure = styled_figure(theme, title, "Hypervolume of the front")
    if not steps:
        return show_message(figure, theme, "No complete trial yet")
    figure.add_trace(
        go.Scatter(
            x=[step.seconds / 60 if over_time else step.epochs for step in steps],
            y=[step.volume for step in steps],
            mode="lines+markers" if len(steps) < MAX_STEPS_WITH_MARKERS else "lines",
            line={"color": theme.palette[0], "width": 2, "shape": "hv"},
            marker={"size": 5},
            text=[
                f"{formatting.plural(step.epochs, 'epoch')}, {formatting.duration(step.seconds)}"
                for step in steps
            ],
            hovertemplate="%{y:.3f} after %{text} in trials<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(height=320)
    figure.update_yaxes(rangemode="tozero")
    return figure
