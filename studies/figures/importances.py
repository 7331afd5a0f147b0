"""How much of the accuracy's variation each stage explains (fANOVA)."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from .base import escape_html, show_message, styled_figure
from .themes import LIGHT, Theme


def importances_figure(importances: Mapping[str, float], theme: Theme = LIGHT) -> go.Figure:
    """The share of the accuracy's variation that the attention of each stage explains, as bars."""
    figure = styled_figure(theme, "Share of the variation explained (%)", "")
    if not importances:
        return show_message(figure, theme, "Too few architectures to estimate importances yet")
    stages = sorted(importances)
    figure.add_trace(
        go.Bar(
            x=[100 * importances[stage] for stage in stages],
            y=[escape_html(stage) for stage in stages],
            orientation="h",
            marker={"color": theme.palette[0]},
            hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(height=110 + 32 * len(stages), margin={"t": 8})
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True)
    return figure
