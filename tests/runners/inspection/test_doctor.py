"""The checks of an installation: each has an outcome, whatever goes wrong."""

from __future__ import annotations

from attentune.errors import BackboneError
from attentune.runners import costs
from attentune.runners.inspection import doctor
from attentune.runners.inspection.doctor import check_installation


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
