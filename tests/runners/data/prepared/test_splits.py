"""What is held out of the training images: by seed, stratified, and within a limit."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import load_data, prepare_data

from ..image_files import SHADES, TWENTY, files, files_by_split, folder, recipe


def test_splits_are_disjoint_and_stratified_and_decided_by_the_seed(tmp_path):
    path = folder(tmp_path / "pets", files({"cats": 40, "dogs": 20, "owls": 10}))
    first, again, other = (load_data(recipe(path, data_seed=seed)) for seed in (0, 0, 1))
    chosen = files_by_split(first)
    assert sum(map(len, chosen.values())) == 70 == len(set.union(*chosen.values()))
    assert list(np.bincount(first.test.labels)) == [8, 4, 2]
    assert list(np.bincount(first.val.labels)) == [6, 3, 2]
    assert files_by_split(again) == chosen
    assert files_by_split(other) != chosen
    assert first.val.labels.tolist() == other.val.labels.tolist()


def test_training_images_are_not_in_order_of_their_classes(tmp_path):
    labels = load_data(recipe(folder(tmp_path / "pets", files(TWENTY)))).train.labels
    assert (np.diff(labels) != 0).sum() > 10


@pytest.mark.parametrize(
    ("limit", "fraction", "counts"),
    [
        (None, 0.2, {"train": 38, "val": 10, "test": 12}),
        (30, 0.2, {"train": 24, "val": 6, "test": 12}),
        (30, 0.5, {"train": 15, "val": 15, "test": 30}),
        (10, 0.2, {"train": 7, "val": 3, "test": 10}),
        (6, 0.01, {"train": 3, "val": 3, "test": 3}),
        (6, 0.99, {"train": 3, "val": 3, "test": 6}),
        (10_000, 0.2, {"train": 38, "val": 10, "test": 12}),
    ],
)
def test_limit_counts_training_and_validation_together(limit, fraction, counts, tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    data = prepare_data(recipe(path, train_limit=limit, val_fraction=fraction))
    assert data.counts == counts


def test_limit_cuts_an_own_validation_split_too_but_no_test_split(tmp_path):
    contents = {
        **files(TWENTY, "train/"),
        **files({"cats": 9, "dogs": 9}, "val/", first=20),
        **files({"cats": 15}, "test/", first=30),
    }
    path = folder(tmp_path / "pets", contents)
    data = load_data(recipe(path, train_limit=20))
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 15)
    assert list(np.bincount(data.val.labels)) == [2, 2]


def test_only_the_limited_images_are_read(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    used = files_by_split(load_data(recipe(path, train_limit=6)))
    kept = set.union(*used.values())
    for number in range(20):
        for label, name in enumerate(sorted(TWENTY)):
            if (label, (SHADES[name][2] + number) % 256) not in kept:
                (path / name / f"{number:03}.png").write_bytes(b"broken")
    assert files_by_split(load_data(recipe(path, train_limit=6))) == used


def test_a_limit_below_two_images_a_class_is_refused(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    with pytest.raises(DataError, match="train_limit=5 is too few for 3 classes; use at least 6"):
        prepare_data(recipe(path, train_limit=5))
