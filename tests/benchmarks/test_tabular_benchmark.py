"""Tables of architectures: what a second machine's seeds change, and what they do not."""

from __future__ import annotations

import json

import numpy as np
from attentune.benchmarks.tabular_benchmark import TABLES, ShuffledSeeds, TabularBenchmark


def test_what_another_machine_adds_to_all_of_its_trials_changes_no_rank(tmp_path):
    table_json = json.loads(TABLES[0].read_text("utf-8"))

    def written(name: str) -> TabularBenchmark:
        (tmp_path / name).write_text(json.dumps(table_json), "utf-8")
        return TabularBenchmark(tmp_path / name)

    rows = [row for row in table_json["architectures"] if not row.get("outside")]
    for row in rows[::3]:
        row["elsewhere"] = [2]
    table = written("table.json")
    for row in rows[::3]:
        at = row["seeds"].index(2)
        row["accuracy"][at] = [value + 0.05 for value in row["accuracy"][at]]
    moved = written("moved.json")
    assert moved.ranked[0] == table.ranked[0]
    differences = [moved.rows[t].truth - table.rows[t].truth for t in table.ranked]
    assert np.ptp(differences) < 1e-9
    assert 0 < differences[0] < 0.05


def test_the_front_is_that_of_accuracy_and_parameters():
    table = TabularBenchmark(TABLES[0])
    bare, best = table.backbone, table.ranked[0]
    worst = table.ranked[-1]
    assert table.find_front({bare: 0.5, best: 0.8, worst: 0.4}) == [bare, best]
    assert table.volume(table.ranked) >= table.volume([bare, best]) > table.volume([bare])


def test_trials_that_are_dealt_scatter_about_the_truth_as_those_of_the_table_do():
    table = TabularBenchmark(TABLES[0])
    best, other = table.ranked[0], table.ranked[5]
    simulated = ShuffledSeeds(table, 7)

    def end(text: str, turn: int) -> float:
        return simulated.curve(text, turn)[-1].accuracy

    turns = range(100 * table.seeds)  # every seed as often
    ends = np.array([[end(text, turn) for turn in turns] for text in (best, other)])
    truth = np.array([table.rows[text].truth for text in (best, other)])
    difference = ends[0] - ends[1]
    error = difference.std(ddof=1) / len(turns) ** 0.5
    assert abs(difference.mean() - (truth[0] - truth[1])) < 3 * error
    assert error > 0  # no number of seeds tells the truth
    np.testing.assert_allclose(ends.mean(axis=1), truth, atol=4 * error)
    # Of one seed, both have the same share; what is left scatters by a trial's noise.
    table_ends = np.array([table.rows[text].accuracy[:, -1] for text in table.ranked])
    left = table_ends - table_ends.mean(axis=1, keepdims=True)
    left -= left.mean(axis=0)
    noise = (left**2).sum() / (len(left) - 1) / (table.seeds - 1)
    assert 0.8 < difference.var(ddof=1) / (2 * noise) < 1.25
    again = ShuffledSeeds(table, 7)
    assert (
        again.curve(best, 3) == simulated.curve(best, 3) != ShuffledSeeds(table, 8).curve(best, 3)
    )
