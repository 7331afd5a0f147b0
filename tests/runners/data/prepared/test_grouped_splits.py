"""Whole groups are held out, stratified by class."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data.prepared.splits import plan_splits

from ..image_files import recipe

CLASSES = ("a", "b", "c")


def patients(count: int, seed: int = 0):
    """Labels and groups: each patient has 1 to 9 images, mostly of one class."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 10, count)
    groups = np.repeat(np.arange(count), sizes)
    usual = rng.choice(3, count, p=(0.7, 0.2, 0.1))[groups]
    labels = np.where(rng.random(len(groups)) < 0.9, usual, rng.integers(0, 3, len(groups)))
    return labels, groups


def plan(labels, groups, **fields):
    return plan_splits({"train": labels}, CLASSES, recipe("x", **fields), {"train": groups})


@pytest.mark.parametrize("fields", [{}, {"val_fraction": 0.35}, {"train_limit": 200}])
def test_no_group_is_cut_and_every_split_has_its_share_of_every_class(fields):
    labels, groups = patients(120)
    selections = plan(labels, groups, **fields).selections
    rows = {name: selection.rows for name, selection in selections.items()}
    groups_of = [set(groups[chosen]) for chosen in rows.values()]
    assert sum(map(len, groups_of)) == len(set.union(*groups_of))
    if "train_limit" not in fields:
        assert sorted(np.concatenate(list(rows.values()))) == list(range(len(labels)))
        share = fields.get("val_fraction", 0.2)
        assert len(rows["test"]) == pytest.approx(share * len(labels), abs=12)
        for name in range(3):
            of_class = (labels == name).sum()
            assert (labels[rows["test"]] == name).sum() == pytest.approx(share * of_class, abs=9)
    assert all(len(set(labels[chosen])) == 3 for chosen in rows.values())


def test_the_seed_decides_which_groups_are_held_out():
    labels, groups = patients(60)
    tests = [plan(labels, groups, data_seed=n).selections["test"].rows.tolist() for n in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_divide_the_images_and_the_others_are_trained_on(grouped):
    labels, groups = patients(90)
    groups = groups if grouped else np.arange(len(labels))
    folds = [plan(labels, groups, fold=f"{number}/5").selections for number in range(1, 6)]
    tests = [fold["test"].rows for fold in folds]
    assert sorted(np.concatenate(tests)) == list(range(len(labels)))
    assert [len(test) for test in tests] == pytest.approx([len(labels) / 5] * 5, abs=15)
    for fold in folds:
        parts = [set(groups[selection.rows]) for selection in fold.values()]
        assert sum(map(len, parts)) == len(set(groups))
        assert all(len(set(labels[selection.rows])) == 3 for selection in fold.values())


def test_folds_without_groups_are_stratified_to_the_image():
    labels = np.repeat([0, 1, 2], (50, 20, 10))
    for number in range(1, 6):
        selections = plan_splits({"train": labels}, CLASSES, recipe("x", fold=f"{number}/5"))
        assert np.bincount(labels[selections.selections["test"].rows]).tolist() == [10, 4, 2]


def test_a_class_in_too_few_groups_is_named():
    labels, groups = np.repeat([0, 1, 2], 10), np.arange(30)
    groups[20:] = 20 + np.arange(10) % 2
    with pytest.raises(DataError, match="class 'c' is in too few groups \\(2\\)"):
        plan(labels, groups)


def test_folds_need_data_without_a_test_split_and_as_many_images_of_each_class():
    labels = np.repeat([0, 1, 2], (20, 20, 4))
    with pytest.raises(DataError, match="at least 5 are needed, one for each fold"):
        plan_splits({"train": labels}, CLASSES, recipe("x", fold="1/5"))
    with pytest.raises(DataError, match="not divided into folds"):
        plan_splits({"train": labels, "test": labels}, CLASSES, recipe("x", fold="1/3"))
