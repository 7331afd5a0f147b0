"""Two architectures seed by seed."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from ..objectives import Objective
from ..text.metric_format import MetricFormat
from .base import escape_html, show_message, styled_figure
from .themes import LIGHT, Theme


def paired_seeds_figure(
    results: Mapping[str, Mapping[int, tuple[int, float]]],
    metric: Objective,
    theme: Theme = LIGHT,
) -> go.Figure:
    """The results of two architectures by seed; a line connects those of one seed.

    Args:
        results: by the name of the architecture and by seed, the number of the trial and its score.
        metric: of the scores.
        theme: the colours.
    """
    form = MetricFormat(metric)
    figure = styled_figure(theme, "Seed", form.axis_title, y=form.axis, height=320)
    if not any(results.values()):
        return show_message(figure, theme, "No complete trial yet")
    first, second = results.values()
    seeds = [str(seed) for seed in sorted({*first, *second})]
    lines: dict[str, list[float | str | None]] = {"x": [], "y": []}
    for seed in sorted(first.keys() & second.keys()):
        lines["x"] += [str(seed), str(seed), None]
        lines["y"] += [form.on_axis(first[seed][1]), form.on_axis(second[seed][1]), None]
    line = {"color": theme.muted, "width": 1.5}
    figure.add_trace(
        go.Scatter(**lines, mode="lines", line=line, hoverinfo="skip", showlegend=False)
    )
    styles = ((theme.palette[2], "circle"), (theme.text, "square-open"))
    for (name, by_seed), (colour, symbol) in zip(results.items(), styles, strict=False):
        ordered = sorted(by_seed.items())
        figure.add_trace(
            go.Scatter(
                x=[str(seed) for seed, _ in ordered],
                y=[form.on_axis(score) for _, (_, score) in ordered],
                name=escape_html(name),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2}},
                customdata=[number for _, (number, _) in ordered],
                hovertemplate=f"seed %{{x}}: {form.hover}<br>trial %{{customdata}}",
            )
        )
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=seeds)
    return figure
