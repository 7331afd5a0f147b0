"""Learning curves: results or losses by epoch, of a whole study or of one architecture."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import plotly.graph_objects as go

from ...runners.results import EpochReport
from ..analysis.findings import Findings
from ..objectives import ACCURACY, Objective
from ..records import BASELINE, EpochRecord, TrialRecord
from ..text.metric_format import MetricFormat
from .base import escape_html, show_message, styled_figure, wrap_architecture
from .themes import LIGHT, Theme

MAX_CURVES_PER_GROUP = 300
"""If a group has more trials, only every n-th one is drawn."""

LearningCurves = dict[int, dict[int, float]]
"""The value that is drawn, by trial number and epoch."""
CurveKind = Literal["metric", "train_loss", "val_loss", "lr"]
CURVE_TITLES: dict[CurveKind, str] = {
    "metric": "metric",
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "lr": "learning rate",
}
"""What learning curves can show of each epoch."""


@dataclass(frozen=True)
class CurveQuantity:
    """What is drawn of each epoch.

    Attributes:
        kind: one of `CURVE_TITLES`.
        metric: of the study.
    """

    kind: CurveKind = "metric"
    metric: Objective = ACCURACY

    def read(self, report: EpochReport) -> float:
        """Where an epoch is drawn; NaN if it was not reported."""
        if self.kind == "metric":
            return MetricFormat(self.metric).on_axis(report.score)
        return float(getattr(report, self.kind))

    @property
    def title(self) -> str:
        """The title of the axis."""
        if self.kind == "metric":
            return MetricFormat(self.metric).axis_title
        title = CURVE_TITLES[self.kind]
        return title[:1].upper() + title[1:]

    @property
    def axis(self) -> dict[str, Any]:
        """Settings of the axis."""
        if self.kind == "metric":
            return MetricFormat(self.metric).axis
        return {"type": "log"} if self.kind == "lr" else {}

    @property
    def hover(self) -> str:
        """Plotly's format of a value."""
        return MetricFormat(self.metric).hover if self.kind == "metric" else "%{y:.4g}"


def learning_curves_figure(
    findings: Findings,
    trials: Sequence[TrialRecord],
    epochs: Iterable[EpochRecord],
    theme: Theme = LIGHT,
    *,
    kind: CurveKind = "metric",
) -> go.Figure:
    """Learning curves: the bare backbone thick, the front in colour, the rest grey.

    Curves of trials that were pruned or failed are dotted.

    Args:
        findings: the front is taken from them.
        trials: those to draw.
        epochs: of any trials; a trial without epochs is left out.
        theme: the colours.
        kind: what is drawn of each epoch.
    """
    quantity = CurveQuantity(kind, findings.metric)
    figure = styled_figure(theme, "Epoch", quantity.title, y=quantity.axis)
    curves = _by_trial(epochs, quantity)
    drawn = [trial for trial in trials if trial.number in curves]
    if not drawn:
        return show_message(figure, theme, _nothing_to_draw(quantity))
    front = {number for point in findings.front for number in point.numbers}
    remaining = drawn
    for group in _groups(theme, front)[::-1]:
        members = [trial for trial in remaining if group.includes(trial)]
        remaining = [trial for trial in remaining if not group.includes(trial)]
        if members:
            step = math.ceil(len(members) / MAX_CURVES_PER_GROUP)
            figure.add_trace(_group_trace(group, members[::step], curves, quantity))
    figure.data = figure.data[::-1]
    longest = max(max(curve) for curve in curves.values())
    padding = 0.02 * (longest - 1) or 0.5
    figure.update_xaxes(dtick=1 if longest <= 12 else None, range=[1 - padding, longest + padding])
    figure.update_layout(legend_traceorder="reversed", height=420)
    return figure


