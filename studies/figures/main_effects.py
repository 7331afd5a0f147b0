"""What each attention, stage, position and ratio adds to the accuracy, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.main_effects import FACTORS, MainEffect
from ..text import formatting
from .base import escape_html, show_message, styled_figure
from .intervals import interval_markers, label_lines
from .themes import LIGHT, Theme

LINE_HEIGHT = 26
"""Pixels for each effect."""


def main_effects_figure(effects: Sequence[MainEffect], theme: Theme = LIGHT) -> go.Figure:
    """Main effects with 95 % intervals, in points per stage.

    A marker is hollow if the interval includes zero. The line at zero is a stage without attention.
    """
    figure = styled_figure(theme, "Accuracy gained per stage (points)", "")
    if not effects:
        return show_message(figure, theme, "Too few architectures to estimate effects yet")
    figure.add_vline(x=0, line={"color": theme.text, "width": 1.5})
    for factor, colour in zip(FACTORS, theme.palette, strict=False):
        lines = [i for i, effect in enumerate(effects) if effect.factor == factor]
        if lines:
            group = [effects[line] for line in lines]
            symbols = ["circle" if e.low > 0 or e.high < 0 else "circle-open" for e in group]
            texts = [_hover_text(effect) for effect in group]
            figure.add_trace(interval_markers(factor, colour, symbols, lines, group, texts))
    return label_lines(figure, [escape_html(_level(effect)) for effect in effects], LINE_HEIGHT)


def _level(effect: MainEffect) -> str:
    return f"r = {effect.level}" if effect.factor == "ratio" else effect.level


def _hover_text(effect: MainEffect) -> str:
    return (
        f"{escape_html(_level(effect))}<br>{formatting.points(effect.mean)} points<br>"
        f"{formatting.plural(effect.architectures, 'architecture')}"
    )
