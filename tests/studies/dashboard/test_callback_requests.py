"""Only what a page of the dashboard sends reaches a callback."""

from __future__ import annotations

import json

import pytest
from attentune.studies.dashboard.callback_requests import CallbackCheck, CallbackRequestError

CALLBACKS = {
    "card.children": {
        "callback": print,
        "inputs": [{"id": "url", "property": "search"}],
        "state": [{"id": "url", "property": "pathname"}],
    },
    "..url.search...written.data..": {
        "callback": print,
        "inputs": [{"id": '{"control":["ALL"]}', "property": "value"}],
        "state": [{"id": '{"control":["ALL"]}', "property": "id"}],
    },
    '{"name":["MATCH"],"slot":"text"}.children': {"callback": print, "inputs": [], "state": []},
    "theme.data": {"inputs": [], "state": []},
}
CHECK = CallbackCheck(CALLBACKS, {"text": ["summary"], "figure": ["pareto"]})


def card(search="?study=a", outputs=None, **changes):
    body = {
        "output": "card.children",
        "outputs": outputs or {"id": "card", "property": "children"},
        "inputs": [{"id": "url", "property": "search", "value": search}],
        "state": [{"id": "url", "property": "pathname", "value": "/"}],
        "changedPropIds": ["url.search"],
    }
    return body | changes


def controls(values, ids=None):
    ids = ids or list(values)
    return {
        "output": "..url.search...written.data..",
        "outputs": [{"id": "url", "property": "search"}, {"id": "written", "property": "data"}],
        "inputs": [
            [{"id": {"control": n}, "property": "value", "value": v} for n, v in values.items()]
        ],
        "state": [[{"id": {"control": n}, "property": "id", "value": {"control": n}} for n in ids]],
    }


def slot(name, kind="text"):
    return {
        "output": '{"name":["MATCH"],"slot":"text"}.children',
        "outputs": {"id": {"name": name, "slot": kind}, "property": "children"},
        "inputs": [],
    }


@pytest.mark.parametrize(
    "body",
    [
        card(),
        card(None),
        card(changedPropIds=[]),
        card(changedPropIds=['{"slot":"graph","name":"pareto"}.clickData']),
        controls({"cost": "macs", "log": 1, "stage": ["s1"], "trial": 3, "compared": None}),
        controls({}),
        slot("summary"),
    ],
    ids=str,
)
def test_what_a_page_sends_is_accepted(body):
    CHECK.check(json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        card(5),
        card("\x00"),
        card("\ud800"),
        card("x" * 100_000),
        card(output="nothing.children"),
        card(output="theme.data"),
        card(inputs=[]),
        card(inputs=None),
        card(state=[]),
        card(outputs=[{"id": "card", "property": "children"}]),
        card(outputs={"id": "nav", "property": "children"}),
        card(outputs={"id": {}, "property": "children"}),
        card(outputs={"id": "card", "property": "style"}),
        card(changedPropIds=["{.value"]),
        card(changedPropIds=[1]),
        controls({"cost": 1}),
        controls({"log": 2}),
        controls({"stage": "s1"}),
        controls({"stage": [1]}),
        controls({"colour": "nothing"}),
        controls({"trial": -1}),
        controls({"trial": 10**30}),
        controls({"nothing": "x"}),
        controls({"cost": "macs"}, ids=["third"]),
        controls({"cost": "macs"}, ids=["cost", "third"]),
        slot("nothing"),
        slot("pareto", "figure"),
    ],
    ids=lambda body: str(body)[:60],
)
def test_all_else_is_refused(body):
    with pytest.raises(CallbackRequestError):
        CHECK.check(json.dumps(body).encode())


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"\xff", b'{"output":' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(CallbackRequestError):
        CHECK.check(body)
