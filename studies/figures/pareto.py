"""Accuracy against what it costs: the figure that a study is about.

One marker is one architecture. Nothing here knows a study's size: whoever has a hundred thousand
architectures draws some of them (`Findings.points`) with the front and the baselines of all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from ..analysis.analyse import NONE, attentions_by_stage, main_attention
from ..analysis.findings import ArchitectureSummary, Findings
from ..objectives import Objective
from ..text import formatting
from .base import canvas, nothing, safe, wrapped
from .themes import LIGHT, MIXED, SYMBOLS, Theme

CROWD = 400
"""From so many architectures on, markers and rings shrink and only baselines keep error bars."""
GROUPS = 7
"""Colours of a legend; whatever is rarer goes together."""
OTHERS = "others"
SIDES = ("top center", "bottom right", "top left", "bottom left")
"""Where a baseline's name may stand, the first that is free."""
NEAR = 0.15
"""Names of baselines that are so close, in parts of the baselines' range, would meet."""

Colouring = Literal["attention", "position", "ratio", "stage"]
COLOURINGS: tuple[Colouring, ...] = ("attention", "position", "ratio", "stage")


def pareto_figure(
    findings: Findings,
    cost: Objective,
    theme: Theme = LIGHT,
    *,
    colouring: Colouring = "attention",
    log: bool = False,
    selected: int | None = None,
) -> go.Figure:
    """Accuracy against one cost: a marker for every architecture, coloured by what it is made of.

    The step line is the best accuracy at this cost; rings mark the study's front over all its
    objectives. Baselines are diamonds, the bare backbone a square, with their names; shaded is what
    lies above and left of one of them: better, and no more expensive. The band around the bare
    backbone is the noise of a single trial. `selected` is a trial whose marker is pointed at.
    """
    figure = _axes(findings, cost, theme, log)
    points = _able(findings.points, cost)
    if not points:
        return nothing(figure, theme, "No complete trial yet")
    ground = _Ground.of(points, cost, log)
    _shade_better(figure, _able(findings.baselines, cost), cost, theme, ground)
    _band_of_noise(figure, findings, theme)
    figure.add_trace(_best_at_cost(points, cost, theme, ground))
    groups = _groups(points, colouring, len(findings.table.stages))
    for name, colour in _colours(groups, colouring, theme).items():
        members = [p for p in points if groups[p.number] == name and not p.baseline]
        if members:
            symbol = theme.symbol(name) if colouring == "attention" else SYMBOLS[0]
            figure.add_trace(_markers(members, findings, cost, (colour, symbol), name))
    if baselines := _able(findings.baselines, cost):
        figure.add_trace(_baselines(baselines, findings, cost, theme))
    if front := _able(findings.front, cost):
        size = 20 if len(points) < CROWD else 11
        figure.add_trace(_rings(front, cost, theme, "Pareto front", size, 1.5))
    if chosen := [p for p in points if selected in p.numbers]:
        figure.add_trace(_rings(chosen, cost, theme, "selected", 26, 3.5))
    return figure


def three_objectives_figure(
    findings: Findings,
    cost: Objective,
    third: Objective,
    theme: Theme = LIGHT,
    *,
    log: bool = False,
) -> go.Figure:
    """Three objectives at once: accuracy against one cost, the other as colour, rings the front."""
    figure = _axes(findings, cost, theme, log)
    points = [p for p in _able(findings.points, cost) if third.key in p.values]
    if not points:
        return nothing(figure, theme, "No complete trial with these costs yet")
    figure.add_trace(
        go.Scatter(
            **_where(points, cost),
            mode="markers",
            name=third.title,
            marker={
                "color": [p.values[third.key] for p in points],
                "colorscale": "Cividis",
                "size": 11 if len(points) < CROWD else 7,
                "symbol": ["diamond" if p.baseline else "circle" for p in points],
                "line": {"width": 1, "color": theme.text},
                "colorbar": {"title": {"text": _title(third), "side": "right"}, "thickness": 14},
            },
            customdata=[p.number for p in points],
            hovertext=[_hover(p, findings) for p in points],
            hoverinfo="text",
            showlegend=False,
        )
    )
    if front := _able(findings.front, cost):
        figure.add_trace(_rings(front, cost, theme, "Pareto front", 20, 1.5))
    return figure


@dataclass(frozen=True)
class _Ground:
    """What is drawn on, in the units of the axes: some more than the points cover.

    The axes find their ranges from what is drawn: a range that is set would undo a reader's zoom
    whenever it changes, as in a running search it does.
    """

    left: float
    right: float
    top: float

    @classmethod
    def of(cls, points: Sequence[ArchitectureSummary], cost: Objective, log: bool) -> _Ground:
        costs = [p.values[cost.key] for p in points]
        log = log and min(costs) > 0
        left, right = _padded([math.log10(c) for c in costs] if log else costs)
        top = _padded([100 * p.accuracy for p in points])[1]
        return cls(10**left if log else left, 10**right if log else right, top)


