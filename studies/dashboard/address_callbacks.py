"""Controls, clicks on figures, boxes over axes and the choice of the study write the address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, no_update
from dash.exceptions import PreventUpdate

from ..figures.themes import LIGHT
from .address import Address
from .context import StudyStates
from .pages import pair, trials
from .parallel_axes import drawn_rows, filters_of_box, parallel_axes
from .selection import selection_of_click
from .trial_columns import TrialColumns


def add_address_callbacks(app: Dash, states: StudyStates) -> None:
    """Let controls, figures and the choice of the study write the address."""

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search"),
        Output("written", "data"),
        Input({"control": ALL}, "value"),
        State({"control": ALL}, "id"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def write_controls(values: Sequence[Any], ids: Sequence[dict[str, str]], query: str) -> Any:
        changes = {id_["control"]: value for id_, value in zip(ids, values, strict=True)}
        if "log" in changes:
            changes["log"] = bool(changes["log"])
        current = Address.from_query(query)
        # The address leaves out what is shown by default.
        default = states.context(
            current.with_changes({"cost": None, "third": None}).query, LIGHT.name
        )
        if changes.get("cost") == default.cost.key:
            changes["cost"] = None
        if changes.get("third") == default.third.key and not changes.get("cost"):
            changes["third"] = None
        for name, number in zip(pair.NAMES, pair.chosen_numbers(default), strict=True):
            if getattr(current, name) is None and changes.get(name) == number:
                changes[name] = None
        if "columns" in changes and changes["columns"] == TrialColumns(default).default:
            changes["columns"] = []
        changed = current.with_changes(changes)
        if changed == current or not changes:
            raise PreventUpdate
        return changed.query, changed.query

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search", allow_duplicate=True),
        Output("written", "data", allow_duplicate=True),
        Input({"slot": "graph", "name": ALL}, "clickData"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def select(_: Sequence[Any], query: str) -> Any:
        clicked = ctx.triggered[0]["value"]
        address = Address.from_query(query)
        changes = clicked and selection_of_click(ctx.triggered_id["name"], clicked, address)
        if not changes:
            raise PreventUpdate
        changed = address.with_changes(changes).query
        return changed, changed if changes.keys() == {"trial"} else no_update

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search", allow_duplicate=True),
        Input({"slot": "graph", "name": ALL}, "selectedData"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def brush(_: Sequence[Any], query: str) -> Any:
        box = (ctx.triggered[0]["value"] or {}).get("range")
        if not box or ctx.triggered_id["name"] != trials.PARALLEL:
            raise PreventUpdate
        context = states.context(query, LIGHT.name)
        axes = parallel_axes(context, drawn_rows(context))
        if not (changes := filters_of_box(axes, box, context.address)):
            raise PreventUpdate
        return context.address.with_changes(changes).query

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search", allow_duplicate=True),
        Input("study-picker", "value"),
        State("study", "data"),
        prevent_initial_call=True,
    )
    def select_study(name: str | None, shown: str) -> Any:
        if not name or name == shown:
            raise PreventUpdate
        return Address(study=name).query
