"""What the dashboard knows without a browser: its address, its guard, and how it keeps up."""

from __future__ import annotations

import subprocess
import sys

import pytest
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.dashboard import study_state
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.guard import COOKIE, Guard
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.database.store import Store
from attentune.studies.records import BASELINE

VIEWS = [
    Address(),
    Address(study="a b&c=d", cost="macs", log=True, trial=7),
    Address(attention=("se", "cbam"), stage=("s1",), ratio=("16",), colour="position"),
    Address(third="latency_ms", position=("mid",), with_=("other", "one & two")),
]


@pytest.mark.parametrize("address", VIEWS, ids=str)
def test_an_address_restores_what_was_seen(address):
    assert Address.from_query(address.query) == address


@pytest.mark.parametrize(
    "search", [None, "", "?", "?trial=x&colour=none", "?trial=-1", "?log=7", "?%ff=%fe"]
)
def test_an_address_that_makes_no_sense_is_the_default(search):
    assert Address.from_query(search) == Address()


def asked(guard, **environ):
    """Status, headers and body of a request to the guarded application."""
    told = {}

    def start(status, headers, *_):
        told["status"], told["headers"] = status, dict(headers)

    body = b"".join(guard({"HTTP_HOST": "localhost:8050", "PATH_INFO": "/", **environ}, start))
    return told["status"][:3], told["headers"], body


def inner(environ, start):
    start("200 OK", [])
    return [b"studies"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8050", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:8050", "200"),
        ("LOCALHOST", "200"),
        ("evil.example:8050", "403"),
        ("localhost.evil.example", "403"),
        ("", "403"),
    ],
)
def test_a_host_name_that_was_not_meant_is_refused(host, status):
    guard = Guard(inner, ("localhost", "127.0.0.1", "::1"), "", "default-src 'self'")
    found, headers, _ = asked(guard, HTTP_HOST=host)
    assert found == status
    assert (headers.get("Content-Security-Policy") == "default-src 'self'") == (status == "200")


def test_a_token_is_asked_for_once_and_taken_out_of_the_address():
    guard = Guard(inner, (), "secret", "")
    assert asked(guard)[0] == "403"
    assert asked(guard, QUERY_STRING="token=wrong")[0] == "403"
    assert asked(guard, HTTP_COOKIE=f"{COOKIE}=wrong")[0] == "403"
    status, headers, body = asked(
        guard, QUERY_STRING="study=a&token=secret", PATH_INFO="//x.example"
    )
    assert (status, headers["Location"], body) == ("303", "/x.example?study=a", b"")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Strict" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert asked(guard, HTTP_COOKIE=cookie)[2] == b"studies"


