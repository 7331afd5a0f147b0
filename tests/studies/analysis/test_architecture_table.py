"""A table of architectures says what the records of their trials say, one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.records import BASELINE
from example_records import random_search, study


@pytest.mark.parametrize("seed", range(5))
def test_summaries_gains_noise_and_counts_are_those_of_the_records(seed):
    records = random_search(seed)
    columns = TrialTable.of(records)
    architectures = ArchitectureTable.of(columns, StudyModel.of(study()))
    assert columns.counts() == Counter(t.state for t in records)
    by_key = {}
    for record in records:
        if record.state == "complete":
            by_key.setdefault(record.key, []).append(record)
    summaries = architectures.summaries(range(len(architectures)))
    assert [s.architecture.key for s in summaries] == list(by_key)
    bare = next(s for s in summaries if s.architecture.bare)
    for summary, trials in zip(summaries, by_key.values(), strict=True):
        assert summary.numbers == tuple(t.number for t in trials)
        assert summary.seeds == tuple(t.seed for t in trials)
        assert summary.scores == tuple(t.accuracy for t in trials)
        assert summary.baseline == (trials[0].role == BASELINE)
        assert summary.values["params"] == pytest.approx(np.mean([t.params for t in trials]))
        assert ("latency_ms" in summary.values) == all(t.latency_ms is not None for t in trials)
        assert summary.standard_error > 0
        if summary is bare:
            assert summary.gain is None
            assert summary.gain_error is None
        else:
            assert summary.gain == summary.score - bare.score
            assert summary.gain_error > 0
    gains = [np.nan if s.gain is None else s.gain for s in summaries]
    np.testing.assert_array_equal(architectures.gain, gains)
    assert architectures.noise.repeats == sum(len(s.seeds) - 1 for s in summaries)


def test_a_table_with_pruned_trials_uses_their_rungs():
    records = random_search(0)
    assert any(record.state == "pruned" for record in records)
    model = StudyModel.of(study())
    ArchitectureTable.of(TrialTable.of(records), model)
    ended = [r for r in records if r.state in ("complete", "pruned")]
    assert len(model.histories) == len(ended)
