"""The table of trials: rows change in place and can be removed."""

from __future__ import annotations

from attentune.studies.analysis.trial_table import TRIAL_COLUMNS, TrialTable
from example_records import BARE, trial


def test_rows_change_in_place_and_removed_ones_are_gone():
    columns = TrialTable.of([trial(0, BARE, 0.5), trial(1, f"{BARE}+eca@all.post")])
    assert columns.running == [1]
    ended = trial(1, f"{BARE}+eca@all.post", 0.6)
    fields = {**vars(ended), "id": 1, "text": ended.architecture}
    columns.update([[fields[name] for name in TRIAL_COLUMNS]])
    assert columns.running == []
    assert columns.rows["accuracy"].tolist() == [0.5, 0.6]
    columns.remove([0])
    assert columns.rows["number"].tolist() == [1]
    assert columns.counts()["complete"] == 1
