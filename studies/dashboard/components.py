"""What pages are made of: sections, plots with their buttons, tables, tiles.

Everything that comes from a database is handed over as a child, which the browser shows as text;
no part takes markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
from dash import dcc, html

from ..figures.base import show_message, styled_figure
from ..figures.themes import Theme
from ..records import recorded_architecture
from ..text import formatting

Component = Any
"""A Dash component, a text, or a list of them."""
CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d", "toImage"],
}


def section(title: str, caption: str, *children: Component, name: str = "") -> Component:
    """A card of a page with its heading."""
    extra = {"id": name} if name else {}
    return html.Section([html.H2(title), html.P(caption, className="caption"), *children], **extra)


def plot(name: str, height: int = 420, *, wide: bool = False) -> Component:
    """The place of a figure, which `app` draws; with buttons that save it and its data.

    A `wide` one is scrolled where the window is narrow, since it would be too small to read.
    """
    hidden = {"visible": False}
    ground = dict.fromkeys(("paper_bgcolor", "plot_bgcolor"), "rgba(0,0,0,0)")
    waiting = {"layout": {"xaxis": hidden, "yaxis": hidden, "height": height, **ground}}
    room = {"minHeight": f"{height}px"}
    graph = dcc.Graph(id={"part": "plot", "name": name}, config=CONFIG, figure=waiting, style=room)
    buttons = [
        html.Button(
            kind.upper(),
            className="save",
            type="button",
            title=f"Save {'the data' if kind == 'csv' else 'the figure'} as {kind.upper()}",
            **{"data-save": kind, "data-name": name},
        )
        for kind in ("png", "svg", "csv")
    ]
    drawn = dcc.Store(id={"part": "drawn", "name": name})
    around = html.Div(graph, className="wide") if wide else graph
    return html.Div([drawn, around, html.Div(buttons, className="saves")], className="plot")


def waiting(theme: Theme, said: str = "Being computed …") -> go.Figure:
    """In the place of what takes a moment to compute."""
    return show_message(styled_figure(theme, "", ""), theme, said)


def words(name: str) -> Component:
    """The place of a text or table, which `app` fills."""
    return html.Div(id={"words": name}, className="words")


def tiles(found: Iterable[tuple[str, str, str]]) -> Component:
    """Key numbers: title, value, detail."""
    return html.Div(
        [
            html.Div(
                [html.Span(title, className="what"), html.B(value), html.Span(detail)],
                className="tile",
            )
            for title, value, detail in found
        ],
        className="tiles",
    )


def architecture(text: str, *, short: bool = True) -> Component:
    """An architecture in which lines break between insertions."""
    shown = formatting.short_architecture(recorded_architecture(text)) if short else text
    first, *rest = shown.split("+")
    return html.Code([html.Span(first, className="part"),
                      *(html.Span(f"+{part}", className="part") for part in rest)])  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[Component]]) -> Component:
    """A table; a column whose title starts with `>` is of numbers. On a phone a row is a card."""
    titles = [title.removeprefix(">") for title in head]
    kinds = ["number" if title.startswith(">") else "" for title in head]
    top = [html.Th(title, className=kind) for title, kind in zip(titles, kinds, strict=True)]
    body = [
        html.Tr(
            [
                html.Td(cell, className=kind or "lead", **{"data-label": title})
                for cell, kind, title in zip(row, kinds, titles, strict=True)
            ]
        )
        for row in rows
    ]
    return html.Table([html.Thead(html.Tr(top)), html.Tbody(body)], className="cards")


def copied(text: str, what: str) -> Component:
    """A text in its box with a button that copies it."""
    return html.Div(
        [
            html.Pre(text, className="copied"),
            html.Button("Copy", className="copy", type="button", title=f"Copy {what}",
                        **{"data-copy": text}),
        ],
        className="copyable",
    )  # fmt: skip


def soft(text: str) -> Component:
    """A remark."""
    return html.P(text, className="caption")
