"""What the next trials were expected to add, as the search proceeds."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..objectives import Objective
from ..stored_config import ExpectedGain
from ..text import formatting
from ..text.expected_gain import forecast_clause
from ..text.metric_format import MetricFormat
from .base import band, show_message, styled_figure
from .themes import LIGHT, Theme


def expected_gain_figure(
    forecasts: Sequence[ExpectedGain],
    metric: Objective,
    theme: Theme = LIGHT,
    *,
    threshold: float | None = None,
) -> go.Figure:
    """The expected gain of the next trials after each number of trials.

    The band is one standard deviation of the gain wide on each side.

    Args:
        forecasts: in the order in which they were made.
        metric: of the study.
        theme: the colours.
        threshold: the gain below which the search ends; None if it does not.
    """
    count = forecasts[-1].trials if forecasts else 0
    form = MetricFormat(metric)
    title = form.gain_title(f"Expected gain of the next {count} trials") if forecasts else ""
    figure = styled_figure(theme, "Trials that have ended", title, y={"rangemode": "tozero"})
    figure.update_layout(height=320)
    if not forecasts:
        return show_message(figure, theme, "Not forecast yet: too few trials have ended")
    trials = [forecast.after for forecast in forecasts]
    means = [form.length(forecast.mean) for forecast in forecasts]
    deviations = [form.length(forecast.deviation) for forecast in forecasts]
    upper = [mean + deviation for mean, deviation in zip(means, deviations, strict=True)]
    lower = [max(0.0, m - deviation) for m, deviation in zip(means, deviations, strict=True)]
    figure.add_trace(band(trials, lower, upper, theme.palette[0]))
    figure.add_trace(
        go.Scatter(
            x=trials,
            y=means,
            mode="lines+markers" if len(trials) < 60 else "lines",
            line={"color": theme.palette[0], "width": 2},
            marker={"size": 5},
            text=[
                f"After {formatting.plural(forecast.after, 'trial')}: "
                f"{forecast_clause(forecast, metric)}"
                for forecast in forecasts
            ],
            hovertemplate="%{text}<extra></extra>",
            showlegend=False,
        )
    )
    if threshold is not None:
        figure.add_hline(
            y=form.length(threshold), line={"color": theme.muted, "width": 1, "dash": "dash"}
        )
    return figure
