"""Trials are kept up to date without disturbing the search."""

from __future__ import annotations

from attentune.spaces.architecture import parse
from attentune.studies.dashboard.study_state import StudyState
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
