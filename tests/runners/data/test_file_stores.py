"""Folders and archives as stores of files: hostile names, links, and what cannot be read."""

from __future__ import annotations

import random

import pytest
from attentune.errors import DataError
from attentune.runners.data import inspect_data, prepare_data
from attentune.runners.data.file_stores import FileStore, open_store
from chaos.hostile_archives import HOSTILE_DATA, IMAGES, mutated_archive
from chaos.hostile_texts import forbidden_in

from .image_files import PACKINGS, TWENTY, files, folder, pack, recipe


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


def test_hostile_names_in_archives_are_left_out(tmp_path):
    outside = tmp_path / "outside"
    folder(outside, files({"cats": 2}))
    contents = {
        **files(TWENTY),
        "../outside/cats/000.png": b"x",
        "/etc/cats/1.png": b"x",
        "dogs/../../1.png": b"x",
    }
    for packing in ("tar", "zip"):
        info = prepare_data(recipe(pack(tmp_path / packing, packing, contents)))
        assert sum(info.counts.values()) == 60
    assert sorted(p.name for p in outside.rglob("*.png")) == ["000.png", "001.png"]


def test_links_in_a_folder_are_followed_but_not_in_circles(tmp_path):
    real = folder(tmp_path / "real", files(TWENTY))
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in TWENTY:
        (linked / name).symlink_to(real / name)
    (linked / "dogs" / "back").symlink_to(linked)
    assert sum(inspect_data(str(linked)).counts.values()) == 60


def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = folder(tmp_path / "pets", files(TWENTY))

    def denied(place: object) -> None:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr("attentune.runners.data.folder_listing.os.scandir", denied)
    with pytest.raises(DataError, match=r"cannot read .*pets: Permission denied"):
        inspect_data(str(path))


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


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("packing", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_mutated_archive_is_refused_in_a_sentence_or_read(packing, seed, tmp_path):
    path = tmp_path / f"pets.{packing}"
    path.write_bytes(mutated_archive(packing, random.Random(seed)))
    try:
        info = prepare_data(recipe(path, skip_broken=True))
    except DataError:  # Any other exception would be a traceback.
        return
    assert sum(info.counts.values()) + len(info.broken) <= IMAGES + 1


def test_a_damaged_image_in_an_archive_can_be_left_out(tmp_path):
    path = HOSTILE_DATA["zip: a wrong checksum"].make(tmp_path)
    info = prepare_data(recipe(path, skip_broken=True))
    assert info.broken == (f"{path}:cats/000.png",)
    assert sum(info.counts.values()) == IMAGES - 1


def test_a_link_to_a_class_folder_may_be_used_in_two_splits(tmp_path):
    real = folder(tmp_path / "real", files(TWENTY))
    linked = tmp_path / "pets"
    for split in ("train", "val", "test"):
        (linked / split).mkdir(parents=True)
        for name in TWENTY:
            (linked / split / name).symlink_to(real / name)
    assert inspect_data(str(linked)).counts == {"train": 60, "val": 60, "test": 60}
