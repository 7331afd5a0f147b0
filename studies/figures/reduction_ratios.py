"""Gain by reduction ratio, a line for each attention that has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ..analysis.findings import MeanGain
from ..text import formatting
from .base import escape_html, show_message, styled_figure
from .themes import LIGHT, Theme


def ratios_figure(
    curves: Mapping[str, Sequence[tuple[int, MeanGain]]], theme: Theme = LIGHT
) -> go.Figure:
    """Mean gain over the bare backbone by reduction ratio, in points, with standard errors.

    Args:
        curves: by attention: its ratios, in order, each with the mean gain of the architectures
            that have this attention with this ratio.
        theme: the colours.
    """
    figure = styled_figure(theme, "Reduction ratio", "Gain over the bare backbone (points)")
    if not curves:
        return show_message(figure, theme, "No attention with a reduction ratio to compare yet")
    figure.add_hline(y=0, line={"color": theme.text, "width": 1})
    for name, gains in curves.items():
        colour = theme.attention_colour(name)
        figure.add_trace(
            go.Scatter(
                x=[ratio for ratio, _ in gains],
                y=[100 * gain.mean for _, gain in gains],
                name=escape_html(name),
                mode="lines+markers",
                marker={"color": colour, "size": 9},
                line={"color": colour, "width": 1.5},
                error_y={
                    "type": "data",
                    "array": [100 * (gain.standard_error or 0) for _, gain in gains],
                    "thickness": 1.5,
                    "width": 4,
                },
                text=[
                    f"{formatting.points(gain.mean, gain.standard_error)} points<br>"
                    f"{formatting.plural(gain.count, 'architecture')}"
                    for _, gain in gains
                ],
                hovertemplate="r = %{x}: %{text}<extra></extra>",
            )
        )
    ratios = sorted({ratio for gains in curves.values() for ratio, _ in gains})
    figure.update_xaxes(type="log", tickvals=ratios, ticktext=[str(r) for r in ratios])
    figure.update_layout(height=380)
    return figure
