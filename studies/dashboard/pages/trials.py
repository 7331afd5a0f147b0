"""Trials: all of them as a table that is sorted, searched and filtered by the server.

The table is plain HTML, a page of it at a time: screen readers, printers and phones know what to do
with it, ten thousand trials take no longer than fifty, and its state is in the address.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import dcc, html

from ...figures.parallel_coordinates import parallel_coordinates_figure
from ...text import formatting
from ..components import Component, figure_slot, remark, section, text_slot
from ..context import PageContext
from ..parallel_axes import MAX_LINES, drawn_rows, parallel_axes
from ..trial_columns import TrialColumn, TrialColumns
from .filter_controls import choice, controls_bar, filter_controls

TRIALS_PER_PAGE = 25
CSV_PATH = "/trials.csv"
PARALLEL = "parallel-coordinates"
"""The name of the figure."""
BEST_FIRST = ""
"""The value of the control that sorts, if the address has no order."""


def page(context: PageContext) -> Component:
    """The page without its table."""
    return [
        text_slot("passing"),
        section(
            "Trials",
            "A title sorts by its column. The name of an architecture opens the card of its trial. "
            "Gains are those of the architecture, by the model of the study.",
            text_slot("trials"),
        ),
        section(
            "Parallel coordinates",
            "A line for each complete trial, the better its result, the more it stands out. A box "
            "that is dragged over an axis filters by this part of it, on every page; words such as "
            "params<3M in the search do the same. At most "
            f"{formatting.integer(MAX_LINES)} lines are drawn: the best trials, and an even choice "
            "of the others.",
            figure_slot(
                PARALLEL,
                380,
                wide=True,
                label="parallel coordinates",
                trials_csv=context.base.address_of(CSV_PATH),
            ),
        ),
    ]


def controls(context: PageContext) -> Component:
    """The filters, the order, and the choice of columns."""
    columns = TrialColumns(context)
    options = [{"label": "best first", "value": BEST_FIRST}]
    for column in columns.shown:
        if column.sortable:
            options.append({"label": f"{column.title}, upwards", "value": column.key})
            options.append({"label": f"{column.title}, downwards", "value": f"-{column.key}"})
    sort = context.address.sort or BEST_FIRST
    if sort not in {option["value"] for option in options}:
        options.append({"label": sort, "value": sort})
    chosen = [column.key for column in columns.shown]
    titles = [{"label": column.title, "value": column.key} for column in columns.all.values()]
    dropdown = dcc.Dropdown(titles, chosen, id={"control": "columns"}, multi=True)
    return controls_bar(
        "Filters, order and columns",
        [
            *filter_controls(context),
            choice("Sort by", "sort", options, sort),
            html.Label(["Columns", dropdown]),
        ],
    )


def trials(context: PageContext) -> Component:
    """A page of the table, with links to the others and to all rows as CSV."""
    state, address = context.state, context.address
    rows = state.trials.rows()
    rows = rows[state.analysis.matching_trials(address, rows)]
    if not len(rows):
        return remark("No trial passes the filters." if address.filtered else "No trial yet.")
    columns = TrialColumns(context)
    pages = math.ceil(len(rows) / TRIALS_PER_PAGE)
    number = min(address.page, pages)
    begin = (number - 1) * TRIALS_PER_PAGE
    shown = columns.sort(rows)[begin : begin + TRIALS_PER_PAGE]
    columns.read_records(shown)
    return [
        html.Div(
            [
                html.Span(
                    f"{formatting.integer(begin + 1)} to {formatting.integer(begin + len(shown))} "
                    f"of {formatting.plural(len(rows), 'trial')}"
                ),
                csv_link(context, f"CSV of {formatting.plural(len(rows), 'trial')}"),
                _page_links(context, number, pages, "above"),
            ],
            className="table-head",
        ),
        _table(context, columns.shown, shown),
        _page_links(context, number, pages, "below"),
    ]


def parallel(context: PageContext) -> go.Figure:
    """The parallel coordinates of complete trials."""
    rows = drawn_rows(context)
    axes = parallel_axes(context, rows)
    ranks = np.argsort(np.argsort(rows["score"])) / max(1, len(rows) - 1)
    return parallel_coordinates_figure(
        [axis.with_brushes(context.address) for axis in axes],
        context.state.analysis.matching_trials(context.address, rows),
        ranks,
        context.theme,
    )


def csv_link(context: PageContext, text: str) -> Component:
    """A link to the trials that pass the filters as CSV, one row a trial."""
    address = context.base.address_of(f"{CSV_PATH}{context.address.query}")
    return html.A(text, href=address, download="", title="One row a trial, one column a choice")


def _page_links(context: PageContext, number: int, pages: int, where: str) -> Component:
    """Links to other pages of the table; None if there is only one."""
    if pages == 1:
        return None

    def link(text: str, target: int) -> Component:
        if target == number or not 1 <= target <= pages:
            return html.Span(text, className="unchanged")
        return dcc.Link(text, href=context.address.with_changes({"page": target}).query or "?")

    return html.Nav(
        [
            link("First", 1),
            link("Previous", number - 1),
            html.Span(f"page {number} of {pages}"),
            link("Next", number + 1),
            link("Last", pages),
        ],
        className="page-links",
        **{"aria-label": f"Pages of the table, {where} it"},
    )


def _table(context: PageContext, columns: list[TrialColumn], rows: Any) -> Component:
    selected = context.address.trial
    body = [
        html.Tr(
            [
                html.Td(
                    column.cell(row),
                    className="number" if column.is_number else "lead",
                    **{"data-label": column.title},
                )
                for column in columns
            ],
            className="selected" if row["number"] == selected else "",
        )
        for row in rows
    ]
    head = html.Tr([_heading(context, column) for column in columns])
    return html.Table([html.Thead(head), html.Tbody(body)], className="blocks trials")


def _heading(context: PageContext, column: TrialColumn) -> Component:
    """The title of a column: a link that sorts by it, first with the best values on top."""
    kind = "number" if column.is_number else ""
    if not column.sortable:
        return html.Th(column.title, className=kind, scope="col")
    upwards, downwards = column.key, f"-{column.key}"
    order = {upwards: "ascending", downwards: "descending"}.get(context.address.sort or "")
    first, second = (downwards, upwards) if column.downwards else (upwards, downwards)
    target = second if context.address.sort == first else first
    arrow = {"ascending": " ▲", "descending": " ▼"}.get(order or "", "")
    link = dcc.Link(
        [column.title, html.Span(arrow, **{"aria-hidden": "true"})],
        href=context.address.with_changes({"sort": target}).query,
        title=f"Sort by {column.title}",
    )
    more = {"aria-sort": order} if order else {}
    return html.Th(link, className=kind, scope="col", **more)
