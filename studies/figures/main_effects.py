"""What each attention, stage, position and ratio adds to the accuracy, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.attention_effects import FACTORS, MainEffect
from ..text import formatting
from .base import escape_html, show_message, styled_figure
from .heatmap import interval_text
from .intervals import interval_markers, label_lines
from .themes import LIGHT, Theme

LINE_HEIGHT = 26
"""Pixels for each effect."""


def main_effects_figure(effects: Sequence[MainEffect], theme: Theme = LIGHT) -> go.Figure:
    """Main effects with 95 % intervals, in points over the bare backbone.

    A marker is hollow, and grey, if the interval includes zero.
    """
    figure = styled_figure(theme, "Accuracy gained over the bare backbone (points)", "")
    if not effects:
        return show_message(figure, theme, "Nothing to compare with the bare backbone yet")
    figure.add_vline(x=0, line={"color": theme.text, "width": 1.5})
    for factor, colour in zip(FACTORS, theme.palette, strict=False):
        for is_clear, shade in ((True, colour), (False, theme.muted)):
            lines = [
                line
                for line, effect in enumerate(effects)
                if (effect.factor, effect.excludes_zero) == (factor, is_clear)
            ]
            if lines:
                group = [effects[line] for line in lines]
                symbols = ["circle" if is_clear else "circle-open"] * len(group)
                texts = [_hover_text(effect) for effect in group]
                markers = interval_markers(factor, shade, symbols, lines, group, texts)
                figure.add_trace(markers.update(legendgroup=factor))
    return label_lines(figure, [escape_html(_level(effect)) for effect in effects], LINE_HEIGHT)


def _level(effect: MainEffect) -> str:
    return f"r = {effect.level}" if effect.factor == "ratio" else effect.level


def _hover_text(effect: MainEffect) -> str:
    return (
        f"{escape_html(_level(effect))}<br>{formatting.points(effect.mean)} points, "
        f"{interval_text(effect)}<br>{formatting.plural(effect.architectures, 'architecture')}"
    )
