"""Pruned and failed trials in a figure of a metric against a cost.

A pruned trial has the result of its last epoch, which is lower than what it would have reached. So
it may not stretch the axis: below the complete ones it is drawn at the lower edge, as a failed
trial, which has no result, is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from ..analysis.trial_table import FAILED, PRUNED
from ..objectives import Objective
from ..text import formatting
from ..text.metric_format import MetricFormat
from .base import wrap_architecture
from .themes import LIGHT, Theme

MAX_EARLY_ENDS = 400
"""The last trials of either kind that are drawn."""
EDGE_AXIS = "y2"
"""A second vertical axis from 0 to 1, for what is drawn at the lower edge."""
PRUNED_HEIGHT, FAILED_HEIGHT = 0.05, 0.02
"""Where on that axis pruned and failed trials are drawn."""


def add_early_ends(
    figure: go.Figure,
    rows: npt.NDArray[Any],
    architectures: Sequence[str],
    cost: Objective,
    metric: Objective,
    theme: Theme = LIGHT,
    *,
    lowest: float,
) -> go.Figure:
    """Add the trials that have ended early.

    Args:
        figure: of the metric against the cost; changed in place.
        rows: of trials, as in `TrialTable.rows`; others than pruned and failed ones are ignored,
            and so are those whose cost is not known.
        architectures: texts; a row's `architecture` is an index here.
        cost: the horizontal axis.
        metric: the vertical axis.
        theme: the colours.
        lowest: the lowest score that is drawn otherwise.

    Returns:
        The same figure.
    """
    rows = rows[~np.isnan(rows[cost.key])]
    pruned = rows[rows["state"] == PRUNED][-MAX_EARLY_ENDS:]
    failed = rows[rows["state"] == FAILED][-MAX_EARLY_ENDS:]
    with np.errstate(invalid="ignore"):
        above = pruned["score"] >= lowest
    form = MetricFormat(metric)
    groups = (
        ("pruned", pruned[above], None, "circle-open", theme.muted),
        ("pruned, below", pruned[~above], PRUNED_HEIGHT, "triangle-down-open", theme.muted),
        ("failed", failed, FAILED_HEIGHT, "x-thin", theme.palette[2]),
    )
    for name, members, height, symbol, colour in groups:
        if len(members):
            scores = [form.on_axis(float(score)) for score in members["score"]]
            figure.add_trace(
                go.Scatter(
                    x=members[cost.key].tolist(),
                    y=scores if height is None else [height] * len(members),
                    yaxis="y" if height is None else EDGE_AXIS,
                    name=name,
                    mode="markers",
                    opacity=0.7,
                    marker={
                        "symbol": symbol,
                        "size": 7,
                        "color": colour,
                        "line": {"width": 1.2, "color": colour},
                    },
                    customdata=members["number"].tolist(),
                    hovertext=[_hover_text(row, architectures, form) for row in members],
                    hoverinfo="text",
                )
            )
    edge = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    return figure.update_layout(yaxis2=edge)


def _hover_text(row: Any, architectures: Sequence[str], form: MetricFormat) -> str:
    state = "failed" if row["state"] == FAILED else "pruned"
    reached = "" if np.isnan(row["score"]) else f", {form.value(float(row['score']))}"
    return (
        f"trial {row['number']}, {state} after "
        f"{formatting.plural(int(row['epochs']), 'epoch')}{reached}<br>"
        f"{wrap_architecture(architectures[row['architecture']])}"
    )
