"""Folders and archives as stores of files: what all of them do, and what is refused."""

from __future__ import annotations

import pytest
from attentune.errors import DataError
from attentune.runners.data import prepare_data
from attentune.runners.data.files.file_stores import FileStore, open_store
from chaos.hostile_archives import HOSTILE_DATA
from chaos.hostile_texts import forbidden_in

from ..image_files import PACKINGS, TWENTY, files, pack, recipe


@pytest.fixture(params=PACKINGS)
def store(request, tmp_path) -> FileStore:
    return open_store(pack(tmp_path, request.param, files(TWENTY)))


def test_every_file_is_listed_once_and_read_by_its_name(store):
    assert sorted(store.names) == sorted(files(TWENTY))
    wanted = ["owls/003.png", "cats/000.png"]
    contents = dict(store.read_files(wanted))
    assert sorted(contents) == sorted(wanted)
    for name, content in contents.items():
        data = content if isinstance(content, bytes) else content.read_bytes()
        assert data == files(TWENTY)[name]
        assert store.describe(name).startswith(str(store.path))
        assert store.describe(name).endswith(name)


def test_a_sample_is_of_different_files_and_no_larger_than_asked_for(store):
    for count in (1, 7, 60, 100):
        names = store.sample_names(count)
        assert len(names) == len(set(names)) == min(count, 60)
        assert set(names) <= set(store.names)


SLOW = ("tar: a bomb of 16 GB", "tar: a bomb of a million empty files")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(data, id=label, marks=[pytest.mark.slow] if label in SLOW else [])
        for label, data in HOSTILE_DATA.items()
    ],
)
def test_hostile_data_are_refused_in_a_sentence_or_read_in_full(data, tmp_path):
    path = data.make(tmp_path)
    if data.images is None:
        with pytest.raises(DataError, match="pets") as refused:
            prepare_data(recipe(path))
        assert len(str(refused.value)) < 600
        assert "\n" not in str(refused.value)
        return
    info = prepare_data(recipe(path))
    assert sum(info.counts.values()) == data.images
    assert not forbidden_in("".join(info.classes))
