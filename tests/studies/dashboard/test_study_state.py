"""A live study shows what the analysis would, reading only what is new."""

from __future__ import annotations

from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
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
    assert state.analysis.findings().best.scores == (0.6,)

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
    expected = analyse(study, reader.trials.read(study))
    findings = state.analysis.findings()
    assert (findings.counts, findings.noise) == (expected.counts, expected.noise)
    assert [p.numbers for p in findings.architectures] == [
        p.numbers for p in expected.architectures
    ]
    assert [p.gain for p in findings.architectures] == [p.gain for p in expected.architectures]
    assert [p.numbers for p in findings.front] == [p.numbers for p in expected.front]
    assert findings.knee.numbers == expected.knee.numbers
