"""Filters and thinning choose what is drawn, never what is judged."""

from __future__ import annotations

from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.dashboard import live_analysis
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.records import BASELINE


def test_filters_select_what_is_drawn_and_keep_the_baselines(store, study, reader, add):
    add("resnet18", 0.5, role=BASELINE)
    add("resnet18+se(r=16)@s1.residual", 0.6)
    add("resnet18+se(r=4)@s4.post", 0.7)
    add("resnet18+cbam(r=16)@s1-s3.residual", 0.55)
    state = StudyState(reader, study)

    def drawn(**filters):
        return [p.number for p in state.analysis.findings(Address(**filters)).architectures]

    assert drawn() == [0, 1, 2, 3]
    assert drawn(attention=("se",)) == [0, 1, 2]
    assert drawn(stage=("s2",)) == [0, 3]
    assert drawn(ratio=("16",), position=("residual",)) == [0, 1, 3]
    assert drawn(attention=("nl",)) == [0]
    assert state.analysis.findings(Address(attention=("nl",))).best.number == 2


def test_of_very_many_architectures_the_best_of_every_cell_are_drawn(
    store, study, reader, add, monkeypatch
):
    monkeypatch.setattr(live_analysis, "MAX_MARKERS", 10)
    monkeypatch.setattr(live_analysis, "MARKER_GRID", (3, 3))
    add("resnet18", 0.5, 1000, role=BASELINE)
    for ratio in range(2, 40):
        add(f"resnet18+se(r={ratio})@s1.residual", 0.5 + ratio / 100, 1000 + ratio)
    state = StudyState(reader, study)
    findings = state.analysis.findings(Address(trial=3))
    assert len(findings.architectures) <= 10 + len(findings.front) + 2
    assert {p.number for p in findings.front} <= {p.number for p in findings.architectures}
    assert {0, 3} <= {p.number for p in findings.architectures}
    assert findings.counts["complete"] == 39


def test_an_empty_study_and_one_that_only_failed_have_nothing_to_show(store, study, reader):
    state = StudyState(reader, study)
    assert state.analysis.findings().best is None
    assert state.analysis.costs[0].key == "params"
    store.trials.start(study, 0, parse("resnet18"), seed=0)
    store.trials.fail(study, 0, Failure("error", "<b>boom</b>", "trace"))
    state.refresh()
    assert state.analysis.findings().architectures == ()
    assert [t.failure.message for t in state.records.failed_trials()] == ["<b>boom</b>"]
