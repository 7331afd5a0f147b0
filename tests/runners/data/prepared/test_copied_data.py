"""Copies of prepared data in the cache of another machine."""

from __future__ import annotations

from functools import partial

import pytest
from attentune.errors import DataError
from attentune.runners.data import find_prepared_data, open_data, prepare_data
from attentune.runners.data.prepared import copied_data
from attentune.runners.data.prepared.copied_data import (
    copy_prepared_data,
    list_prepared_files,
    read_part,
)


@pytest.fixture
def prepared(tiny_recipe):
    return prepare_data(tiny_recipe)


def read_there(cache, monkeypatch, key, name, offset):
    with monkeypatch.context() as patched:
        patched.setenv("ATTENTUNE_CACHE", str(cache))
        return read_part(key, name, offset)


def test_a_copy_is_the_same_bit_for_bit_and_made_once(cache, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(copied_data, "MAX_BYTES_PART", 1000)
    sizes = list_prepared_files(prepared.key)
    read = partial(read_there, cache, monkeypatch, prepared.key)
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path))
    assert find_prepared_data(prepared.key) is None
    assert copy_prepared_data(prepared.key, sizes, read)
    copy = find_prepared_data(prepared.key)
    assert copy is not None
    assert copy.folder.is_relative_to(tmp_path)
    for name in sizes:
        assert (copy.folder / name).read_bytes() == (prepared.folder / name).read_bytes()
    assert len(open_data(copy).train.labels) == prepared.counts["train"]

    def refuse(name, offset):
        raise AssertionError("it is there already")

    assert not copy_prepared_data(prepared.key, sizes, refuse)


def test_a_damaged_copy_is_refused(cache, prepared, tmp_path, monkeypatch):
    sizes = list_prepared_files(prepared.key)

    def damage(name, offset):
        part = read_there(cache, monkeypatch, prepared.key, name, offset)
        return part[:-1] + bytes([part[-1] ^ 1]) if name == "train.images.npy" else part

    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="damaged while they were copied"):
        copy_prepared_data(prepared.key, sizes, damage)
    with pytest.raises(DataError, match="changed while it was copied"):
        copy_prepared_data("0" * 24, sizes, lambda *_: b"")


def test_data_that_are_not_there_are_named():
    with pytest.raises(DataError, match="no longer in"):
        list_prepared_files("0" * 24)
