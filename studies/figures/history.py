"""Drawings of a search as a whole: how its front grew, and which decisions mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ..analysis.hypervolume import HypervolumeStep
from ..records import STATES
from ..text import formatting
from .base import canvas, nothing, safe, wrapped
from .themes import LIGHT, Theme


def hypervolume_figure(
    steps: Sequence[HypervolumeStep], theme: Theme = LIGHT, *, over_time: bool = False
) -> go.Figure:
    """The hypervolume of the front over the epochs that were trained, or the time they took."""
    title = "Minutes in trials" if over_time else "Epochs trained, all trials together"
    figure = canvas(theme, title, "Hypervolume of the front")
    if not steps:
        return nothing(figure, theme, "No complete trial yet")
    figure.add_trace(
        go.Scatter(
            x=[step.seconds / 60 if over_time else step.epochs for step in steps],
            y=[step.volume for step in steps],
            mode="lines+markers" if len(steps) < 60 else "lines",
            line={"color": theme.palette[0], "width": 2, "shape": "hv"},
            marker={"size": 5},
            text=[
                f"{formatting.plural(step.epochs, 'epoch')}, {formatting.duration(step.seconds)}"
                for step in steps
            ],
            hovertemplate="%{y:.3f} after %{text} in trials<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(height=320)
    figure.update_yaxes(rangemode="tozero")
    return figure


def importances_figure(shares: Mapping[str, float], theme: Theme = LIGHT) -> go.Figure:
    """The share of the accuracy's variation that each stage's attention explains."""
    figure = canvas(theme, "Share of the variation explained (%)", "")
    if not shares:
        return nothing(figure, theme, "Too few architectures to tell yet")
    names = sorted(shares)
    figure.add_trace(
        go.Bar(
            x=[100 * shares[name] for name in names],
            y=[safe(name) for name in names],
            orientation="h",
            marker={"color": theme.palette[0]},
            hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_layout(height=110 + 32 * len(names), margin={"t": 8})
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, fixedrange=True)
    return figure


def timeline_figure(
    rows: npt.NDArray[Any],
    workers: Sequence[str],
    texts: Sequence[str],
    theme: Theme = LIGHT,
    *,
    runs: bool = False,
) -> go.Figure:
    """Trials as bars from start to end, a line for each worker, coloured by what became of them.

    `rows` are those of `trial_table.TrialTable`. A trial that has not ended goes on until now if
    the study `runs`; else until the last moment that is known of.
    """
    figure = canvas(theme, "", "")
    rows = rows[~np.isnan(rows["started"])]
    if not len(rows):
        return nothing(figure, theme, "No trial has begun yet")
    last = max(np.nanmax(rows["started"]), np.nanmax([0.0, *rows["finished"]]))
    now = datetime.now(UTC).timestamp() if runs else last
    ends = np.where(np.isnan(rows["finished"]), now, rows["finished"])
    names = [workers[place] if place >= 0 else "unknown" for place in rows["worker"]]
    colours = dict(zip(STATES, (theme.palette[0], theme.palette[1], theme.palette[2], theme.faint),
                       strict=True))  # fmt: skip
    for place, state in enumerate(STATES):
        chosen = np.flatnonzero(rows["state"] == place)
        if len(chosen):
            figure.add_trace(_bars(rows, chosen, ends, names, texts, state, colours[state]))
    lines = sorted(set(names))
    figure.update_layout(
        height=130 + 34 * len(lines), barmode="overlay", bargap=0.25, hovermode="closest"
    )
    figure.update_xaxes(type="date")
    figure.update_yaxes(
        tickvals=lines, ticktext=[safe(line[-18:]) for line in lines], type="category",
        showgrid=False, fixedrange=True,
    )  # fmt: skip
    return figure


def _bars(
    rows: npt.NDArray[Any],
    chosen: npt.NDArray[np.int64],
    ends: npt.NDArray[np.float64],
    names: Sequence[str],
    texts: Sequence[str],
    state: str,
    colour: str,
) -> go.Bar:
    return go.Bar(
        base=[_moment(rows["started"][i]) for i in chosen],
        x=[max(1.0, 1000 * (ends[i] - rows["started"][i])) for i in chosen],
        y=[names[i] for i in chosen],
        orientation="h",
        name=state,
        marker={"color": colour, "line": {"width": 1, "color": "rgba(127, 127, 127, 0.6)"}},
        hovertext=[
            f"trial {rows['number'][i]}, {state}, "
            f"{formatting.duration(float(ends[i] - rows['started'][i]))}<br>"
            f"{wrapped(texts[rows['architecture'][i]])}"
            for i in chosen
        ],
        hoverinfo="text",
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
