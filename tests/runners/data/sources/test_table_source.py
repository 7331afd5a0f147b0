"""Labels from tables: what is read, and one sentence for each thing that is wrong."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from attentune.errors import DataError, UsageError
from attentune.runners.data import inspect_data, load_data, prepare_data
from attentune.runners.data.files import folder_listing
from attentune.runners.data.prepared.record import read_image_list
from attentune.runners.data.sources.resolve import open_source
from attentune.runners.data.sources.source import SourceOptions

from ..image_files import SHADES, TWENTY, archive, files, folder, recipe

Rows = list[tuple[str, ...]]


def write_table(path: Path, rows: Rows, header: tuple[str, ...] = ("path", "label")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def pets(where: Path, classes: dict[str, int] = TWENTY) -> Rows:
    """Write images of pets; the rows of their table."""
    contents = files(classes)
    folder(where, contents)
    return [(name, name.partition("/")[0]) for name in contents]


def open_table(path: Path, **options):
    return open_source(str(path), SourceOptions(**options))


def test_a_table_is_trained_on_like_the_folder_of_the_same_images(tmp_path):
    table = write_table(tmp_path / "pets.csv", pets(tmp_path))
    data, by_folder = (
        load_data(recipe(table)),
        load_data(recipe(folder(tmp_path / "copy", files(TWENTY)))),
    )
    assert data.classes == by_folder.classes == tuple(SHADES)
    for split in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(data, split).images, getattr(by_folder, split).images)
        np.testing.assert_array_equal(getattr(data, split).labels, getattr(by_folder, split).labels)


def test_given_splits_are_used_whatever_they_are_called(tmp_path):
    names = ("Training", "valid", "TEST")
    rows = [(*row, names[number % 3]) for number, row in enumerate(pets(tmp_path))]
    source = open_table(write_table(tmp_path / "pets.csv", rows, ("file", "class", "subset")))
    assert source.count_images() == {"train": 20, "val": 20, "test": 20}
    assert source.remarks == (
        "pets.csv: path from 'file', label from 'class', split from 'subset'",
    )


@pytest.mark.parametrize("packing", ["folder", "zip", "tar"])
def test_images_may_be_elsewhere_in_a_folder_or_an_archive(packing, tmp_path):
    rows = [(name.replace("/", "\\"), label) for name, label in pets(tmp_path / "images")]
    root = tmp_path / "images"
    if packing != "folder":
        root = archive(tmp_path / f"images.{packing}", files(TWENTY))
    table = write_table(tmp_path / "pets.csv", rows)
    data = load_data(recipe(table, data_root=str(root)))
    assert data.classes == tuple(SHADES)
    with pytest.raises(DataError, match=r"60 of 60 images are not there.*--data-root FOLDER"):
        open_table(table)


def test_equal_labels_are_one_class_and_numbers_are_in_their_order(tmp_path):
    names = [name for name, _ in pets(tmp_path, {"cats": 24})]
    labels = ("1", "1.0", "10", "2", " 2.00 ", "0")
    rows = [(name, labels[number % 6]) for number, name in enumerate(names)]
    source = open_table(write_table(tmp_path / "pets.csv", rows))
    assert source.classes == ("0", "1", "2", "10")
    assert np.bincount(source.read_labels()["train"]).tolist() == [4, 8, 8, 4]


def test_no_split_cuts_a_group(tmp_path):
    rows = [(*row, f"{row[1]} {int(row[0][-7:-4]) // 3}", "1") for row in pets(tmp_path)]
    header = ("path", "label", "patient_id", "site")
    table = write_table(tmp_path / "pets.csv", rows, header)
    source = open_table(table)
    assert "no split cuts any of its 21 groups" in source.remarks[1]
    assert "not read: 'site'" in source.remarks[0]
    assert inspect_data(str(table)).remarks == source.remarks
    data = load_data(recipe(table))
    groups = []
    for split in (data.train, data.val, data.test):
        # The number of an image is in its blue channel.
        shades = [SHADES[data.classes[label]][2] for label in split.labels]
        numbers = (split.images[:, 0, 0, 2] - np.array(shades)) % 256
        groups.append(set(zip(split.labels.tolist(), (numbers // 3).tolist(), strict=True)))
    assert sum(map(len, groups)) == len(set.union(*groups)) == 21


def test_other_rows_give_another_fingerprint(tmp_path):
    rows = pets(tmp_path)
    table = write_table(tmp_path / "pets.csv", rows)
    first = open_table(table).fingerprint
    assert open_table(table).fingerprint == first
    exchanged = [(rows[0][0], "dogs"), *rows[1:]]
    assert open_table(write_table(table, exchanged)).fingerprint != first
    grouped = [(*row, str(number)) for number, row in enumerate(rows)]
    header = ("path", "label", "group")
    assert open_table(write_table(table, grouped, header)).fingerprint != first


def test_the_facts_of_each_file_are_read_once_however_many_there_are(tmp_path, monkeypatch):
    asked = []
    plain = folder_listing.file_facts
    monkeypatch.setattr(
        folder_listing, "file_facts", lambda status: asked.append(status) or plain(status)
    )
    source = open_table(write_table(tmp_path / "pets.csv", pets(tmp_path)))
    assert len(source.hashes.names("train")) == 60
    assert source.fingerprint
    assert len(asked) == 60


def test_images_that_are_not_there_are_left_out_if_asked_for_and_that_is_said(tmp_path):
    rows = [*pets(tmp_path), ("cats/lost.png", "cats")]
    table = write_table(tmp_path / "pets.csv", rows)
    with pytest.raises(DataError, match=r"1 of 61 images are not there: 'cats/lost.png' \(line 62"):
        open_table(table)
    source = open_table(table, skip_broken=True)
    assert source.count_images() == {"train": 60}
    assert source.remarks[-1] == "pets.csv: left out 1 images that are not there"


def test_weights_go_with_their_images_into_the_training_split_with_a_mean_of_one(tmp_path):
    rows = [(*row, str(int(row[0][-7:-4]) % 4)) for row in pets(tmp_path)]
    table = write_table(tmp_path / "pets.csv", rows, WEIGHT)
    source = open_table(table)
    assert source.remarks[-1].endswith("multiplied by its weight, from 0 to 3")
    data = load_data(recipe(table))
    shades = np.array([SHADES[data.classes[label]][2] for label in data.train.labels])
    weights = (data.train.images[:, 0, 0, 2] - shades) % 256 % 4
    np.testing.assert_allclose(data.train.weights, weights / weights.mean())
    assert data.train.weights.mean() == pytest.approx(1)
    assert data.val.weights is data.test.weights is None


def test_equal_weights_are_none_and_others_are_other_data(tmp_path):
    rows = pets(tmp_path)
    plain = recipe(write_table(tmp_path / "plain.csv", rows))
    same = recipe(write_table(tmp_path / "same.csv", [(*row, "2") for row in rows], WEIGHT))
    assert load_data(same).train.weights is None
    weighted = [(*row, str(1 + number % 2)) for number, row in enumerate(rows)]
    other = recipe(write_table(tmp_path / "other.csv", weighted, WEIGHT))
    digests = [read_image_list(prepare_data(each)).digest for each in (plain, same, other)]
    assert digests[0] == digests[1] != digests[2]
    assert open_table(tmp_path / "other.csv", column=("weight=",)).read_weights() == {}


PLAIN = ("path", "label")
SPLIT = ("path", "label", "split")
GROUP = ("path", "label", "group")
WEIGHT = ("path", "label", "weight")


def added(*row: str):
    return lambda rows: [*rows, row]


def first(*row: str):
    return lambda rows: [row, *rows[1:]]


def with_cell(cell: str):
    return lambda rows: [(*row, cell) for row in rows]


def first_is_empty(rows: Rows) -> Rows:
    return [(*rows[0], ""), *((*row, "train") for row in rows[1:])]


WRONG = {
    "no label": (first("cats/000.png", ""), PLAIN, "line 2 without a label"),
    "no path": (added("", "cats"), PLAIN, "line 62 without a path"),
    "URL": (added("https://x.org/1.jpg", "cats"), PLAIN, "names URLs in line 62"),
    "twice": (added("cats/003.png", "cats"), PLAIN, "names 'cats/003.png' twice .lines 5 and 62."),
    "twice, spelt otherwise": (added("./cats/003.png", "cats"), PLAIN, "'cats/003.png' twice"),
    "two labels": (added("cats/003.png", "dogs"), PLAIN, "labels 'cats' and 'dogs' .lines 5 and"),
    "one label": (lambda rows: [(name, "pet") for name, _ in rows], PLAIN, "only one label"),
    "one image": (first("cats/000.png", "owl"), PLAIN, "class 'owl' has 1 training image;"),
    "two cases": (first("cats/000.png", "Cats"), PLAIN, "'Cats' and 'cats', which differ only"),
    "measurements": (
        lambda rows: [(name, f"{n / 7:.3f}") for n, (name, _) in enumerate(rows)],
        PLAIN,
        "measurements are no classes",
    ),
    "drive": (
        lambda rows: [(rf"C:\pets\{name}", label) for name, label in rows],
        PLAIN,
        "paths of Windows relative",
    ),
    "no suffix": (
        lambda rows: [(name[:-4], label) for name, label in rows],
        PLAIN,
        "There is 'cats/000.png': add the suffix",
    ),
    "folder": (added("cats", "cats"), PLAIN, "1 of 61 images are not there: 'cats'"),
    "image bytes": (added("{'bytes': b'.'}", "cats"), PLAIN, "holds the images themselves"),
    "split unknown": (with_cell("dev"), SPLIT, "has the split 'dev'; splits are called"),
    "split missing": (first_is_empty, SPLIT, "line 2 without a split"),
    "no training": (with_cell("val"), SPLIT, "no row with the split 'train'"),
    "label of test alone": (
        lambda rows: [(*row, "test" if row[1] == "owls" else "train") for row in rows],
        SPLIT,
        "test has the label 'owls', which no training image has",
    ),
    "group missing": (first_is_empty, GROUP, r"line 2 without a group.*--column group="),
    "few groups": (
        lambda rows: [(*row, row[1]) for row in rows],
        GROUP,
        "class 'cats' is in too few groups .1.",
    ),
    "no weight": (first_is_empty, WEIGHT, r"line 2 without a weight.*--column weight="),
    "text as weight": (with_cell("high"), WEIGHT, "the weight 'high' in line 2.*from 0 on"),
    "nan as weight": (with_cell("nan"), WEIGHT, "the weight 'nan' in line 2"),
    "infinite weight": (with_cell("inf"), WEIGHT, "the weight 'inf' in line 2"),
    "negative weight": (with_cell("-0.5"), WEIGHT, "the weight '-0.5' in line 2"),
    "no weight above 0": (with_cell("0"), WEIGHT, "no weight above 0 in the column 'weight'"),
    "class without weight": (
        lambda rows: [(*row, "0" if row[1] == "owls" else "1") for row in rows],
        WEIGHT,
        "all training images of class 'owls' have the weight 0",
    ),
    "several labels": (
        lambda rows: [(row[0], "cats|dogs") if n % 3 else row for n, row in enumerate(rows)],
        PLAIN,
        r"several labels in one cell, such as 'cats\|dogs'",
    ),
    "group in two splits": (
        lambda rows: [(*r, ("train", "test")[n % 2], str(n // 2)) for n, r in enumerate(rows)],
        (*SPLIT, "group"),
        "the group '0' is in the splits train and test .line 3.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line(name, tmp_path):
    change, header, message = WRONG[name]
    table = write_table(tmp_path / "pets.csv", change(pets(tmp_path)), header)
    with pytest.raises(DataError, match=message) as caught:
        load_data(recipe(table))
    assert len(str(caught.value).splitlines()) == 1


def test_one_file_under_two_names_is_refused(tmp_path):
    rows = pets(tmp_path)
    os.link(tmp_path / rows[0][0], tmp_path / "dogs/copy.png")
    table = write_table(tmp_path / "pets.csv", [*rows, ("dogs/copy.png", "dogs")])
    with pytest.raises(DataError, match="names one file twice"):
        open_table(table)


def test_options_of_tables_are_refused_for_other_data(tmp_path):
    pets(tmp_path)
    with pytest.raises(UsageError, match="--data-root and --column are for tables"):
        open_table(tmp_path, data_root="x")
    table = write_table(tmp_path / "pets.csv", pets(tmp_path))
    with pytest.raises(DataError, match="no folder or archive 'x'"):
        open_table(table, data_root="x")