def architecture_curves_figure(
    architectures: Mapping[str, Collection[int]],
    epochs: Iterable[EpochRecord],
    metric: Objective,
    theme: Theme = LIGHT,
    *,
    kind: CurveKind = "metric",
    height: int = 240,
) -> go.Figure:
    """The learning curves of the trials of two architectures.

    Args:
        architectures: the numbers of the trials of each by its name in the legend; the first one is
            drawn in grey, the second one in colour and above it.
        epochs: of all of them.
        metric: of the study.
        theme: the colours.
        kind: what is drawn of each epoch.
        height: of the figure, in pixels.
    """
    margin = {"l": 56, "r": 16, "t": 8, "b": 48}
    quantity = CurveQuantity(kind, metric)
    figure = styled_figure(
        theme, "Epoch", quantity.title, y=quantity.axis, height=height, margin=margin
    )
    figure.update_yaxes(title_font_size=11)  # The figure is as low as the title is long.
    curves = _by_trial(epochs, quantity)
    styles = ((theme.muted, 2), (theme.palette[2], 2.5))
    for (name, numbers), (colour, width) in zip(architectures.items(), styles, strict=False):
        x: list[int | None] = []
        y: list[float | None] = []
        trials: list[int | None] = []
        for number in numbers:
            curve = sorted(curves.get(number, {}).items())
            x += [*(epoch for epoch, _ in curve), None]
            y += [*(value for _, value in curve), None]
            trials += [number] * len(curve) + [None]
        if any(value is not None for value in y):
            line = {"color": colour, "width": width}
            figure.add_trace(
                go.Scatter(
                    x=x,
                    y=y,
                    name=escape_html(name),
                    mode="lines+markers",
                    line=line,
                    marker_size=5,
                    customdata=trials,
                    hovertemplate=f"epoch %{{x}}: {quantity.hover}<br>trial %{{customdata}}",
                )
            )
    if not figure.data:
        return show_message(figure, theme, _nothing_to_draw(quantity))
    return figure


def losses_figure(epochs: Iterable[EpochRecord], theme: Theme = LIGHT) -> go.Figure:
    """The training and the validation loss of one trial by epoch.

    Args:
        epochs: of the trial.
        theme: the colours.
    """
    margin = {"l": 56, "r": 16, "t": 8, "b": 48}
    figure = styled_figure(theme, "Epoch", "Loss", height=220, margin=margin)
    reports = sorted((record.report for record in epochs), key=lambda report: report.epoch)
    kinds: tuple[tuple[CurveKind, str], ...] = (("train_loss", "solid"), ("val_loss", "dot"))
    for kind, dash in kinds:
        quantity = CurveQuantity(kind)
        points = [(r.epoch, quantity.read(r)) for r in reports]
        points = [(epoch, value) for epoch, value in points if math.isfinite(value)]
        if points:
            figure.add_trace(
                go.Scatter(
                    x=[epoch for epoch, _ in points],
                    y=[value for _, value in points],
                    name=CURVE_TITLES[kind],
                    mode="lines+markers",
                    line={"color": theme.palette[2], "width": 2, "dash": dash},
                    marker_size=5,
                    hovertemplate=f"epoch %{{x}}: {quantity.hover}",
                )
            )
    return figure if figure.data else show_message(figure, theme, "No loss was reported")


def _nothing_to_draw(quantity: CurveQuantity) -> str:
    if quantity.kind == "metric":
        return "No epoch has ended yet"
    return f"No epoch has reported a {CURVE_TITLES[quantity.kind]} yet"


def _by_trial(epochs: Iterable[EpochRecord], quantity: CurveQuantity) -> LearningCurves:
    curves: LearningCurves = {}
    for record in epochs:
        value = quantity.read(record.report)
        if math.isfinite(value):
            curves.setdefault(record.number, {})[record.report.epoch] = value
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
    quantity: CurveQuantity,
) -> go.Scatter:
    """One trace for all curves of a group, with gaps between: a thousand traces would be slow."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str | None] = []
    numbers: list[int | None] = []
    for trial in trials:
        curve = sorted(curves[trial.number].items())
        x += [epoch for epoch, _ in curve] + [None]
        y += [value for _, value in curve] + [None]
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
        hovertemplate=f"epoch %{{x}}: {quantity.hover}<br>%{{text}}<extra></extra>",
    )
