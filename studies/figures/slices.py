"""The trials behind the mean of each attention and ratio, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ..analysis.slices import NO_ATTENTION, ChoiceSlice
from ..objectives import Objective
from ..text import formatting
from ..text.metric_format import MetricFormat
from .base import escape_html, show_message, styled_figure, wrap_architecture
from .themes import LIGHT, Theme

MAX_POINTS = 3000
"""Of more, an even choice of each slice is drawn; means are of all."""
SPREAD = 0.3
"""How far points lie beside the middle of their slice, so that they do not hide one another."""


def slices_figure(
    slices: Sequence[ChoiceSlice],
    architectures: Mapping[int, str],
    metric: Objective,
    theme: Theme = LIGHT,
    *,
    bare: float | None = None,
) -> go.Figure:
    """The results of trials by stage, attention and ratio; a bar is the mean of a slice.

    Args:
        slices: by stage.
        architectures: texts by the number of the trial.
        metric: of the study.
        theme: the colours.
        bare: the score of the bare backbone; None if it is not known.
    """
    form = MetricFormat(metric)
    figure = styled_figure(theme, "", form.axis_title, y=form.axis, height=440)
    if not slices:
        return show_message(figure, theme, "No complete trial to show")
    places, stages = _places(slices)
    total = sum(len(each.numbers) for each in slices)
    step = -(-total // MAX_POINTS)
    for attention in dict.fromkeys(each.attention for each in slices):
        group = [(p, s) for p, s in zip(places, slices, strict=True) if s.attention == attention]
        figure.add_trace(_points(group, step, architectures, form, theme))
    figure.add_trace(
        go.Scatter(
            x=places,
            y=[form.on_axis(float(each.scores.mean())) for each in slices],
            mode="markers",
            name="mean",
            marker={
                "symbol": "line-ew",
                "size": 22,
                "line": {"width": 3, "color": theme.text},
                "color": theme.text,
            },
            text=[
                f"{each.stage}, {escape_html(each.label)}: mean "
                f"{form.value(float(each.scores.mean()))} of "
                f"{formatting.plural(len(each.scores), 'trial')}"
                for each in slices
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    if bare is not None:
        line = {"color": theme.text, "width": 1.2, "dash": "dash"}
        figure.add_hline(y=form.on_axis(bare), line=line)
    labels = [escape_html(each.label) for each in slices]
    ends = [-0.8, places[-1] + 0.8]
    ticks = {"tickvals": places, "ticktext": labels, "tickangle": -60}
    figure.update_xaxes(**ticks, showgrid=False, range=ends)
    for stage, middle in stages.items():
        heading: dict[str, Any] = {"x": middle, "y": 1.0, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(**heading, text=f"<b>{stage}</b>", showarrow=False)
    return figure.update_layout(margin={"t": 34, "b": 90}, legend={"y": -0.02})


def _places(slices: Sequence[ChoiceSlice]) -> tuple[list[float], dict[str, float]]:
    """The place of each slice, with a gap between stages; and the middle of each stage."""
    places: list[float] = []
    by_stage: dict[str, list[float]] = {}
    for index, each in enumerate(slices):
        members = by_stage.setdefault(each.stage, [])
        members.append(float(index + len(by_stage) - 1))
        places.append(members[-1])
    return places, {stage: sum(x) / len(x) for stage, x in by_stage.items()}


def _points(
    group: Sequence[tuple[float, ChoiceSlice]],
    step: int,
    architectures: Mapping[int, str],
    form: MetricFormat,
    theme: Theme,
) -> go.Scatter:
    """The trials of all slices of one attention."""
    x: list[float] = []
    y: list[float] = []
    numbers: list[int] = []
    for place, each in group:
        chosen = each.numbers[::step].tolist()
        offsets = SPREAD * (2 * np.modf(np.arange(len(chosen)) * 0.618)[0] - 1)
        x += (place + offsets).tolist()
        y += [form.on_axis(score) for score in each.scores[::step].tolist()]
        numbers += chosen
    name = group[0][1].attention
    colour = theme.muted if name == NO_ATTENTION else theme.attention_colour(name)
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name=escape_html(name),
        marker={"color": colour, "size": 5, "opacity": 0.65,
                "symbol": theme.attention_symbol(name)},
        customdata=numbers,
        text=[f"trial {n}<br>{wrap_architecture(architectures[n])}" for n in numbers],
        hovertemplate=f"{form.hover}<br>%{{text}}<extra></extra>",
    )  # fmt: skip
