"""A live study shows what the analysis would, reading only what is new."""

from __future__ import annotations

from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.dashboard import live_analysis
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.records import BASELINE


def test_a_state_follows_a_search_by_reading_only_what_is_new(
    store, study, reader, add, epoch, result, monkeypatch
):
    for number, text in enumerate(("resnet18", "resnet18+se(r=16)@all.residual")):
        add(text, 0.5 + 0.1 * number, role=BASELINE)
    state = StudyState(reader, study)
    mark = state.refresh()
    assert state.refresh() == mark
    assert state.analysis.findings().best.accuracy == 0.6

    rows = []
    whole = reader.trials.read_changed

    def counted(*arguments):
        parts = list(whole(*arguments))
        rows.append(sum(map(len, parts)))
        return parts

    monkeypatch.setattr(reader.trials, "read_changed", counted)
    store.trials.start(study, 100, parse("resnet18+eca@all.residual"), seed=0)
    store.epochs.record(study, 100, epoch(1, 0.4))
    assert state.refresh() != mark
    assert {n: r.report.epoch for n, r in state.trials.latest_epochs.items()} == {100: 1}
    store.epochs.record(study, 100, epoch(2, 0.55))
    mark = state.refresh()
    assert state.trials.latest_epochs[100].report.accuracy == 0.55
    store.trials.finish(study, 100, result(0.7))
    assert state.refresh() != mark
    assert state.trials.latest_epochs == {}
    assert state.analysis.findings().best.number == 100
    assert max(rows) == 1
    expected = analyse(study, reader.trials.read(study), stages=state.analysis.stages)
    findings = state.analysis.findings()
    assert (findings.counts, findings.noise, findings.table) == (
        expected.counts,
        expected.noise,
        expected.table,
    )
    assert [p.numbers for p in findings.architectures] == [
        p.numbers for p in expected.architectures
    ]
    assert [p.gain for p in findings.architectures] == [p.gain for p in expected.architectures]
    assert [p.numbers for p in findings.front] == [p.numbers for p in expected.front]
    assert findings.knee.numbers == expected.knee.numbers


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
