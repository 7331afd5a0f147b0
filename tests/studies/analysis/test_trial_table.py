"""A study as arrays says what its records say, one by one."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from attentune.studies.analysis.analyse import analyse, main_attention, tabulate_gains
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.insertion_index import InsertionIndex
from attentune.studies.analysis.pareto import non_dominated
from attentune.studies.analysis.trial_table import TRIAL_COLUMNS, TrialTable
from attentune.studies.records import BASELINE, recorded_architecture
from example_records import BARE, study, trial

NAMES = ("se(r=4)", "se(r=16)", "eca", "cbam(r=8)", "ca(r=8)")


def trials(seed: int, count: int = 120):
    """A mixed study: several seeds, failures, pruned and running trials, missing costs."""
    draw = random.Random(seed)
    found = [trial(0, BARE, 0.5, role=BASELINE), trial(1, BARE, 0.53, role=BASELINE, seed=1)]
    seen = {(BARE, 0), (BARE, 1)}
    for number in range(2, count):
        text = BARE
        for stage in range(1, 4):
            if draw.random() < 0.6:
                text += f"+{draw.choice(NAMES)}@s{stage}.{draw.choice(('residual', 'post'))}"
        at = (text, draw.randrange(4))
        if at in seen:
            continue
        seen.add(at)
        fields = {"seed": at[1], "params": draw.randrange(1000, 3000), "seconds": draw.random()}
        if draw.random() < 0.1:
            fields["latency_ms"] = draw.random()
        state = draw.choice(("complete",) * 6 + ("pruned", "failed", "running"))
        reached = None if state in ("failed", "running") else draw.uniform(0.4, 0.7)
        found.append(trial(number, text, reached, state=state, **fields))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_points_gains_noise_and_counts_are_those_of_the_records(seed):
    given = trials(seed)
    columns = TrialTable.of(given)
    found = ArchitectureTable.of(columns)
    assert columns.counts() == Counter(t.state for t in given)
    by_key = {}
    for one in given:
        if one.state == "complete":
            by_key.setdefault(one.key, []).append(one)
    bare = {t.seed: t.accuracy for t in by_key[given[0].key]}
    points = found.summaries(range(len(found)))
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
    np.testing.assert_allclose(found.gain, gains, atol=1e-12)
    repeated = [point.accuracies for point in points if len(point.seeds) > 1]
    freedom = sum(len(own) - 1 for own in repeated)
    squares = sum((len(own) - 1) * np.var(own, ddof=1) for own in repeated)
    assert found.noise.freedom == freedom
    assert found.noise.deviation == pytest.approx((squares / freedom) ** 0.5)


@pytest.mark.parametrize("seed", range(5))
def test_the_table_of_attention_by_stage_is_that_of_the_records(seed):
    given = trials(seed)
    columns = TrialTable.of(given)
    found = ArchitectureTable.of(columns)
    traits = InsertionIndex(3).extend(columns.texts)
    gains = np.full(traits.count, np.nan)
    gains[found.text_indices] = found.gain
    ours, expected = (
        traits.stage_table(gains),
        tabulate_gains(analyse(study(), given).architectures, 3),
    )
    assert ours.attentions == expected.attentions
    assert ours.stages == expected.stages
    assert ours.cells.keys() == expected.cells.keys()
    for where, cell in expected.cells.items():
        assert ours.cells[where].count == cell.count
        assert ours.cells[where].mean == pytest.approx(cell.mean)
        assert ours.cells[where].standard_error == pytest.approx(cell.standard_error)


def test_rows_change_in_place_and_withdrawn_ones_are_forgotten():
    columns = TrialTable.of([trial(0, BARE, 0.5), trial(1, f"{BARE}+eca@all.post")])
    assert columns.running == [1]
    ended = trial(1, f"{BARE}+eca@all.post", 0.6)
    told = {**vars(ended), "id": 1, "text": ended.architecture}
    columns.update([[told[name] for name in TRIAL_COLUMNS]])
    assert columns.running == []
    assert columns.rows["accuracy"].tolist() == [0.5, 0.6]
    columns.remove([0])
    assert columns.rows["number"].tolist() == [1]
    assert columns.counts()["complete"] == 1


def test_texts_can_be_added_to_traits():
    texts = [f"{BARE}+se(r=4)@s1.residual", BARE, f"{BARE}+eca@s2.post"]
    traits = InsertionIndex(2).extend(texts[:1]).extend(texts)
    assert traits.having_in_stage("se", 1).tolist() == [True, False, False]
    assert traits.having_in_stage("eca", 2).tolist() == [False, False, True]
    assert main_attention(recorded_architecture(texts[2]), 2) == "eca"


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_front_is_what_no_row_dominates(objectives):
    values = np.random.default_rng(objectives).integers(0, 12, (150, objectives)).astype(float)
    kept = non_dominated(values)
    for row, on_front in zip(values, kept, strict=True):
        beaten = ((values <= row).all(axis=1) & (values < row).any(axis=1)).any()
        assert on_front == (not beaten)
