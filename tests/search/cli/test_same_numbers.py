"""One study on every surface: the same numbers, written in the same way."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attentune.search.cli.progress import LiveDisplay
from attentune.search.run.study import Study
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.database.store import Store
from attentune.studies.outputs.read_findings import read_findings, read_model
from attentune.studies.text import formatting
from command_line import attentune
from rich.console import Console


@pytest.fixture(scope="module")
def shown(finished: Path) -> dict[str, Any]:
    """What programs read of the study."""
    content: dict[str, Any] = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    return content


def plain(text: str) -> str:
    """A text in one line, without tags, backticks and line breaks."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", text))).replace("`", "")


def front(shown: dict[str, Any]) -> list[tuple[str, str]]:
    """Accuracy and gain of every architecture on the front, as people read them."""
    return [
        (
            formatting.percent(a["accuracy"], a["standard_error"]),
            formatting.MISSING
            if a["gain"] is None
            else formatting.points(a["gain"], a["gain_error"]),
        )
        for a in shown["architectures"]
        if a["front"]
    ]


def test_gains_are_differences_and_the_best_is_the_most_accurate(shown: dict[str, Any]) -> None:
    architectures = shown["architectures"]
    [bare] = [a for a in architectures if a["gain"] is None]
    for a in architectures:
        if a is not bare:
            assert a["gain"] == a["accuracy"] - bare["accuracy"]
    best = max(architectures, key=lambda a: a["accuracy"])
    assert shown["best"] == best["number"]
    measured = [t["values"]["accuracy"] for t in shown["trials"] if t["key"] == best["key"]]
    assert sorted(best["measured"]) == sorted(measured)


def test_the_terminal_and_the_report_print_what_programs_read(
    finished: Path, shown: dict[str, Any], tmp_path: Path
) -> None:
    terminal = plain(attentune("show", "first", cwd=finished).stdout)
    page = tmp_path / "report.html"
    attentune("report", "first", "-o", str(page), cwd=finished)
    report = plain(page.read_text("utf-8"))
    sentence = plain(shown["summary"])
    assert front(shown)
    for surface in (terminal, report):
        assert sentence in surface
        for accuracy, gain in front(shown):
            assert accuracy in surface
            assert gain in surface


def test_the_list_has_the_best_of_the_study(finished: Path, shown: dict[str, Any]) -> None:
    [listed] = json.loads(attentune("list", "--json", cwd=finished).stdout)
    highest = max(a["accuracy"] for a in shown["architectures"])
    assert listed["best_accuracy"] == highest
    assert formatting.percent(highest) in attentune("list", cwd=finished).stdout


def test_the_dashboard_the_live_line_and_python_have_the_same_findings(
    finished: Path, shown: dict[str, Any]
) -> None:
    database = finished / "attentune.db"
    study = Study("first", database)
    with Store.open(database, read_only=True) as store:
        record = store.studies.get("first")
        findings = read_findings(store, record)
        state = StudyState(store, record)
        live = state.analysis.findings()
        display = LiveDisplay(Console(record=True, width=100))
        running = SimpleNamespace(
            earlier=store.trials.read(record), model=read_model(store, record), config=record
        )
        display.on_study_start(cast(Any, running))
        assert plain(state.summary()[0]) == plain(shown["summary"])
    assert plain(study.summary) == plain(shown["summary"])
    assert display.best == findings.best == study.best
    for summary, other, fields in zip(
        findings.architectures, live.architectures, shown["architectures"], strict=True
    ):
        numbers = (summary.score, summary.standard_error, summary.gain, summary.gain_error)
        assert numbers == (other.score, other.standard_error, other.gain, other.gain_error)
        names = ("accuracy", "standard_error", "gain", "gain_error")
        assert numbers == tuple(fields[name] for name in names)
    assert [s.number for s in live.front] == [s.number for s in findings.front]
    assert sorted(s.number for s in live.front) == shown["pareto"]
    assert [s and s.number for s in (live.best, live.knee)] == [shown["best"], shown["knee"]]
