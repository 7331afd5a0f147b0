"""The hypervolume of the Pareto front as the search proceeds."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.hypervolume import HypervolumeStep
from ..text import formatting
from .base import band, show_message, styled_figure
from .themes import LIGHT, Theme

MAX_STEPS_WITH_MARKERS = 60
"""With more steps, only the line is drawn."""


def hypervolume_figure(
    steps: Sequence[HypervolumeStep], theme: Theme = LIGHT, *, over_time: bool = False
) -> go.Figure:
    """The hypervolume of the front, with its 95 % interval, against the training that was spent.

    Args:
        steps: the hypervolume history of the study.
        theme: the colours.
        over_time: whether the horizontal axis counts minutes in trials; else epochs.
    """
    title = "Minutes in trials" if over_time else "Epochs trained, all trials together"
    figure = styled_figure(theme, title, "Hypervolume of the front")
    if not steps:
        return show_message(figure, theme, "The bare backbone is not complete yet")
    x = [step.seconds / 60 if over_time else float(step.epochs) for step in steps]
    low, high = [step.low for step in steps], [step.high for step in steps]
    figure.add_trace(band(x, low, high, theme.palette[0], shape="hv"))
    figure.add_trace(
        go.Scatter(
            x=x,
            y=[step.volume for step in steps],
            mode="lines+markers" if len(steps) < MAX_STEPS_WITH_MARKERS else "lines",
            line={"color": theme.palette[0], "width": 2, "shape": "hv"},
            marker={"size": 5},
            text=[
                f"{step.volume:.3f} ({step.low:.3f} to {step.high:.3f}) after "
                f"{formatting.plural(step.epochs, 'epoch')}, {formatting.duration(step.seconds)}"
                for step in steps
            ],
            hovertemplate="%{text} in trials<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(height=320)
    return figure
