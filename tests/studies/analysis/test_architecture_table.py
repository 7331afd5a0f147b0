"""A table of architectures says what the records of their trials say, one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.records import BASELINE
from example_records import random_search


@pytest.mark.parametrize("seed", range(5))
def test_points_gains_noise_and_counts_are_those_of_the_records(seed):
    records = random_search(seed)
    columns = TrialTable.of(records)
    architectures = ArchitectureTable.of(columns)
    assert columns.counts() == Counter(t.state for t in records)
    by_key = {}
    for one in records:
        if one.state == "complete":
            by_key.setdefault(one.key, []).append(one)
    bare = {t.seed: t.accuracy for t in by_key[records[0].key]}
    points = architectures.summaries(range(len(architectures)))
    assert [p.architecture.key for p in points] == list(by_key)
    for point, own in zip(points, by_key.values(), strict=True):
        assert point.numbers == tuple(t.number for t in own)
        assert point.seeds == tuple(t.seed for t in own)
        assert point.accuracies == tuple(t.accuracy for t in own)
        assert point.baseline == (own[0].role == BASELINE)
        assert point.accuracy == pytest.approx(np.mean(point.accuracies))
        assert point.values["params"] == pytest.approx(np.mean([t.params for t in own]))
        assert ("latency_ms" in point.values) == all(t.latency_ms is not None for t in own)
        pairs = [t.accuracy - bare[t.seed] for t in own if t.seed in bare]
        if point.gain is not None and pairs:
            assert point.gain.mean == pytest.approx(np.mean(pairs))
            assert point.gain.pairs == len(pairs)
    gains = [np.nan if p.gain is None else p.gain.mean for p in points]
    np.testing.assert_allclose(architectures.gain, gains, atol=1e-12)
    repeated = [point.accuracies for point in points if len(point.seeds) > 1]
    freedom = sum(len(own) - 1 for own in repeated)
    squares = sum((len(own) - 1) * np.var(own, ddof=1) for own in repeated)
    assert architectures.noise.freedom == freedom
    assert architectures.noise.deviation == pytest.approx((squares / freedom) ** 0.5)
