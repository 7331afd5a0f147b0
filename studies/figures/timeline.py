"""The timeline of a search: which worker trained which trial, and when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ..analysis.trial_table import RUNNING
from ..records import STATES
from ..text import formatting
from .base import escape_html, show_message, styled_figure, wrap_architecture
from .themes import LIGHT, Theme

WORKER_NAME_LENGTH = 18
"""The last characters of a worker's name, which label its line."""


def timeline_figure(
    rows: npt.NDArray[Any],
    workers: Sequence[str],
    architectures: Sequence[str],
    theme: Theme = LIGHT,
    *,
    running: bool = False,
) -> go.Figure:
    """Trials as bars from start to end, one line per worker, coloured by their state.

    Args:
        rows: of the trials, as in `trial_table.TrialTable.rows`.
        workers: names; a row's `worker` is an index here.
        architectures: texts; a row's `architecture` is an index here.
        theme: the colours.
        running: whether a coordinator runs the study. If so, unfinished trials extend to now, else
            to the last start or end of a trial.
    """
    figure = styled_figure(theme, "Time (UTC)", "")
    rows = rows[~np.isnan(rows["started"])]
    if not len(rows):
        return show_message(figure, theme, "No trial has started yet")
    last = max(np.nanmax(rows["started"]), np.nanmax([0.0, *rows["finished"]]))
    now = datetime.now(UTC).timestamp() if running else last
    ends = np.where(np.isnan(rows["finished"]), now, rows["finished"])
    names = [workers[index] if index >= 0 else "unknown" for index in rows["worker"]]
    colours = (theme.palette[0], theme.palette[1], theme.palette[2], theme.muted)
    for code, (state, colour) in enumerate(zip(STATES, colours, strict=True)):
        selected = np.flatnonzero(rows["state"] == code)
        if len(selected):
            name = "unfinished" if code == RUNNING and not running else state
            figure.add_trace(_bars(rows, selected, ends, names, architectures, name, colour))
    lines = sorted(set(names))
    figure.update_layout(
        height=130 + 34 * len(lines), barmode="overlay", bargap=0.25, hovermode="closest"
    )
    figure.update_xaxes(type="date")
    figure.update_yaxes(
        tickvals=lines,
        ticktext=[escape_html(line[-WORKER_NAME_LENGTH:]) for line in lines],
        type="category",
        showgrid=False,
        fixedrange=True,
    )
    return figure


def _bars(
    rows: npt.NDArray[Any],
    selected: npt.NDArray[np.int64],
    ends: npt.NDArray[np.float64],
    names: Sequence[str],
    architectures: Sequence[str],
    state: str,
    colour: str,
) -> go.Bar:
    return go.Bar(
        base=[_iso_time(rows["started"][i]) for i in selected],
        x=[max(1.0, 1000 * (ends[i] - rows["started"][i])) for i in selected],
        y=[names[i] for i in selected],
        orientation="h",
        name=state,
        marker={"color": colour, "line": {"width": 1, "color": "rgba(127, 127, 127, 0.6)"}},
        hovertext=[
            f"trial {rows['number'][i]}, {state}, "
            f"{formatting.duration(float(ends[i] - rows['started'][i]))}{_loads(rows[i])}<br>"
            f"{wrap_architecture(architectures[rows['architecture'][i]])}"
            for i in selected
        ],
        hoverinfo="text",
        customdata=[int(rows["number"][i]) for i in selected],
    )


def _loads(row: Any) -> str:
    """How busy the machine and the device were, as far as that is known."""
    known = {"CPU": row["cpu_load"], "GPU": row["gpu_load"]}
    return "".join(
        f", {name} {formatting.share(float(load))}"
        for name, load in known.items()
        if not np.isnan(load)
    )


def _iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
