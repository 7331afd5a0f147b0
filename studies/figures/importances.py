"""How much of the accuracy's variation the attentions of each stage explain."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from .base import escape_html, selection_text, show_message, styled_figure
from .themes import LIGHT, Theme

UNEXPLAINED = "unexplained"


def importances_figure(shares: Mapping[str, float], theme: Theme = LIGHT) -> go.Figure:
    """The share of the variance of trials that the attentions of each stage explain, as bars.

    The last bar, in grey, is what they do not explain.

    Args:
        shares: by stage; empty if it is unknown.
        theme: the colours.
    """
    figure = styled_figure(theme, "Share of the variance of trials (%)", "")
    if not shares:
        return show_message(figure, theme, "Too few trials to estimate importances yet")
    stages = list(shares)
    unexplained = max(0.0, 1.0 - sum(shares.values()))
    figure.add_trace(
        go.Bar(
            x=[*(100 * shares[stage] for stage in stages), 100 * unexplained],
            y=[*map(escape_html, stages), UNEXPLAINED],
            orientation="h",
            marker={"color": [*[theme.palette[0]] * len(stages), theme.muted]},
            hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
            showlegend=False,
            customdata=[*(selection_text({"stage": stage}) for stage in stages), None],
        )
    )
    figure.update_layout(height=110 + 32 * (len(stages) + 1), margin={"t": 8})
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True)
    return figure
