"""The form in which the tags and the note of a trial are typed.

It stands beside the card and is not drawn anew while a search runs, so that nothing typed is lost.
"""

from __future__ import annotations

from dash import dcc, html

from ...trial_marks import MAX_NOTE_LENGTH
from ..components import Component
from ..context import PageContext

TAGS, NOTE, SAVE = "mark-tags", "mark-note", "save-marks"
"""The ids of the fields and of the button."""


def mark_editor(context: PageContext) -> Component:
    """The form for the selected trial."""
    number = context.address.trial
    assert number is not None  # The caller has checked it.
    marks = context.state.marks.of(number)
    tags = dcc.Input(
        value=", ".join(marks.tags), id=TAGS, type="text", placeholder="separated by commas"
    )
    note = dcc.Textarea(value=marks.note, id=NOTE, rows=3, maxLength=MAX_NOTE_LENGTH)
    cancel = context.address.with_changes({"edit": False}).query or "?"
    return html.Section(
        [
            html.H2(f"Tags and note of trial {number}"),
            html.Label(["Tags", tags]),
            html.Label(["Note", note]),
            html.P([html.Button("Save", id=SAVE, type="button"), dcc.Link("Cancel", href=cancel)]),
        ],
        className="mark-editor",
        **{"aria-label": f"Tags and note of trial {number}"},
    )
