"""Trials are kept up to date without disturbing the search."""

from __future__ import annotations

from attentune.spaces.architecture import parse
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.outputs.read_findings import read_findings
from attentune.studies.records import BASELINE


def test_reading_never_keeps_a_search_from_writing(store, study, reader, add, epoch):
    add("resnet18", 0.5, role=BASELINE)
    reading = reader.trials.read_changed(study, 0, [])
    assert len(next(reading)) == 1  # and the rest is still to be read
    store.trials.start(study, 7, parse("resnet18+eca@all.residual"), seed=0)
    store.epochs.record(study, 7, epoch(1, 0.4))
    assert list(reading) == []
    assert StudyState(reader, study).trials.latest_epochs[7].report.accuracy == 0.4


def test_a_rejected_trial_is_removed(store, study, reader, add):
    add("resnet18", 0.5)
    store.trials.start(study, 50, parse("resnet18+eca@all.residual"), seed=0)
    state = StudyState(reader, study)
    assert state.trials.counts()["running"] == 1
    store.trials.reject(study, parse("resnet18+eca@all.residual"), "too large", number=50)
    state.refresh()
    assert state.trials.counts()["running"] == 0
    assert [r.reason for r in state.records.rejections()] == ["too large"]


def test_a_study_that_was_being_set_up_gets_its_model_once_it_is(store, reader, epoch, result):
    config = {"request": {"backbone": "resnet18"}}
    objectives = ("accuracy", "params")
    study = store.studies.create(
        "new", backbone="resnet18", objectives=objectives, config=config, seed=0
    )
    state = StudyState(reader, study)
    assert state.trials.model.observed_epochs == ()
    decided = {"study": {"stages": 3, "recipe": {"data": "digits", "epochs": 8, "image_size": 32}}}
    store.studies.change_config(study, lambda _: decided)
    for number, text in enumerate(("resnet18", "resnet18+eca@all.residual")):
        store.trials.start(study, number, parse(text), seed=0)
        store.epochs.record(study, number, epoch(4, 0.3))
        store.trials.finish(study, number, result(0.5 + number / 10))
    state.trials._refreshed_at = 0.0
    state.refresh()
    assert (state.trials.model.stages, state.trials.model.observed_epochs) == (3, (4,))
    expected = read_findings(reader, reader.studies.get("new"))
    findings = state.analysis.findings()
    assert [s.gain for s in findings.architectures] == [s.gain for s in expected.architectures]
