"""Hashes of the content of images: what is read again, and what is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from attentune.runners.data import content_hashes, images, prepare_data
from attentune.runners.data.content_hashes import (
    UNREADABLE_HASH,
    decode_names,
    encode_names,
    hash_content,
    hash_file,
)
from attentune.runners.data.sources import folder_source
from attentune.runners.data.sources.resolve import open_source

from .image_files import PACKINGS, TWENTY, files, folder, pack, recipe


@pytest.fixture
def fine_clock(monkeypatch):
    """A file system whose clock tells every change from the one before."""
    for module in (content_hashes, folder_source):
        monkeypatch.setattr(module, "CLOCK_RESOLUTION_NS", -(10**18))


@pytest.fixture
def read_names(monkeypatch):
    """The names of the images that are hashed."""
    names: list[str] = []

    def recorded(content: bytes | Path) -> int:
        names.append(content.name if isinstance(content, Path) else "in an archive")
        return hash_file(content)

    monkeypatch.setattr(folder_source, "hash_file", recorded)
    return names


def exchange(first: Path, second: Path) -> None:
    """Exchange two files, and let them keep their names' dates."""
    times = [(path.stat().st_atime_ns, path.stat().st_mtime_ns) for path in (first, second)]
    aside = first.with_suffix(".aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    for path, time in zip((first, second), times, strict=True):
        os.utime(path, ns=time)


def same_size(path: Path, size: int = 400) -> None:
    """Let all images have one size and one date: a PNG may be followed by anything."""
    for file in path.rglob("*.png"):
        file.write_bytes(file.read_bytes().ljust(size, b"\0"))
        os.utime(file, ns=(10**18, 10**18))


@pytest.mark.usefixtures("fine_clock")
def test_images_that_are_exchanged_between_classes_are_prepared_again(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    same_size(path)
    before = prepare_data(recipe(path))
    listing = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in path.rglob("*.png"))
    for number in range(10):
        exchange(path / f"cats/{number:03}.png", path / f"dogs/{number:03}.png")
    after = sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in path.rglob("*.png"))
    assert after == listing, "names, sizes and dates show nothing"
    info = prepare_data(recipe(path))
    assert info.key != before.key
    assert info.mean == pytest.approx(before.mean, abs=0.2)
    for number in range(10):
        exchange(path / f"cats/{number:03}.png", path / f"dogs/{number:03}.png")
    assert prepare_data(recipe(path)).key == before.key


@pytest.mark.usefixtures("fine_clock")
def test_an_image_that_is_overwritten_with_its_old_date_is_prepared_again(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    same_size(path)
    before = prepare_data(recipe(path))
    first, second = path / "cats/000.png", path / "dogs/000.png"
    first.write_bytes(second.read_bytes())
    os.utime(first, ns=(10**18, 10**18))
    assert prepare_data(recipe(path)).key != before.key


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_archive_or_folder_that_is_moved_has_the_same_key(packing, tmp_path):
    path = pack(tmp_path / "here", packing, files(TWENTY))
    before = prepare_data(recipe(path))
    (tmp_path / "there").mkdir()
    moved = path.rename(tmp_path / "there" / path.name)
    assert prepare_data(recipe(moved)) == before


@pytest.mark.usefixtures("fine_clock")
def test_unchanged_images_are_not_read_again(tmp_path, read_names):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    assert not read_names, "they are hashed while they are decoded"
    assert prepare_data(recipe(path)) == info
    prepare_data(recipe(path, val_fraction=0.3))
    assert not read_names
    os.utime(path / "cats/003.png")
    assert prepare_data(recipe(path)) == info, "a new date alone changes nothing"
    assert read_names == ["003.png"]


def test_images_that_were_changed_just_before_they_were_listed_are_read_again(tmp_path, read_names):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    assert prepare_data(recipe(path)) == info
    assert len(read_names) == 60


def test_a_damaged_file_of_hashes_is_ignored(tmp_path, cache, fine_clock):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    (stored,) = (cache / "hashes").iterdir()
    content = bytearray(stored.read_bytes())
    content[len(content) // 2] ^= 255
    stored.write_bytes(content)
    assert not open_source(str(path)).hashes.was_read_before
    assert prepare_data(recipe(path)) == info


def test_hashes_are_those_of_the_content(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"content")
    assert hash_file(file) == hash_file(b"content") == hash_content(b"content") > UNREADABLE_HASH
    assert hash_file(tmp_path / "absent") == UNREADABLE_HASH
    assert images.hash_file is hash_file


def test_names_of_any_characters_survive():
    names = ["a/b.png", "ü.png", "\udcff.png", ""]
    assert decode_names(encode_names(names)) == names
    assert decode_names(encode_names([])) == []
    assert decode_names(np.array([], np.uint8)) == []
