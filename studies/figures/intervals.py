"""Drawings of differences with their intervals: a confirmation, and what each choice is worth."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.confirmation import Confirmation, Contender
from ..analysis.main_effects import FACTORS, MainEffect
from ..analysis.paired_comparisons import Difference
from ..text import formatting
from ..text.confirmation import gain_points, interval_points, p_value
from .base import canvas, nothing, safe, wrapped
from .themes import LIGHT, Theme

ROW = 44
"""Height of an architecture's line, pixels."""
LONGEST = 34
"""Characters of an architecture that stand beside the axis; the rest is in the hover text."""


def confirmation_figure(found: Confirmation, theme: Theme = LIGHT) -> go.Figure:
    """Gains on the test split with 95 % intervals, the largest on top.

    A filled marker is a difference that can be claimed after the correction, an open one is not;
    finalists are circles, baselines diamonds. The line at zero is the bare backbone.
    """
    figure = canvas(theme, "Gain over the bare backbone on the test split (points)", "")
    able = [contender for contender in found.others if contender.gain is not None]
    if not able:
        return nothing(figure, theme, "Nothing to compare with the bare backbone yet")
    figure.add_vline(x=0, line={"color": theme.text, "width": 1.5})
    for finalist, name in ((True, "finalists"), (False, "baselines")):
        group = [contender for contender in able if contender.finalist is finalist]
        if group:
            figure.add_trace(_intervals(group, able, name, theme))
    return _with_rows(figure, [_label(contender) for contender in able], ROW)


def main_effects_figure(effects: Sequence[MainEffect], theme: Theme = LIGHT) -> go.Figure:
    """What each attention, stage, position and ratio is worth, with 95 % intervals.

    A level whose interval holds zero is drawn open. The line at zero is a stage that is left alone.
    """
    figure = canvas(theme, "Accuracy gained per stage (points)", "")
    if not effects:
        return nothing(figure, theme, "Too few architectures to tell effects apart yet")
    figure.add_vline(x=0, line={"color": theme.text, "width": 1.5})
    for number, factor in enumerate(FACTORS):
        group = [effect for effect in effects if effect.factor == factor]
        if not group:
            continue
        colour = theme.palette[number]
        sure = [effect.low > 0 or effect.high < 0 for effect in group]
        symbols = ["circle" if one else "circle-open" for one in sure]
        places = [effects.index(effect) for effect in group]
        dots = _dots(factor, colour, symbols, places, group)
        dots.text = [
            f"{safe(_level(effect))}<br>{formatting.points(effect.mean)} points<br>"
            f"{formatting.plural(effect.architectures, 'architecture')}"
            for effect in group
        ]
        figure.add_trace(dots)
    return _with_rows(figure, [safe(_level(effect)) for effect in effects], 26)


def _with_rows(figure: go.Figure, labels: Sequence[str], height: int) -> go.Figure:
    """A line of so many pixels for each label, the first on top."""
    figure.update_layout(height=120 + height * len(labels), margin={"l": 16, "t": 8})
    figure.update_yaxes(
        tickvals=list(range(len(labels))),
        ticktext=list(labels),
        range=[len(labels) - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
    )
    return figure


def _level(effect: MainEffect) -> str:
    return f"r = {effect.level}" if effect.factor == "ratio" else effect.level


def _dots(
    name: str,
    colour: str,
    symbols: Sequence[str],
    places: Sequence[int],
    intervals: Sequence[Difference | MainEffect],
) -> go.Scatter:
    """A marker with its interval, in points, on the line of each place; its text is to follow."""
    return go.Scatter(
        x=[100 * one.mean for one in intervals],
        y=list(places),
        mode="markers",
        name=name,
        marker={
            "color": colour,
            "size": 11,
            "symbol": list(symbols),
            "line": {"color": colour, "width": 2},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * (one.high - one.mean) for one in intervals],
            "arrayminus": [100 * (one.mean - one.low) for one in intervals],
            "color": colour,
            "thickness": 2,
            "width": 5,
        },
        hovertemplate="%{text}<extra></extra>",
    )


def _intervals(
    group: Sequence[Contender], order: Sequence[Contender], name: str, theme: Theme
) -> go.Scatter:
    gains = [contender.gain for contender in group if contender.gain is not None]
    colour = theme.palette[0] if name == "finalists" else theme.faint
    shape = "circle" if name == "finalists" else "diamond"
    symbols = [shape if gain.claimed else f"{shape}-open" for gain in gains]
    dots = _dots(name, colour, symbols, [order.index(contender) for contender in group], gains)
    dots.text = [_hover(contender) for contender in group]
    return dots


def _label(contender: Contender) -> str:
    text = formatting.short_architecture(contender.architecture)
    return safe(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _hover(contender: Contender) -> str:
    gain = contender.gain
    assert gain is not None  # only such are drawn
    return "<br>".join(
        [
            wrapped(str(contender.architecture)),
            f"{formatting.percent(contender.accuracy, contender.standard_error)} on the test split",
            f"{gain_points(gain)} points, 95 % interval {interval_points(gain)}",
            f"{safe(p_value(gain.corrected))} after correction; "
            f"{formatting.plural(gain.pairs, 'seed')}",
        ]
    )
