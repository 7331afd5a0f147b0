"""The commands that help next, on the pages where they are needed."""

from __future__ import annotations

from dash import html

from ..components import Component, copyable_text
from ..context import PageContext


def next_steps(context: PageContext) -> Component:
    """Each command with its reason; nothing while the study runs."""
    steps = context.state.next_steps()
    if not steps:
        return None
    first, *following = [
        [html.P(step.reason), copyable_text(step.command, "the command")] for step in steps
    ]
    more = [html.Summary("and then"), html.Ol([html.Li(each) for each in following])]
    return html.Section(
        [html.H2("Next"), *first, html.Details(more) if following else None],
        className="next-steps",
    )
