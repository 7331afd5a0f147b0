"""Confirmation: finalists and baselines, retrained and judged on the test split."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import html

from ...figures.confirmation import confirmation_figure
from ...text import captions
from ...text.alternatives import confirmed_sentence
from ...text.chance import chance_line
from ...text.confirmation import conclusion, confirmation_warnings
from ..components import (
    Component,
    figure_slot,
    remark,
    section,
    sentence,
    text_slot,
    waiting_figure,
)
from ..context import PageContext
from .next_steps import next_steps

EMPTY_HEIGHT = 60
"""Pixels of the figure while there is no confirmation."""


def page(_: PageContext) -> Component:
    """The page without its figure."""
    return [
        section(
            "Confirmation",
            captions.CONFIRMATION,
            text_slot("conclusion"),
            figure_slot("confirmation", EMPTY_HEIGHT),
        )
    ]


def gains(context: PageContext) -> go.Figure:
    """Gains on the test split with intervals."""
    confirmation = context.state.confirmation.value
    if confirmation is None:
        return waiting_figure(context.theme, "").update_layout(height=EMPTY_HEIGHT)
    return confirmation_figure(confirmation, context.theme)


def conclusion_text(context: PageContext) -> Component:
    """What can be claimed, and what cannot."""
    confirmation = context.state.confirmation.value
    if confirmation is None:
        return [
            html.P("Nothing has been confirmed yet. What the search found is a hypothesis."),
            next_steps(context),
        ]
    chance = chance_line(confirmation.images, "test", confirmation.metric)
    return [
        sentence(conclusion(confirmation)),
        html.P(chance) if chance else None,
        html.P(confirmed_sentence(context.state.confirmation.alternatives)),
        *map(remark, confirmation_warnings(confirmation)),
    ]
