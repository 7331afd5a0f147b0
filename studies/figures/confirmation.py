"""The gains that a confirmation measured, with their intervals (a forest plot)."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from ..analysis.confirmation import Confirmation
from ..analysis.contenders import Contender
from ..text import formatting
from ..text.confirmation import (
    describe_sample,
    describe_test_images,
    gain_text,
    interval_text,
    p_value,
)
from ..text.metric_format import MetricFormat
from .base import escape_html, show_message, styled_figure, wrap_architecture
from .intervals import interval_markers, label_lines
from .themes import LIGHT, Theme

LINE_HEIGHT = 44
"""Pixels for each architecture."""
LABEL_LENGTH = 34
"""Characters of an architecture beside the axis; the hover text has all of it."""


def confirmation_figure(confirmation: Confirmation, theme: Theme = LIGHT) -> go.Figure:
    """Gains on the test images with 95 % intervals, the largest on top.

    A marker is filled if the difference is significant after the correction, else hollow.
    Finalists are circles, baselines diamonds. The line at zero is the bare backbone.
    """
    where = describe_test_images(confirmation)
    form = MetricFormat(confirmation.metric)
    figure = styled_figure(theme, form.gain_title(f"Gain over the bare backbone {where}"), "")
    contenders = [c for c in confirmation.challengers if c.gain is not None]
    if not contenders:
        return show_message(figure, theme, "Nothing to compare with the bare backbone yet")
    figure.add_vline(x=0, line={"color": theme.text, "width": 1.5})
    for finalist in (True, False):
        lines = [i for i, c in enumerate(contenders) if c.finalist is finalist]
        if lines:
            group = [contenders[line] for line in lines]
            texts = [_hover_text(confirmation, contender) for contender in group]
            figure.add_trace(_markers(group, lines, finalist, texts, (form, theme)))
    return label_lines(figure, [_label(contender) for contender in contenders], LINE_HEIGHT)


def _markers(
    group: Sequence[Contender],
    lines: Sequence[int],
    finalist: bool,
    texts: Sequence[str],
    style: tuple[MetricFormat, Theme],
) -> go.Scatter:
    gains = [contender.gain for contender in group if contender.gain is not None]
    symbol, (form, theme) = "circle" if finalist else "diamond", style
    return interval_markers(
        "finalists" if finalist else "baselines",
        theme.palette[0] if finalist else theme.muted,
        [symbol if gain.claimed else f"{symbol}-open" for gain in gains],
        lines,
        gains,
        texts,
        form,
    )


def _label(contender: Contender) -> str:
    text = formatting.short_architecture(contender.architecture)
    return escape_html(text if len(text) <= LABEL_LENGTH else f"{text[: LABEL_LENGTH - 1]}…")


def _hover_text(confirmation: Confirmation, contender: Contender) -> str:
    gain = contender.gain
    assert gain is not None  # contenders without a gain are not drawn
    metric, form = confirmation.metric, MetricFormat(confirmation.metric)
    reached = form.value(contender.score, contender.standard_error)
    return "<br>".join(
        [
            wrap_architecture(str(contender.architecture)),
            f"{metric.noun} {reached} {describe_test_images(confirmation)}",
            f"{form.with_unit(gain_text(gain, metric))}, "
            f"95 % interval {interval_text(gain, metric)}",
            f"{escape_html(p_value(gain.corrected))} after correction; "
            f"{describe_sample(confirmation, gain)}",
        ]
    )