def _axes(findings: Findings, cost: Objective, theme: Theme, log: bool) -> go.Figure:
    costs = [p.values[cost.key] for p in _able(findings.points, cost)]
    axis = {
        "type": "log" if log and min(costs, default=0) > 0 else "linear",
        "tickformat": "" if cost.unit else "~s",
        "nticks": 7,
    }
    return canvas(theme, _title(cost), "Validation accuracy (%)", x=axis, height=470)


def _title(cost: Objective) -> str:
    return cost.title + (f" ({cost.unit})" if cost.unit else "")


def _able(points: Sequence[ArchitectureSummary], cost: Objective) -> list[ArchitectureSummary]:
    return [p for p in points if cost.key in p.values]


def _shade_better(
    figure: go.Figure,
    baselines: Sequence[ArchitectureSummary],
    cost: Objective,
    theme: Theme,
    ground: _Ground,
) -> None:
    """The places that are above and left of a baseline: one path along their staircase."""
    ordered = sorted(baselines, key=lambda p: (-p.values[cost.key], p.accuracy))
    if not ordered:
        return
    height = ground.top
    steps = [(ground.left, height), (ordered[0].values[cost.key], height)]
    for place, point in enumerate(ordered):
        # At a cost, whatever is above the lowest of the baselines that cost no less.
        height = min(height, 100 * point.accuracy)
        last = place + 1 == len(ordered)
        following = ground.left if last else ordered[place + 1].values[cost.key]
        steps += [(point.values[cost.key], height), (following, height)]
    path = "M" + " L".join(f"{x},{y}" for x, y in steps) + " Z"
    figure.add_shape(type="path", path=path, line_width=0, fillcolor=theme.shade, layer="below")
    figure.add_annotation(
        x=0,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="top",
        text="better than a baseline, and no more expensive",
        showarrow=False,
        font={"size": 11, "color": theme.faint},
    )


def _band_of_noise(figure: go.Figure, findings: Findings, theme: Theme) -> None:
    """One deviation of a single trial, up and down from the bare backbone."""
    if findings.noise is None or findings.bare is None:
        return
    middle, reach = 100 * findings.bare.accuracy, 100 * findings.noise.deviation
    deviation = formatting.points(findings.noise.deviation, signed=False)
    figure.add_shape(
        xref="x domain",
        x0=0,
        x1=1,
        y0=middle - reach,
        y1=middle + reach,
        line_width=0,
        fillcolor=theme.shade,
        layer="below",
    )
    figure.add_annotation(
        x=1,
        xref="paper",
        y=middle + reach,
        xanchor="right",
        yanchor="bottom",
        text=f"noise of one trial: ± {deviation} points",
        showarrow=False,
        font={"size": 11, "color": theme.faint},
    )


def _groups(
    points: Sequence[ArchitectureSummary], colouring: Colouring, stages: int
) -> dict[int, str]:
    """By trial number; the rarest groups go together where there are too many."""
    label: Callable[[ArchitectureSummary], str] = {
        "attention": lambda p: main_attention(p.architecture, stages),
        "position": lambda p: _only({i.position for i in p.architecture.insertions}),
        "ratio": lambda p: _only(_ratios(p)),
        "stage": lambda p: _stages(p, stages),
    }[colouring]
    found = {point.number: label(point) for point in points}
    if colouring == "attention":
        return found
    often = Counter(name for name in found.values() if name not in (MIXED, NONE))
    kept = {name for name, _ in often.most_common(GROUPS)} | {MIXED, NONE}
    return {number: name if name in kept else OTHERS for number, name in found.items()}


def _only(names: set[str]) -> str:
    return NONE if not names else names.pop() if len(names) == 1 else MIXED


def _ratios(point: ArchitectureSummary) -> set[str]:
    found = (dict(i.options).get("r") for i in point.architecture.insertions)
    return {f"r = {ratio}" if ratio is not None else "no ratio" for ratio in found}


def _stages(point: ArchitectureSummary, stages: int) -> str:
    by_stage = enumerate(attentions_by_stage(point.architecture, stages), 1)
    chosen = [f"s{stage}" for stage, names in by_stage if names]
    if not chosen:
        return NONE
    return "all stages" if len(chosen) == stages else "+".join(chosen)


def _colours(groups: Mapping[int, str], colouring: Colouring, theme: Theme) -> dict[str, str]:
    """The colour of each group, in the order of the legend."""
    last = {OTHERS: 1, MIXED: 2, NONE: 3}
    names = sorted(set(groups.values()), key=lambda n: (last.get(n, 0), len(n), n))
    if colouring == "attention":
        return {name: theme.attention(name) for name in names}
    grey = {OTHERS: theme.faint, MIXED: theme.faint, NONE: theme.text}
    palette = iter([*theme.palette, theme.accent])
    return {name: grey[name] if name in grey else next(palette) for name in names}


