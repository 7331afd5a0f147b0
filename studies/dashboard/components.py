"""What pages are made of: sections, slots for figures and texts, tables, tiles.

Everything that comes from a database is passed as a child, which the browser shows as text; no
component takes markup. Slots are filled by the callbacks in `app`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import dcc, html

from ..figures.base import show_message, styled_figure
from ..figures.browser import PLOTLY_CONFIG
from ..figures.themes import Theme
from ..records import recorded_architecture
from ..text import formatting

Component = Any
"""A Dash component, a text, a list of them, or None."""
GRAPH_CONFIG = {
    **PLOTLY_CONFIG,
    "modeBarButtonsToRemove": [*PLOTLY_CONFIG["modeBarButtonsToRemove"], "toImage"],
}
COMPUTING = "Computing …"


def section(title: str, caption: str, *children: Component) -> Component:
    """A framed part of a page, with a heading and a caption."""
    return html.Section([html.H2(title), html.P(caption, className="caption"), *children])


def figure_slot(
    name: str,
    height: int = 420,
    *,
    wide: bool = False,
    label: str | None = None,
    trials_csv: str | None = None,
) -> Component:
    """Where the figure of this name is drawn, with buttons that save it and its data.

    Args:
        name: a key of `app.FIGURES`.
        height: pixels to keep free until the figure is there.
        wide: whether the figure scrolls in a narrow window, where it would otherwise be too small
            to read.
        label: what a screen reader calls it; None: its name.
        trials_csv: the address of a CSV of trials, without the query string of the page, which a
            figure of trials has in place of the coordinates of its markers; None: its coordinates.
    """
    hidden = {"visible": False}
    background = dict.fromkeys(("paper_bgcolor", "plot_bgcolor"), "rgba(0,0,0,0)")
    empty = {"layout": {"xaxis": hidden, "yaxis": hidden, "height": height, **background}}
    graph = dcc.Graph(
        id={"slot": "graph", "name": name},
        config=GRAPH_CONFIG,
        figure=empty,
        style={"minHeight": f"{height}px"},
    )
    buttons = [
        html.Button(
            kind.upper(),
            className="save",
            type="button",
            title=f"Save {'the data' if kind == 'csv' else 'the figure'} as {kind.upper()}",
            **{"data-save": kind, "data-name": name},
        )
        for kind in ("png", "svg", *(() if trials_csv else ("csv",)))
    ]
    if trials_csv:
        title = "Save the trials that pass the filters as CSV, one row a trial, one column a choice"
        csv = {"data-save": "trials", "data-href": trials_csv}
        buttons.append(html.Button("CSV", className="save", type="button", title=title, **csv))
    figure = dcc.Store(id={"slot": "figure", "name": name})
    # What scrolls has to be reached with the keyboard.
    shown = html.Div(graph, className="wide", tabIndex="0") if wide else graph
    return html.Div(
        [figure, shown, html.Div(buttons, className="saves")],
        className="plot",
        role="figure",
        **{"aria-label": label or name.replace("-", " ")},
    )


def waiting_figure(theme: Theme, message: str = COMPUTING) -> go.Figure:
    """A message in place of a figure that is still being computed."""
    return show_message(styled_figure(theme, "", ""), theme, message)


def text_slot(name: str) -> Component:
    """Where the text or table of this name, a key of `app.TEXTS`, is shown."""
    return html.Div(id={"slot": "text", "name": name}, className="text")


def tiles(numbers: Iterable[tuple[str, str, str]]) -> Component:
    """Key numbers: title, value, detail."""
    return html.Div(
        [
            html.Div(
                [html.Span(title, className="title"), html.B(value), html.Span(detail)],
                className="tile",
            )
            for title, value, detail in numbers
        ],
        className="tiles",
    )


_BREAKABLE = re.compile(r"`([^`]*)`|(\+[a-z][^+\s`]*)")


def sentence(text: str) -> Component:
    """A sentence in large type. Lines break before insertions; text in backticks is code."""
    return html.P(_marked(text), className="summary")


def _marked(text: str) -> str | list[Component]:
    """A text in parts: insertions, before which lines break, and code where it has backticks."""
    if not _BREAKABLE.search(text):
        return text
    children: list[Component] = []
    end = 0
    for match in _BREAKABLE.finditer(text):
        code, insertion = match.groups()
        children.append(text[end : match.start()])
        children.append(html.Code(_marked(code)) if insertion is None else _insertion(insertion))
        end = match.end()
    return [*children, text[end:]]


def short_architecture(text: str) -> Component:
    """An architecture's insertions; lines break between them."""
    first, *rest = formatting.short_architecture(recorded_architecture(text)).split("+")
    return html.Code([_insertion(first), *(_insertion(f"+{insertion}") for insertion in rest)])


def _insertion(text: str) -> Component:
    return html.Span(text, className="insertion")


def table(head: Sequence[str], rows: Sequence[Sequence[Component]]) -> Component:
    """A table; on a phone, each row is a block of its own.

    Args:
        head: titles of the columns; `>` before a title marks a column of numbers. A column without
            a title has the names of the rows.
        rows: one cell per column in each row.
    """
    titles = [title.removeprefix(">") for title in head]
    kinds = ["number" if title.startswith(">") else "" for title in head]
    headings = [
        html.Th(title, className=kind) if title else html.Td()
        for title, kind in zip(titles, kinds, strict=True)
    ]
    body = [
        html.Tr(
            [
                html.Td(cell, className=kind or "lead", **{"data-label": title})
                for cell, kind, title in zip(row, kinds, titles, strict=True)
            ]
        )
        for row in rows
    ]
    return html.Table([html.Thead(html.Tr(headings)), html.Tbody(body)], className="blocks")


def copyable_text(text: str, what: str) -> Component:
    """A text in a box, with a button that copies it; `what` names it in the button's title."""
    button = html.Button(
        "Copy", className="copy", type="button", title=f"Copy {what}", **{"data-copy": text}
    )
    return html.Div([html.Pre(text, className="copied"), button], className="copyable")


def remark(text: str) -> Component:
    """A paragraph in small, muted type; marked as in `sentence`."""
    return html.P(_marked(text), className="caption")
