"""Tables of architectures: what a second machine's seeds change, and what they do not."""

from __future__ import annotations

import json

import numpy as np
from attentune.benchmarks.tabular import TABLES, Table


def test_what_another_machine_adds_to_all_of_its_trials_changes_no_rank(tmp_path):
    found = json.loads(TABLES[0].read_text("utf-8"))

    def written(name: str) -> Table:
        (tmp_path / name).write_text(json.dumps(found), "utf-8")
        return Table(tmp_path / name)

    rows = [row for row in found["architectures"] if not row.get("outside")]
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
    table = Table(TABLES[0])
    bare, best = table.backbone, table.ranked[0]
    worst = table.ranked[-1]
    assert table.front({bare: 0.5, best: 0.8, worst: 0.4}) == [bare, best]
    assert table.volume(table.ranked) >= table.volume([bare, best]) > table.volume([bare])
