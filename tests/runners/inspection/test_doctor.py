"""The checks of an installation: each has an outcome, whatever goes wrong."""

from __future__ import annotations

import pytest
from attentune.errors import BackboneError
from attentune.runners import costs
from attentune.runners.inspection import doctor
from attentune.runners.inspection.doctor import check_artifacts, check_installation


def test_every_check_of_this_installation_succeeds():
    checks = {check.name: check for check in check_installation()}
    assert list(checks) == [
        "python",
        "torch",
        "timm",
        "optuna",
        "devices",
        "data cache",
        "a network",
        "processor",
        "GPU",
        "memory",
        "shared memory",
        "load",
        "cache disk",
        "database disk",
    ]
    assert all(check.ok for check in checks.values())
    assert "builds, 398,762 parameters" in checks["a network"].detail
    assert "models" in checks["timm"].detail


def test_an_error_is_the_outcome_of_its_check_and_stops_no_other(monkeypatch):
    def fail(*_args, **_settings):
        raise BackboneError("timm has changed")

    monkeypatch.setattr(costs, "measure", fail)
    monkeypatch.setattr(doctor, "_describe_torch", lambda: 1 / 0)
    checks = {check.name: check for check in check_installation()}
    assert {name for name, check in checks.items() if not check.ok} == {"torch", "a network"}
    assert checks["a network"].detail == "BackboneError: timm has changed"
    assert checks["torch"].detail == "ZeroDivisionError: division by zero"
    assert all(check.advice for check in checks.values() if not check.ok)
    assert checks["torch"].to_json() == {
        "name": "torch",
        "ok": False,
        "found": "ZeroDivisionError: division by zero",
        "advice": doctor.REPORT,
    }


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ModuleNotFoundError("no timm", name="timm.models"), "`pip install timm`"),
        (ImportError("undefined symbol"), "in one call with torch"),
        (PermissionError(13, "denied"), "permissions"),
    ],
)
def test_a_failed_check_says_what_to_do(monkeypatch, error, advice):
    def fail():
        raise error

    monkeypatch.setattr(doctor, "_describe_timm", fail)
    monkeypatch.setattr(doctor, "_build_network", lambda: "")
    monkeypatch.setattr(doctor, "describe_machine", lambda: 1 / 0)
    checks = {check.name: check for check in check_installation()}
    assert advice in checks["timm"].advice
    assert not checks["machine"].ok


def test_a_place_for_artifacts_is_checked(tmp_path):
    assert check_artifacts(f"file://{tmp_path}/bucket").ok
    refused = check_artifacts("file:///proc/bucket")
    assert (refused.ok, "cannot write file:///proc/bucket" in refused.detail) == (False, True)
