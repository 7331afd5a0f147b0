"""How much of the accuracy's variation the choices in each stage explain."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.importances import Importance
from .base import escape_html, selection_text, show_message, styled_figure
from .themes import LIGHT, Theme

UNEXPLAINED = "unexplained"


def importances_figure(importances: Sequence[Importance], theme: Theme = LIGHT) -> go.Figure:
    """The share of the variance of trials that each choice explains, as bars with intervals.

    The last bar, in grey, is what they do not explain.

    Args:
        importances: empty if they are unknown.
        theme: the colours.
    """
    figure = styled_figure(theme, "Share of the variance of trials (%)", "")
    if not importances:
        return show_message(figure, theme, "Too few trials to estimate importances yet")
    unexplained = max(0.0, 1.0 - sum(each.share for each in importances))
    hover = [
        f"{each.name}: {100 * each.share:.0f} % ({100 * each.low:.0f} to {100 * each.high:.0f} %)"
        for each in importances
    ]
    figure.add_trace(
        go.Bar(
            x=[*(100 * each.share for each in importances), 100 * unexplained],
            y=[*(escape_html(each.name) for each in importances), UNEXPLAINED],
            orientation="h",
            marker={"color": [*[theme.palette[0]] * len(importances), theme.muted]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [*(100 * (each.high - each.share) for each in importances), 0.0],
                "arrayminus": [*(100 * (each.share - each.low) for each in importances), 0.0],
                "color": theme.text,
                "thickness": 1.5,
                "width": 4,
            },
            hovertext=[*hover, f"{UNEXPLAINED}: {100 * unexplained:.0f} %"],
            hoverinfo="text",
            showlegend=False,
            customdata=[*(selection_text({"stage": each.stage}) for each in importances), None],
        )
    )
    figure.update_layout(height=110 + 32 * (len(importances) + 1), margin={"t": 8})
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True)
    return figure
