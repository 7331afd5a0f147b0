"""Markers with confidence intervals, one per line, for two figures."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.attention_effects import MainEffect
from ..analysis.paired_comparisons import Difference
from ..text.metric_format import MetricFormat


def interval_markers(
    name: str,
    colour: str,
    symbols: Sequence[str],
    lines: Sequence[int],
    intervals: Sequence[Difference | MainEffect],
    texts: Sequence[str],
    form: MetricFormat,
) -> go.Scatter:
    """Markers with horizontal 95 % intervals.

    Args:
        name: of the group, for the legend.
        colour: of markers and intervals.
        symbols: Plotly's symbol for each marker.
        lines: the line of each marker, counted from the top.
        intervals: the values.
        texts: hover texts, as HTML.
        form: how the values are drawn.
    """
    return go.Scatter(
        x=[form.length(interval.mean) for interval in intervals],
        y=list(lines),
        mode="markers",
        name=name,
        marker={
            "color": colour,
            "size": 11,
            "symbol": list(symbols),
            "line": {"color": colour, "width": 2},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [form.length(interval.high - interval.mean) for interval in intervals],
            "arrayminus": [form.length(interval.mean - interval.low) for interval in intervals],
            "color": colour,
            "thickness": 2,
            "width": 5,
        },
        text=list(texts),
        hovertemplate="%{text}<extra></extra>",
    )


def label_lines(figure: go.Figure, labels: Sequence[str], height: int) -> go.Figure:
    """Give a figure one line per label, and label the lines.

    Args:
        figure: changed in place.
        labels: as HTML, from the top.
        height: of a line, pixels.

    Returns:
        The same figure.
    """
    figure.update_layout(height=120 + height * len(labels), margin={"l": 16, "t": 8})
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
    )
    return figure
