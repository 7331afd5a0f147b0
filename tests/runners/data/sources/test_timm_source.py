"""Data sets by timm's names, with stand-ins for timm's own readers."""

from __future__ import annotations

from pathlib import Path

import pytest
from attentune.errors import DataError
from attentune.runners.data import inspect_data, open_data, prepare_data

from ..image_files import SHADES, files_by_split, recipe
from ..timm_stand_ins import IndexedSet, StreamedSet, TableSet


def test_torchvisions_second_split_is_the_test(timm_sets, cache):
    calls = timm_sets(lambda _, split: IndexedSet(60 if split == "train" else 12, 0))
    assert inspect_data("torch/pets").image_size == 32
    info = prepare_data(recipe("torch/pets"))
    assert info.counts == {"train": 48, "val": 12, "test": 12}
    assert info.held_out == ("val",)
    assert info.classes == ("cats", "dogs", "owls")
    assert {arguments["split"] for _, arguments in calls} == {"train", "validation"}
    assert all(arguments["download"] for _, arguments in calls)
    assert all(Path(arguments["root"]).is_relative_to(cache) for _, arguments in calls)
    data = open_data(info)
    assert (data.train.images[data.train.labels == 2][:, 0, 0, :2] == SHADES["owls"][:2]).all()


@pytest.mark.parametrize(("spec", "kind"), [("hfds/me/pets", TableSet), ("tfds/pets", StreamedSet)])
def test_other_sets_are_asked_for_their_splits(spec, kind, timm_sets):
    def create(name, split):
        if split == "test":
            raise ValueError(f"Unknown split {split!r}")
        return kind(60 if split == "train" else 9, 0 if split == "train" else 100)

    timm_sets(create)
    info = prepare_data(recipe(spec))
    assert info.counts == {"train": 48, "val": 9, "test": 12}
    assert info.held_out == ("test",)
    assert len(info.classes) == 3
    data = open_data(info)
    chosen = files_by_split(data)
    assert sum(map(len, chosen.values())) == 69 == len(set.union(*chosen.values()))
    assert all(((data.val.images[:, 0, 0, 0] > 100) == (data.val.labels == 0)).tolist())


FAILURES = [
    ("hfds/me/pets", ImportError("No module named 'datasets'"), "pip install datasets"),
    ("torch/cifar10", OSError("<urlopen error no route>\nmore"), r"no route>\); check its name"),
    ("torch/nothing", AssertionError("Unknown torchvision dataset nothing"), "Unknown torchvision"),
    ("tfds/x", RuntimeError(""), r"cannot be loaded \(RuntimeError\)"),
    ("hfds/x", ValueError("Unknown split 'train'"), "Unknown split 'train'"),
]


@pytest.mark.parametrize(("spec", "error", "words"), FAILURES)
def test_a_set_that_cannot_be_loaded_says_why(spec, error, words, timm_sets):
    def create(name, split):
        raise error

    timm_sets(create)
    with pytest.raises(DataError, match=words):
        prepare_data(recipe(spec))


@pytest.mark.parametrize(
    "labels", [[0.37, 1.92] * 15, [[0, 1], [1]] * 15, [[0, 1]] * 30, [-1, 1] * 15, ["a"] * 30]
)
def test_labels_that_are_no_classes_are_refused(labels, timm_sets):
    def create(name, split):
        opened = IndexedSet(30, 0)
        opened.targets = labels
        return opened

    timm_sets(create)
    with pytest.raises(DataError, match="labels of torch/pets are not one class for each image"):
        prepare_data(recipe("torch/pets"))


def test_a_set_of_characters_is_not_mirrored(timm_sets):
    timm_sets(lambda *_: IndexedSet(30, 0))
    assert not inspect_data("torch/mnist").flip
    assert inspect_data("torch/cifar10").flip