def _markers(
    points: Sequence[ArchitectureSummary],
    findings: Findings,
    cost: Objective,
    look: tuple[str, str],
    name: str,
) -> go.Scatter:
    colour, symbol = look
    few = len(findings.points) < CROWD
    return go.Scatter(
        **_where(points, cost),
        name=safe(name),
        mode="markers",
        marker={
            "color": colour,
            "symbol": symbol,
            "size": 9 if few else 6,
            "opacity": 0.9,
            "line": {"width": 1, "color": "rgba(127, 127, 127, 0.5)"},
        },
        error_y=_errors(points if few else (), colour),
        customdata=[p.number for p in points],
        hovertext=[_hover(p, findings) for p in points],
        hoverinfo="text",
    )


def _baselines(
    points: Sequence[ArchitectureSummary], findings: Findings, cost: Objective, theme: Theme
) -> go.Scatter:
    return go.Scatter(
        **_where(points, cost),
        name="baselines",
        mode="markers+text",
        cliponaxis=False,
        text=[_short(p) for p in points],
        textposition=_apart(points, cost),
        textfont={"size": 11, "color": theme.text},
        marker={
            "color": [theme.attention(main_attention(p.architecture)) for p in points],
            "symbol": ["square" if p.architecture.bare else "diamond" for p in points],
            "size": 13,
            "line": {"width": 1.5, "color": theme.text},
        },
        error_y=_errors(points, theme.text),
        customdata=[p.number for p in points],
        hovertext=[_hover(p, findings) for p in points],
        hoverinfo="text",
    )


def _apart(points: Sequence[ArchitectureSummary], cost: Objective) -> list[str]:
    """Where each name stands, so that those of neighbours do not cover each other."""
    where = _where(points, cost)
    width, height = (np.ptp(where[axis]) or 1.0 for axis in ("x", "y"))
    found: dict[int, str] = {}
    for place in np.argsort(where["x"], kind="stable").tolist():
        near = {
            found[other]
            for other in found
            if abs(where["x"][place] - where["x"][other]) < NEAR * width
            and abs(where["y"][place] - where["y"][other]) < NEAR * height
        }
        found[place] = next((side for side in SIDES if side not in near), SIDES[0])
    return [found[place] for place in range(len(points))]


def _rings(
    points: Sequence[ArchitectureSummary],
    cost: Objective,
    theme: Theme,
    name: str,
    size: int,
    width: float,
) -> go.Scatter:
    return go.Scatter(
        **_where(points, cost),
        name=name,
        mode="markers",
        marker={
            "symbol": "circle-open",
            "size": size,
            "color": theme.text,
            "line": {"width": width},
        },
        hoverinfo="skip",
    )


def _best_at_cost(
    points: Sequence[ArchitectureSummary], cost: Objective, theme: Theme, ground: _Ground
) -> go.Scatter:
    x: list[float] = []
    y: list[float] = []
    for point in sorted(points, key=lambda p: (p.values[cost.key], -p.accuracy)):
        if not y or 100 * point.accuracy > y[-1]:
            x.append(point.values[cost.key])
            y.append(100 * point.accuracy)
    return go.Scatter(
        x=[*x, ground.right],
        y=[*y, y[-1]],
        name="best at cost",
        mode="lines",
        line={"shape": "hv", "width": 1.5, "color": theme.faint},
        hoverinfo="skip",
    )


def _padded(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    pad = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    return [low - pad, high + 1.6 * pad]


def _where(points: Sequence[ArchitectureSummary], cost: Objective) -> dict[str, list[float]]:
    return {
        "x": [p.values[cost.key] for p in points],
        "y": [100 * p.accuracy for p in points],
    }


def _errors(points: Sequence[ArchitectureSummary], colour: str) -> dict[str, Any]:
    errors = [p.standard_error for p in points]
    return {
        "type": "data",
        "array": [None if error is None else 100 * error for error in errors],
        "color": colour,
        "thickness": 1,
        "width": 3,
        "visible": any(error is not None for error in errors),
    }


def _hover(point: ArchitectureSummary, findings: Findings) -> str:
    seeds = formatting.plural(len(point.seeds), "seed")
    lines = [f"<b>{wrapped(str(point.architecture))}</b>"]
    lines.append(f"accuracy {formatting.percent(point.accuracy, point.standard_error)} ({seeds})")
    if point.gain is not None:
        gain = formatting.points(point.gain.mean, point.gain.standard_error)
        lines.append(f"{gain} points against the bare backbone")
    for cost in findings.costs:
        if cost.key in point.values:
            value = point.values[cost.key]
            line = f"{cost.title.lower()} {formatting.cost(value, cost)}"
            if findings.bare is not None and cost.key in findings.bare.values:
                line += f" ({formatting.relative_change(value, findings.bare.values[cost.key])})"
            lines.append(line)
    numbers = ", ".join(map(str, point.numbers[:6])) + (", …" if len(point.numbers) > 6 else "")
    lines.append(f"{'trial' if len(point.numbers) == 1 else 'trials'} {numbers}")
    return "<br>".join(lines)


def _short(point: ArchitectureSummary) -> str:
    names = [i.attention for i in point.architecture.insertions]
    if point.architecture.bare:
        return "bare"
    return safe("+".join(dict.fromkeys(names)) or "no attention")
