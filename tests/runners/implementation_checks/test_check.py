"""An implementation may hang, end its process or print: the check has a result in any case."""

from __future__ import annotations

import json

import pytest
from attentune.errors import AttentionError, UsageError
from attentune.runners.implementation_checks.check import check_implementation


def reference(name: str) -> str:
    return f"attention_implementations:{name}"


def test_the_report_of_a_right_implementation(capfd):
    report = check_implementation(reference("SEPrints"), "se")
    assert report.agrees
    assert report.made_by == "SEPrints(in_channels=64)"
    assert [a.aspect for a in report.aspects if a.outcome == "note"] == ["output"]
    assert not capfd.readouterr().out  # What it prints is not part of the output.
    fields = json.loads(json.dumps(report.to_json()))
    assert fields["agrees"] is True
    assert fields["attention"] == "se(r=16)"
    assert {check["outcome"] for check in fields["checks"]} == {"same", "note"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("SEHangs", "did not return within 1 s"), ("SEEndsItsProcess", "exit code 3")],
)
def test_the_aspect_at_which_it_is_lost_is_named(name, words):
    report = check_implementation(reference(name), "se", seconds=1.0)
    assert report.aspects_at_fault == ("output",)
    assert words in report.aspects[-1].sentence


def test_what_hangs_while_it_is_imported_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "slow_module.py").write_text("import time\ntime.sleep(1000)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AttentionError, match="while importing it, it did not return within 1 s"):
        check_implementation("slow_module:Class", "se", seconds=1.0)


def test_an_error_of_the_process_is_raised_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be imported"):
        check_implementation("not_there:Class", "se")
