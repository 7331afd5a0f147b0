"""The status line says what is running, or how to continue; the tiles say how much is done."""

from __future__ import annotations

from attentune.spaces.architecture import Architecture
from attentune.studies.dashboard.pages.history import _trials_done, status_line
from attentune.studies.dashboard.study_state import StudyState


def test_the_status_line_names_what_is_running(store, study, reader, add, epoch):
    state = StudyState(reader, study)
    assert status_line(state) == "0 trials done"
    add("resnet18", 0.5)
    store.trials.start(study, 7, Architecture.parse("resnet18+eca@all.residual"), seed=0)
    state.refresh()
    command = "attentune resume first"
    assert status_line(state) == f"1 trial done · 1 trial interrupted · continue with: {command}"
    lease = store.leases.acquire(study)
    state.refresh()
    assert status_line(state) == "1 trial done · 1 trial starting"
    store.epochs.record(study, 7, epoch(1, 0.321))
    state.refresh()
    assert status_line(state) == "1 trial done · trial 7: epoch 1, 32.1 %"
    store.leases.release(lease)


def test_the_status_line_of_a_study_that_is_being_set_up(store, study, reader):
    store.studies.change_config(study, lambda _: {"request": {}})
    state = StudyState(reader, store.studies.get("first"))
    assert status_line(state) == "setup interrupted · continue with: attentune resume first"
    assert state.summary() == ("The study is being set up; no trial has run yet.", None)
    lease = store.leases.acquire(study)
    state.refresh()
    assert status_line(state) == "being set up"
    store.leases.release(lease)


def test_the_share_of_trials_that_have_ended_is_never_above_all():
    assert _trials_done(10, 40) == ("10 of 40", "25 %")
    assert _trials_done(14, 3) == ("14 of 14", "100 %")
