"""Learning curves: the validation result by epoch, of a whole study or of one architecture."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from ..analysis.findings import Findings
from ..objectives import Objective
from ..records import BASELINE, EpochRecord, TrialRecord
from ..text.metric_format import MetricFormat
from .base import show_message, styled_figure, wrap_architecture
from .themes import LIGHT, Theme

MAX_CURVES_PER_GROUP = 300
"""If a group has more trials, only every n-th one is drawn."""

LearningCurves = dict[int, dict[int, float]]
"""Validation score by trial number and epoch."""


def learning_curves_figure(
    findings: Findings,
    trials: Sequence[TrialRecord],
    epochs: Iterable[EpochRecord],
    theme: Theme = LIGHT,
) -> go.Figure:
    """Validation result by epoch: the bare backbone thick, the front in colour, the rest grey.

    Curves of trials that were pruned or failed are dotted.

    Args:
        findings: the front is taken from them.
        trials: those to draw.
        epochs: of any trials; a trial without epochs is left out.
        theme: the colours.
    """
    form = MetricFormat(findings.metric)
    figure = styled_figure(theme, "Epoch", form.axis_title, y=form.axis)
    curves = _by_trial(epochs)
    drawn = [trial for trial in trials if trial.number in curves]
    if not drawn:
        return show_message(figure, theme, "No epoch has ended yet")
    front = {number for point in findings.front for number in point.numbers}
    remaining = drawn
    for group in _groups(theme, front)[::-1]:
        members = [trial for trial in remaining if group.includes(trial)]
        remaining = [trial for trial in remaining if not group.includes(trial)]
        if members:
            step = math.ceil(len(members) / MAX_CURVES_PER_GROUP)
            figure.add_trace(_group_trace(group, members[::step], curves, form))
    figure.data = figure.data[::-1]
    longest = max(max(curve) for curve in curves.values())
    padding = 0.02 * (longest - 1) or 0.5
    figure.update_xaxes(dtick=1 if longest <= 12 else None, range=[1 - padding, longest + padding])
    figure.update_layout(legend_traceorder="reversed", height=420)
    return figure


def architecture_curves_figure(
    architecture: Collection[int],
    bare: Collection[int],
    epochs: Iterable[EpochRecord],
    metric: Objective,
    theme: Theme = LIGHT,
) -> go.Figure:
    """Validation result by epoch of one architecture's trials and of the bare backbone's.

    Args:
        architecture: numbers of the architecture's trials.
        bare: numbers of the bare backbone's trials.
        epochs: of all of them.
        metric: of the study.
        theme: the colours.
    """
    margin = {"l": 56, "r": 16, "t": 8, "b": 48}
    form = MetricFormat(metric)
    figure = styled_figure(theme, "Epoch", form.axis_title, y=form.axis, height=240, margin=margin)
    curves = _by_trial(epochs)
    for numbers, name, colour, width in (
        (bare, "bare backbone", theme.muted, 2),
        (architecture, "this architecture", theme.palette[2], 2.5),
    ):
        x: list[int | None] = []
        y: list[float | None] = []
        for number in numbers:
            curve = sorted(curves.get(number, {}).items())
            x += [*(epoch for epoch, _ in curve), None]
            y += [*(form.on_axis(score) for _, score in curve), None]
        if any(value is not None for value in y):
            line = {"color": colour, "width": width}
            figure.add_trace(
                go.Scatter(x=x, y=y, name=name, mode="lines+markers", line=line, marker_size=5)
            )
    if not figure.data:
        return show_message(figure, theme, "No epoch has ended yet")
    return figure


def _by_trial(epochs: Iterable[EpochRecord]) -> LearningCurves:
    curves: LearningCurves = {}
    for record in epochs:
        if not math.isnan(record.report.score):
            curves.setdefault(record.number, {})[record.report.epoch] = record.report.score
    return curves


@dataclass(frozen=True)
class _CurveGroup:
    """Learning curves that are drawn alike."""

    title: str
    line: dict[str, Any]
    opacity: float
    includes: Callable[[TrialRecord], bool]


def _groups(theme: Theme, front: set[int]) -> list[_CurveGroup]:
    """From the bottom to the top; a trial belongs to the last group that includes it."""
    grey, blue, red = theme.muted, theme.palette[0], theme.palette[2]
    return [
        _CurveGroup("others", {"color": grey, "width": 1}, 0.45, lambda _: True),
        _CurveGroup(
            "pruned or failed",
            {"color": grey, "width": 1.3, "dash": "dot"},
            0.8,
            lambda trial: trial.state in ("pruned", "failed"),
        ),
        _CurveGroup(
            "textbook baselines",
            {"color": blue, "width": 1.6},
            0.9,
            lambda trial: trial.role == BASELINE and trial.state != "failed",
        ),
        _CurveGroup(
            "on the front",
            {"color": red, "width": 1.8},
            0.9,
            lambda trial: trial.number in front,
        ),
        _CurveGroup(
            "bare backbone",
            {"color": theme.text, "width": 3.2},
            1.0,
            lambda trial: trial.parsed.bare,
        ),
    ]


def _group_trace(
    group: _CurveGroup,
    trials: Sequence[TrialRecord],
    curves: LearningCurves,
    form: MetricFormat,
) -> go.Scatter:
    """One trace for all curves of a group, with gaps between: a thousand traces would be slow."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str | None] = []
    numbers: list[int | None] = []
    for trial in trials:
        curve = sorted(curves[trial.number].items())
        x += [epoch for epoch, _ in curve] + [None]
        y += [form.on_axis(score) for _, score in curve] + [None]
        architecture = wrap_architecture(trial.architecture)
        label = f"trial {trial.number}, seed {trial.seed}<br>{architecture}"
        texts += [label] * len(curve) + [None]
        numbers += [trial.number] * len(curve) + [None]
    longest = max(len(curves[trial.number]) for trial in trials)
    return go.Scatter(
        x=x,
        y=y,
        text=texts,
        customdata=numbers,
        name=f"{group.title} ({len(trials)})",
        mode="lines+markers" if longest == 1 else "lines",
        line=group.line,
        opacity=group.opacity,
        hovertemplate=f"epoch %{{x}}: {form.hover}<br>%{{text}}<extra></extra>",
    )
