"""The index of insertions answers as the records do, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.analysis.analyse import analyse, main_attention, tabulate_gains
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.insertion_index import InsertionIndex
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.records import recorded_architecture
from example_records import BARE, random_search, study


@pytest.mark.parametrize("seed", range(5))
def test_the_table_of_attention_by_stage_is_that_of_the_records(seed):
    records = random_search(seed)
    columns = TrialTable.of(records)
    architectures = ArchitectureTable.of(columns, StudyModel.of(study(study={"stages": 3})))
    index = InsertionIndex(3).extend(columns.texts)
    gains = np.full(index.count, np.nan)
    gains[architectures.text_indices] = architectures.gain
    ours, expected = (
        index.stage_table(gains),
        tabulate_gains(analyse(study(study={"stages": 3}), records).architectures, 3),
    )
    assert ours.attentions == expected.attentions
    assert ours.stages == expected.stages
    assert ours.cells.keys() == expected.cells.keys()
    for where, cell in expected.cells.items():
        assert ours.cells[where].count == cell.count
        assert ours.cells[where].mean == pytest.approx(cell.mean)
        assert ours.cells[where].standard_error == pytest.approx(cell.standard_error)


def test_texts_can_be_added_to_an_index():
    texts = [f"{BARE}+se(r=4)@s1.residual", BARE, f"{BARE}+eca@s2.post"]
    index = InsertionIndex(2).extend(texts[:1]).extend(texts)
    assert index.having_in_stage("se", 1).tolist() == [True, False, False]
    assert index.having_in_stage("eca", 2).tolist() == [False, False, True]
    assert main_attention(recorded_architecture(texts[2]), 2) == "eca"
