"""The index of insertions answers as the records do, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.analysis.analyse import main_attention
from attentune.studies.analysis.insertion_index import InsertionIndex
from attentune.studies.records import recorded_architecture
from example_records import BARE, random_search


@pytest.mark.parametrize("seed", range(3))
def test_it_counts_the_architectures_that_have_an_insertion(seed: int) -> None:
    texts = list(dict.fromkeys(record.architecture for record in random_search(seed)))
    index = InsertionIndex(3).extend(texts)
    chosen = np.random.default_rng(seed).random(len(texts)) < 0.5
    counts = index.count_architectures(chosen)
    architectures = [recorded_architecture(text) for text in texts]
    for number, insertion in enumerate(index.insertions):
        has_it = np.array([insertion in a.insertions for a in architectures])
        assert counts[number] == (has_it & chosen).sum()
        assert index.having([i == insertion for i in index.insertions]).tolist() == has_it.tolist()


def test_texts_can_be_added_to_an_index_but_not_to_a_snapshot() -> None:
    texts = [f"{BARE}+se(r=4)@s1.residual", BARE, f"{BARE}+eca@s2.post"]
    index = InsertionIndex(2).extend(texts[:1])
    snapshot = index.snapshot()
    index.extend(texts)
    assert (index.count, snapshot.count) == (3, 1)
    assert index.attentions == ["se", "eca"]
    assert snapshot.attentions == ["se"]
    is_eca = [insertion.attention == "eca" for insertion in index.insertions]
    assert index.having(is_eca).tolist() == [False, False, True]
    assert main_attention(recorded_architecture(texts[2]), 2) == "eca"