def test_the_dashboard_is_there_without_torch():
    code = (
        "import sys; from attentune.studies.dashboard import app, serve; "
        "assert not {'torch', 'timm', 'torchvision', 'optuna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(study_state, "PATIENCE", 0.0)


@pytest.fixture
def reader(store, target, impatient):
    with Store.open(target, read_only=True) as opened:
        yield opened


def test_reading_never_keeps_a_search_from_writing(store, study, reader, add, epoch):
    add("resnet18", 0.5, role=BASELINE)
    reading = reader.changed_trials(study, 0, [])
    assert len(next(reading)) == 1  # and the rest is still to be read
    store.start_trial(study, 7, parse("resnet18+eca@all.residual"), seed=0)
    store.record_epoch(study, 7, epoch(1, 0.4))
    assert list(reading) == []
    assert StudyState(reader, study).latest[7].report.accuracy == 0.4


def test_a_board_follows_a_search_by_reading_only_what_is_new(
    store, study, reader, add, epoch, result, monkeypatch
):
    for number, text in enumerate(("resnet18", "resnet18+se(r=16)@all.residual")):
        add(text, 0.5 + 0.1 * number, role=BASELINE)
    state = StudyState(reader, study)
    mark = state.refresh()
    assert state.refresh() == mark
    assert state.findings().best.accuracy == 0.6

    rows = []
    whole = reader.changed_trials

    def counted(*given):
        found = list(whole(*given))
        rows.append(sum(map(len, found)))
        return found

    monkeypatch.setattr(reader, "changed_trials", counted)
    store.start_trial(study, 100, parse("resnet18+eca@all.residual"), seed=0)
    store.record_epoch(study, 100, epoch(1, 0.4))
    assert state.refresh() != mark
    assert {n: r.report.epoch for n, r in state.latest.items()} == {100: 1}
    store.record_epoch(study, 100, epoch(2, 0.55))
    mark = state.refresh()
    assert state.latest[100].report.accuracy == 0.55
    store.finish_trial(study, 100, result(0.7))
    assert state.refresh() != mark
    assert state.latest == {}
    assert state.findings().best.number == 100
    assert max(rows) == 1
    expected = analyse(study, reader.trials(study), stages=state.stages)
    found = state.findings()
    assert (found.counts, found.noise, found.table) == (
        expected.counts,
        expected.noise,
        expected.table,
    )
    assert [p.numbers for p in found.points] == [p.numbers for p in expected.points]
    assert [p.gain for p in found.points] == [p.gain for p in expected.points]
    assert [p.numbers for p in found.front] == [p.numbers for p in expected.front]
    assert found.knee.numbers == expected.knee.numbers


def test_a_board_forgets_a_trial_that_was_turned_away(store, study, reader, add, impatient):
    add("resnet18", 0.5)
    store.start_trial(study, 50, parse("resnet18+eca@all.residual"), seed=0)
    state = StudyState(reader, study)
    assert state.columns.counts()["running"] == 1
    store.reject(study, parse("resnet18+eca@all.residual"), "too large", number=50)
    state.refresh()
    assert state.columns.counts()["running"] == 0
    assert [r.reason for r in state.rejections()] == ["too large"]


def test_filters_choose_what_is_drawn_and_keep_the_baselines(store, study, reader, add):
    add("resnet18", 0.5, role=BASELINE)
    add("resnet18+se(r=16)@s1.residual", 0.6)
    add("resnet18+se(r=4)@s4.post", 0.7)
    add("resnet18+cbam(r=16)@s1-s3.residual", 0.55)
    state = StudyState(reader, study)

    def drawn(**filters):
        return [p.number for p in state.findings(Address(**filters)).points]

    assert drawn() == [0, 1, 2, 3]
    assert drawn(attention=("se",)) == [0, 1, 2]
    assert drawn(stage=("s2",)) == [0, 3]
    assert drawn(ratio=("16",), position=("residual",)) == [0, 1, 3]
    assert drawn(attention=("nl",)) == [0]
    assert state.findings(Address(attention=("nl",))).best.number == 2


def test_of_very_many_architectures_the_best_of_every_spot_are_drawn(
    store, study, reader, add, monkeypatch
):
    monkeypatch.setattr(study_state, "MOST_DRAWN", 10)
    monkeypatch.setattr(study_state, "SPOTS", (3, 3))
    add("resnet18", 0.5, 1000, role=BASELINE)
    for ratio in range(2, 40):
        add(f"resnet18+se(r={ratio})@s1.residual", 0.5 + ratio / 100, 1000 + ratio)
    state = StudyState(reader, study)
    found = state.findings(Address(trial=3))
    assert len(found.points) <= 10 + len(found.front) + 2
    assert {p.number for p in found.front} <= {p.number for p in found.points}
    assert {0, 3} <= {p.number for p in found.points}
    assert found.counts["complete"] == 39


def test_an_empty_study_and_one_that_only_failed_have_nothing_to_show(store, study, reader):
    state = StudyState(reader, study)
    assert state.findings().best is None
    assert state.costs[0].key == "params"
    store.start_trial(study, 0, parse("resnet18"), seed=0)
    store.fail_trial(study, 0, Failure("error", "<b>boom</b>", "trace"))
    state.refresh()
    assert state.findings().points == ()
    assert [t.failure.message for t in state.failed()] == ["<b>boom</b>"]
