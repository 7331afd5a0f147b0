"""The best result so far, with the noise of a trial, and the results of all trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ..analysis.best_so_far import BestSoFar
from ..objectives import Objective
from ..text.metric_format import MetricFormat
from .base import band, show_message, styled_figure, wrap_architecture
from .themes import LIGHT, Theme

MAX_MARKERS = 1500
"""Of more trials, every n-th one has a marker, and all those with which the best has risen."""


def best_so_far_figure(
    history: BestSoFar,
    architectures: Sequence[str],
    metric: Objective,
    theme: Theme = LIGHT,
    *,
    drawn: npt.NDArray[np.bool_] | None = None,
) -> go.Figure:
    """The estimate of the best architecture so far, by the number of trials that have ended.

    The band is one standard deviation of a single trial wide on each side.

    Args:
        history: of the study.
        architectures: (n,) the text of each of its complete trials.
        metric: that it searches for.
        theme: the colours.
        drawn: (n,) which trials have a marker; None: all.
    """
    form = MetricFormat(metric)
    figure = styled_figure(
        theme, "Trials that have ended", form.axis_title, y=form.axis, height=340
    )
    if not len(history.numbers):
        return show_message(figure, theme, "No complete trial yet")
    x = history.ended.tolist()
    rises = np.flatnonzero(np.diff(history.best, prepend=-np.inf) > 0)
    corners = sorted({*rises.tolist(), len(x) - 1})
    steps = [x[i] for i in corners]
    best = [form.on_axis(float(history.best[i])) for i in corners]
    if history.deviation is not None:
        reach = form.length(history.deviation)
        high, low = [value + reach for value in best], [value - reach for value in best]
        noise = band(steps, low, high, theme.palette[0], shape="hv")
        noise.update(name="noise of one trial", showlegend=True)
        figure.add_trace(noise)
    indices = _with_marker(history, rises, drawn)
    figure.add_trace(
        go.Scatter(
            x=[x[i] for i in indices],
            y=[form.on_axis(float(history.scores[i])) for i in indices],
            name="trials, as measured",
            mode="markers",
            marker={"color": theme.muted, "size": 6, "opacity": 0.75},
            customdata=[int(history.numbers[i]) for i in indices],
            text=[
                f"trial {history.numbers[i]}<br>{wrap_architecture(architectures[i])}"
                for i in indices
            ],
            hovertemplate=f"{form.hover}<br>%{{text}}<extra></extra>",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=steps,
            y=best,
            name="best so far, as estimated now",
            mode="lines" if len(steps) > 1 else "lines+markers",
            line={"color": theme.palette[0], "width": 2.5, "shape": "hv"},
            hovertemplate=f"best after %{{x}} trials: {form.hover}<extra></extra>",
        )
    )
    if history.bare is not None:
        figure.add_hline(
            y=form.on_axis(history.bare),
            line={"color": theme.text, "width": 1.2, "dash": "dash"},
            annotation={"text": "bare backbone", "font": {"size": 11, "color": theme.muted}},
            annotation_position="bottom right",
        )
    return figure


def _with_marker(
    history: BestSoFar, rises: npt.NDArray[np.int64], drawn: npt.NDArray[np.bool_] | None
) -> list[int]:
    """The indices of the trials that have a marker."""
    indices = np.arange(len(history.numbers)) if drawn is None else np.flatnonzero(drawn)
    step = -(-len(indices) // MAX_MARKERS) or 1
    return sorted({*indices[::step].tolist(), *np.intersect1d(rises, indices).tolist()})
