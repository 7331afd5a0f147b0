"""The star, the tags and the note of a trial are changed: the one thing that readers may write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dash import Dash, Input, Output, State
from dash.exceptions import PreventUpdate

from ...errors import StudyError
from ..figures.themes import LIGHT
from ..trial_marks import TrialMarks
from .address import Address
from .context import StudyStates
from .pages.mark_editor import mark_editor
from .study_state import StudyState


def add_mark_callbacks(app: Dash, states: StudyStates, has_card: Callable[[str], bool]) -> None:
    """Let readers change the star, the tags and the note of the selected trial.

    Args:
        app: the application.
        states: of the studies.
        has_card: whether the page of a path shows the card of a trial.
    """

    def edited_trial(query: str) -> tuple[StudyState, int]:
        """The study and the trial whose marks a reader wants to change."""
        address = Address.from_query(query)
        state = states.get(address.study)
        if state is None or address.trial is None:
            raise PreventUpdate
        if not states.may_edit():
            raise StudyError(
                "Stars, tags and notes can be changed on this machine only, or with a token "
                "(--host)."
            )
        return state, address.trial

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("editor", "children"),
        Output("edited", "data"),
        Input("url", "search"),
        Input("url", "pathname"),
        Input("study", "data"),
        State("edited", "data"),
    )
    def editor(query: str, pathname: str, study: str, edited: str) -> Any:
        address = Address.from_query(query)
        is_open = study and address.edit and address.trial is not None and has_card(pathname)
        name = f"{study} {address.trial}" if is_open and states.may_edit() else ""
        if name == (edited or ""):
            raise PreventUpdate  # What was typed stays.
        return mark_editor(states.context(query, LIGHT.name)) if name else None, name

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search", allow_duplicate=True),
        Output("version", "data", allow_duplicate=True),
        Input("save-marks", "n_clicks"),
        State("mark-tags", "value"),
        State("mark-note", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def save(clicks: int | None, tags: str | None, note: str | None, query: str) -> Any:
        if not clicks:
            raise PreventUpdate
        state, number = edited_trial(query)
        marks = TrialMarks.of(state.marks.of(number).starred, tags or "", note or "")
        state.marks.write(number, marks)
        closed = Address.from_query(query).with_changes({"edit": False}).query
        return closed, f"{state.study.id}:{state.refresh()}"

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("version", "data", allow_duplicate=True),
        Input("star-button", "n_clicks"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def star(clicks: int | None, query: str) -> Any:
        if not clicks:
            raise PreventUpdate
        state, number = edited_trial(query)
        marks = state.marks.of(number)
        state.marks.write(number, replace(marks, starred=not marks.starred))
        return f"{state.study.id}:{state.refresh()}"
