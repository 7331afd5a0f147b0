"""What each attention, stage, position and ratio gains, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.attention_effects import FACTORS, MainEffect
from ..objectives import Objective
from ..text import formatting
from ..text.metric_format import MetricFormat
from .base import escape_html, selection_text, show_message, styled_figure
from .heatmap import interval_text
from .intervals import interval_markers, label_lines
from .themes import LIGHT, Theme

LINE_HEIGHT = 26
"""Pixels for each effect."""


def main_effects_figure(
    effects: Sequence[MainEffect], metric: Objective, theme: Theme = LIGHT
) -> go.Figure:
    """Main effects over the bare backbone with 95 % intervals.

    A marker is hollow, and grey, if the interval includes zero.

    Args:
        effects: of the attentions, ratios and places.
        metric: of the gains.
        theme: of the figure.
    """
    form = MetricFormat(metric)
    figure = styled_figure(theme, form.gain_title("Gain over the bare backbone"), "")
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
                texts = [_hover_text(effect, form) for effect in group]
                markers = interval_markers(factor, shade, symbols, lines, group, texts, form)
                levels = [selection_text({factor: effect.level}) for effect in group]
                figure.add_trace(markers.update(legendgroup=factor, customdata=levels))
    return label_lines(figure, [escape_html(_level(effect)) for effect in effects], LINE_HEIGHT)


def _level(effect: MainEffect) -> str:
    return f"r = {effect.level}" if effect.factor == "ratio" else effect.level


def _hover_text(effect: MainEffect, form: MetricFormat) -> str:
    return (
        f"{escape_html(_level(effect))}<br>{form.gain_with_unit(effect.mean)}, "
        f"{interval_text(effect, form)}<br>"
        f"{formatting.plural(effect.architectures, 'architecture')}"
    )
