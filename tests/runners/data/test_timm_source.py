"""Data sets by timm's names, whose libraries are played here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from attentune.errors import DataError
from attentune.runners.data import inspect_data, open_data, prepare_data

from .pets import SHADES, names, picture, recipe


class Indexed:
    """Like torchvision's: an index, `targets`, `classes`."""

    def __init__(self, count: int, first: int) -> None:
        self.classes = sorted(SHADES)
        self.targets = [number % 3 for number in range(count)]
        self.first = first

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int):
        name = self.classes[self.targets[index]]
        return picture(SHADES[name], self.first + index, (32, 32)), self.targets[index]


class Columns(dict):
    column_names = ("image", "label")


class Table:
    """Like timm's over Hugging Face's: a table with a column of labels."""

    def __init__(self, count: int, first: int) -> None:
        self.inner = Indexed(count, first)
        self.reader = SimpleNamespace(
            dataset=Columns(label=self.inner.targets),
            label_key="label",
            class_to_idx={"owls": 2, "cats": 0, "dogs": 1},
        )

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int):
        return self.inner[index]


class Streamed:
    """Like timm's over TensorFlow's: only a stream."""

    def __init__(self, count: int, first: int) -> None:
        self.inner = Indexed(count, first)

    def __iter__(self):
        return (self.inner[index] for index in range(len(self.inner)))


@pytest.fixture
def timm_sets(monkeypatch):
    """Put a function in the place of `create_dataset`; the calls it got."""
    calls = []

    def install(create):
        def recorded(name, **arguments):
            calls.append((name, arguments))
            return create(name, arguments["split"])

        module = SimpleNamespace(data=SimpleNamespace(create_dataset=recorded))
        monkeypatch.setattr("attentune.runners.data.timm_source.import_timm", lambda: module)
        return calls

    return install


def test_torchvisions_second_split_is_the_test(timm_sets, cache):
    calls = timm_sets(lambda _, split: Indexed(60 if split == "train" else 12, 0))
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


@pytest.mark.parametrize(("spec", "kind"), [("hfds/me/pets", Table), ("tfds/pets", Streamed)])
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
    chosen = names(data)
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


def test_a_set_of_characters_is_not_mirrored(timm_sets):
    timm_sets(lambda *_: Indexed(30, 0))
    assert not inspect_data("torch/mnist").flip
    assert inspect_data("torch/cifar10").flip
