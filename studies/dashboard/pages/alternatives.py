"""What one would do instead of attention, as a section of the first page."""

from __future__ import annotations

from dash import html

from ...outputs.alternatives import describe_alternatives
from ...text import captions
from ...text.alternatives import (
    alternatives_header,
    alternatives_rows,
    remark_sentences,
)
from ..components import Component, remark, section, table
from ..context import PageContext


def alternatives(context: PageContext) -> Component:
    """The table of the alternatives and what it says; nothing if none were asked for."""
    summary = context.state.alternatives.value
    if summary is None:
        return []
    children: list[Component] = [remark(sentence) for sentence in remark_sentences(summary)]
    if summary.alternatives:
        costs = context.state.analysis.costs
        rows = list(alternatives_rows(summary, costs))
        sentence = describe_alternatives(summary, context.state.analysis.findings())
        children = [
            table(alternatives_header(summary.metric, costs), rows),
            html.P(sentence),
            *children,
        ]
    return section("Alternatives to attention", captions.ALTERNATIVES, *children)
