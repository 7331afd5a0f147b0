"""The one thing that the dashboard writes: only for readers of this machine, or with a token."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from attentune.errors import StoreError
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.app import make_app
from attentune.studies.dashboard.context import StudyStates
from attentune.studies.dashboard.pages.pareto import pareto
from attentune.studies.dashboard.pages.trial_card import trial_card
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.figures.themes import LIGHT
from attentune.studies.trial_marks import TrialMarks


def press(
    client: Any,
    button: str,
    query: str,
    host: str = "127.0.0.1:8050",
    content_type: str = "application/json",
    **fields: str,
) -> Any:
    """What the server answers when a button is pressed."""
    callbacks = client.application.dash.callback_map
    name = next(
        name for name, each in callbacks.items() if button in {i["id"] for i in each["inputs"]}
    )
    callback = callbacks[name]
    values = {f"{button}.n_clicks": 1, "url.search": query, **fields}
    arguments = {
        kind: [
            {**each, "value": values[f"{each['id']}.{each['property']}"]} for each in callback[kind]
        ]
        for kind in ("inputs", "state")
    }
    outputs = [
        dict(zip(("id", "property"), each.rsplit(".", 1), strict=True))
        for each in name.strip(".").split("...")
    ]
    body = {
        "output": name,
        "outputs": outputs if name.startswith("..") else outputs[0],
        "changedPropIds": [f"{button}.n_clicks"],
        **arguments,
    }
    sent = {"data": json.dumps(body), "content_type": content_type}
    return client.post("/_dash-update-component", headers={"Host": host}, **sent)


@pytest.fixture
def client(reader, study, add):
    add("resnet18", 0.5)
    app = make_app(reader)
    app.server.dash = app
    return app.server.test_client()


def test_a_reader_of_this_machine_stars_a_trial_and_writes_a_note(client, store, study):
    assert press(client, "star-button", "?trial=0").status_code == 200
    typed = {"mark-tags.value": "good, small", "mark-note.value": "=1+1"}
    answer = press(client, "save-marks", "?trial=0&edit=1&sort=params", **typed)
    assert answer.json["response"]["url"]["search"] == "?trial=0&sort=params"
    assert store.marks.read(study) == {0: TrialMarks(True, ("good", "small"), "=1+1")}
    assert press(client, "star-button", "?trial=0").status_code == 200
    assert not store.marks.read(study)[0].starred
    row = next(csv.DictReader(io.StringIO(client.get("/trials.csv").get_data(as_text=True))))
    assert (row["starred"], row["tags"], row["remark"]) == ("False", "good, small", "'=1+1")


def test_nobody_else_changes_anything(client, store, study, reader):
    answer = press(client, "star-button", "?trial=0", host="hub.example.org")
    assert "on this machine only" in str(answer.json)
    # A form of another site can be sent without asking, but not as JSON.
    answer = press(client, "star-button", "?trial=0", content_type="text/plain")
    assert answer.status_code == 415
    assert store.marks.read(study) == {}
    app = make_app(reader, has_token=True)
    app.server.dash = app
    press(app.server.test_client(), "star-button", "?trial=0", host="hub.example.org")
    assert store.marks.read(study)[0].starred


def test_marks_are_shown_searched_and_drawn(store, study, reader, add):
    number = add("resnet18+eca@s1.post", 0.5)
    state = StudyState(reader, study)
    state.marks.write(number, TrialMarks(True, ("Good",), "as noted"))
    rows = state.trials.rows()
    for words in ("starred", "#good", "noted"):
        assert state.analysis.matching_trials(Address(search=words), rows).tolist() == [True]
    version = state.refresh()
    store.marks.put(study, number, TrialMarks(True, ("Good",), "changed elsewhere"))
    assert state.refresh() != version
    states = StudyStates(reader, None, may_edit=lambda: True)
    card = str(trial_card(states.context("?trial=0", LIGHT.name)))
    assert "★ Starred" in card
    assert "changed elsewhere" in card
    assert "Edit tags and note" in card
    assert "star-button" not in str(
        trial_card(StudyStates(reader, None).context("?trial=0", "light"))
    )
    assert [t.name for t in pareto(states.context("", LIGHT.name)).data][-1] == "starred"


def test_a_database_of_an_earlier_version_is_not_changed(reader, study, add, monkeypatch):
    add("resnet18", 0.5)
    monkeypatch.setattr(reader._database, "revision", "0012")
    with pytest.raises(StoreError, match="earlier version"):
        StudyState(reader, study).marks.write(0, TrialMarks(True))
