"""The file of a trial's predictions: what it holds, and that a damaged one is refused."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest
from attentune.errors import DamagedFileError
from attentune.files import is_draft
from attentune.runners.predictions import (
    Predictions,
    probabilities_mib,
    read_predictions,
    what_is_kept,
    write_predictions,
)
from attentune.runners.results import PREDICTIONS_FILE

OWNER = {"identity": "abc", "data_key": "images"}


def example(num_images=60, num_classes=4, *, keep="all"):
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(num_images, num_classes)) * 3
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    labels = draw.integers(num_classes, size=num_images)
    kept = logs.astype(np.float16) if keep == "all" else None
    return Predictions(labels, logs.argmax(1), num_classes, kept)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "trial" / PREDICTIONS_FILE
    write_predictions(path, example(), OWNER)
    return path


@pytest.mark.parametrize("keep", ["all", "classes"])
def test_what_is_written_is_read(keep, tmp_path):
    written, path = example(keep=keep), tmp_path / PREDICTIONS_FILE
    write_predictions(path, written, OWNER)
    read, facts = read_predictions(path)
    assert np.array_equal(read.labels, written.labels)
    assert np.array_equal(read.predicted, written.predicted)
    assert read.accuracy == written.accuracy == written.correct.sum() / len(written)
    assert (read.num_classes, read.data_key, facts["identity"]) == (4, "images", "abc")
    assert (read.probabilities is None) == (keep == "classes")
    if keep == "all":
        assert np.array_equal(read.log_probabilities, written.log_probabilities)
        np.testing.assert_allclose(read.probabilities.sum(1), 1)


def test_numpy_reads_the_file_without_attentune(path):
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {"trial", "labels", "predicted", "log_probabilities"}
        assert file["log_probabilities"].dtype == np.float16
        assert (file["labels"] == file["predicted"]).mean() == example().accuracy


def test_equal_predictions_make_equal_bytes_and_no_draft_is_left(path):
    before = path.read_bytes()
    write_predictions(path, example(), OWNER)
    assert path.read_bytes() == before
    assert not [file for file in path.parent.iterdir() if is_draft(file)]


def test_each_damaged_bit_is_refused_or_changes_nothing(path):
    whole, content = read_predictions(path)[0], path.read_bytes()
    refused = 0
    for index in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[index] ^= 1 << (index % 8)
        path.write_bytes(damaged)
        try:
            read, facts = read_predictions(path)
        except DamagedFileError:
            refused += 1
        else:  # Of a date or a permission in the archive, for example.
            assert facts["identity"] == "abc"
            assert np.array_equal(read.predicted, whole.predicted)
            assert np.array_equal(read.labels, whole.labels)
            assert np.array_equal(read.log_probabilities, whole.log_probabilities)
    assert refused > len(content) / 14


@pytest.mark.parametrize("length", [0, 1, 30, -1, -30])
def test_a_file_that_was_cut_off_is_refused(length, path):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError):
        read_predictions(path)


FORGERIES = {
    "a class too high": {"predicted": np.full(60, 9, np.int32)},
    "a class below zero": {"labels": np.full(60, -1, np.int32)},
    "one image less": {"labels": np.zeros(59, np.int32)},
    "no images": {"labels": np.zeros(0, np.int32), "predicted": np.zeros(0, np.int32)},
    "classes that are fractions": {"labels": np.zeros(60)},
    "another accuracy": {"predicted": np.zeros(60, np.int32), "labels": np.zeros(60, np.int32)},
    "a probability that is not a number": {
        "log_probabilities": np.full((60, 4), np.nan, np.float16)
    },
    "a probability above one": {"log_probabilities": np.ones((60, 4), np.float16)},
    "probabilities of five classes": {"log_probabilities": np.zeros((60, 5), np.float16)},
    "probabilities in double precision": {"log_probabilities": np.zeros((60, 4))},
    "facts that are no JSON": {"trial": np.array("{")},
    "facts nested deeply": {"trial": np.array("[" * 100_000)},
    "no facts": {"trial": np.array("{}")},
    "one more array": {"extra": np.zeros(1)},
}


@pytest.mark.parametrize("arrays", FORGERIES.values(), ids=FORGERIES)
def test_a_file_with_other_content_is_refused(arrays, path):
    with np.load(path) as file:
        content = dict(file)
    np.savez_compressed(path, **{**content, **arrays})
    with pytest.raises(DamagedFileError):
        read_predictions(path)


def test_an_array_of_enormous_size_is_refused_before_it_is_read(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        header = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': "
        archive.writestr("bomb.npy", header + b"(10000000000000,), }".ljust(60) + b"\n")
    with pytest.raises(DamagedFileError):
        read_predictions(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(DamagedFileError, match="no file"):
            read_predictions(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_predictions(tmp_path / "missing")


def test_above_the_limit_only_the_classes_are_kept():
    assert probabilities_mib(2**10, 2**10) == 2
    assert what_is_kept("all", 2**10, 2**10, 2) == "all"
    assert what_is_kept("all", 2**10, 2**10, 1.9) == "classes"
    assert what_is_kept("classes", 1, 2, 2) == "classes"
    assert what_is_kept("none", 2**10, 2**10, 1) == "none"
