"""Attention maps that cannot be computed say why."""

from __future__ import annotations

import time

import pytest
from attentune.errors import StoreError
from attentune.studies.dashboard import inspected_trials
from attentune.studies.dashboard.study_state import StudyState


@pytest.mark.parametrize(
    ("error", "problem", "logged"),
    [
        (StoreError("the weights are missing"), "The weights are missing", False),
        (KeyError("conv"), "Cannot inspect this trial: KeyError: 'conv'. The terminal", True),
    ],
)
def test_attention_maps_that_fail_do_not_compute_for_ever(
    reader, study, add, monkeypatch, caplog, error, problem, logged
):
    def fail(*_):
        raise error

    monkeypatch.setattr(inspected_trials, "request_for_trial", fail)
    state = StudyState(reader, study)
    number, ends = add("resnet18", 0.6), time.monotonic() + 60
    version = state.refresh()
    while (inspected := state.inspected.get(number)) is None:
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert inspected.problem.startswith(problem)
    assert state.refresh() != version
    assert ("Traceback" in caplog.text) is logged
