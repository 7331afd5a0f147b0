"""Hostile requests are refused, faults of our own are shown, and no page names another host."""

from __future__ import annotations

import json
import re

import pytest
from attentune.errors import StoreError
from attentune.studies.dashboard import app as dashboard
from attentune.studies.dashboard.serve import application
from attentune.studies.records import BASELINE
from chaos.hostile_requests import (
    HostileRequest,
    browser_requests,
    hostile_requests,
    send,
    send_all,
)

SAMPLE = 700
ADDRESS = re.compile(r"""(?:https?|wss?):(?:\\?/){2}(?!www\.w3\.org/)[\w-]+\.[\w.-]+""")


@pytest.fixture
def guarded(store, add, reader):
    """The application with a study of a few trials."""
    add("resnet18", 0.60, role=BASELINE)
    add("resnet18+se(r=16)@all.residual", 0.62, 1100)
    add("resnet18+cbam(r=4)@s3.residual", 0.70, 1200)
    store.studies.create(
        "young", backbone="resnet18", objectives=("accuracy", "params"), config={}, seed=0
    )
    return application(reader)


def test_hostile_requests_are_refused_without_a_traceback(guarded):
    harmless = browser_requests(guarded)
    stable = [
        request
        for request in harmless
        if any(name in request.body for name in (b"page.children", b'"front"', b"study-0", b"nav"))
    ]
    before = [send(guarded, request).body for request in stable]
    replies = send_all(guarded, hostile_requests(harmless, count=SAMPLE, seed=28))
    assert replies.tried == SAMPLE
    assert replies.broken == []
    assert {200, 204, 400, 403, 404, 405, 413} <= replies.statuses.keys()
    assert [send(guarded, request).body for request in stable] == before


def test_what_a_browser_sends_is_answered(guarded):
    replies = send_all(guarded, browser_requests(guarded))
    assert replies.tried > 30
    assert replies.statuses.keys() == {200, 204}
    assert replies.broken == []


@pytest.mark.parametrize(
    ("error", "logged"), [(TypeError("a fault of ours"), True), (StoreError("the disk"), False)]
)
def test_a_fault_of_a_callback_is_shown_and_logged(guarded, monkeypatch, error, logged):
    def fail(_):
        raise error

    monkeypatch.setitem(dashboard.FIGURES, "pareto", fail)
    [request] = [
        r for r in browser_requests(guarded) if b'"name": "pareto", "slot": "fig' in r.body
    ]
    response = send(guarded, request)
    assert response.status == 200
    problem = json.loads(response.body)["sideUpdate"]["problem"]["children"]
    assert str(error) in problem
    assert any("a callback failed" in text for text in response.logged) is logged
    assert any("Traceback" in text for text in response.logged) is logged


def test_no_page_and_no_script_names_another_host(guarded):
    page = send(guarded, HostileRequest("/", "GET")).body.decode()
    paths = re.findall(r"""(?:src|href)="(/[^"?]*)""", page)
    scripts = [path for path in paths if path.endswith(".js")]
    assert len(scripts) > 8
    scripts += ["/_dash-component-suites/plotly/package_data/plotly.min.js"]
    scripts += [f"/_dash-component-suites/dash/dcc/async-{n}.js" for n in ("graph", "dropdown")]
    for path in ("/", "/_dash-layout", "/_dash-dependencies", *scripts):
        response = send(guarded, HostileRequest(path, "GET"))
        assert response.status == 200, path
        assert ADDRESS.findall(response.body.decode()) == [], path
