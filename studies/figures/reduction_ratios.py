"""Effect by reduction ratio, a line for each attention that has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ..analysis.attention_effects import Effect
from ..objectives import Objective
from ..text import formatting
from ..text.metric_format import MetricFormat
from .base import escape_html, selection_text, show_message, styled_figure
from .heatmap import interval_text
from .themes import LIGHT, Theme


def ratios_figure(
    curves: Mapping[str, Sequence[tuple[int, Effect]]],
    metric: Objective,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Effects over the bare backbone by reduction ratio, with 95 % intervals.

    A marker is hollow if the interval includes zero.

    Args:
        curves: by attention: its ratios, in order, each with its effect.
        metric: of the study.
        theme: the colours.
    """
    form = MetricFormat(metric)
    title = form.gain_title("Gain over the bare backbone")
    figure = styled_figure(theme, "Reduction ratio", title)
    if not curves:
        return show_message(figure, theme, "No attention with a reduction ratio to compare yet")
    figure.add_hline(y=0, line={"color": theme.text, "width": 1})
    for name, effects in curves.items():
        colour = theme.attention_colour(name)
        symbols = ["circle" if e.excludes_zero else "circle-open" for _, e in effects]
        figure.add_trace(
            go.Scatter(
                x=[ratio for ratio, _ in effects],
                y=[form.length(effect.mean) for _, effect in effects],
                name=escape_html(name),
                mode="lines+markers",
                marker={"color": colour, "size": 9, "symbol": symbols},
                line={"color": colour, "width": 1.5},
                error_y={
                    "type": "data",
                    "array": [form.length(effect.high - effect.mean) for _, effect in effects],
                    "thickness": 1.5,
                    "width": 4,
                },
                text=[
                    f"{form.gain_with_unit(effect.mean)}, {interval_text(effect, form)}<br>"
                    f"{formatting.plural(effect.architectures, 'architecture')}"
                    for _, effect in effects
                ],
                hovertemplate="r = %{x}: %{text}<extra></extra>",
                customdata=[
                    selection_text({"attention": name, "ratio": str(ratio)}) for ratio, _ in effects
                ],
            )
        )
    ratios = sorted({ratio for effects in curves.values() for ratio, _ in effects})
    figure.update_xaxes(type="log", tickvals=ratios, ticktext=[str(r) for r in ratios])
    figure.update_layout(height=380)
    return figure
