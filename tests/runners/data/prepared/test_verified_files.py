"""Large files of prepared images are read to the end once, and again when they have changed."""

from __future__ import annotations

import pytest
from attentune.runners.data import prepare_data
from attentune.runners.data.prepared import verified_files
from attentune.runners.data.prepared.verified_files import VERIFIED_FILE, has_damaged_images

from ..image_files import TWENTY, files, folder, recipe


@pytest.fixture
def read(monkeypatch):
    """The names of the files that were read to the end."""
    names = []
    plain = verified_files.compute_checksum

    def compute_checksum(file):
        names.append(file.name)
        return plain(file)

    monkeypatch.setattr(verified_files, "compute_checksum", compute_checksum)
    verified_files._checksum_of.cache_clear()
    return names


@pytest.fixture
def info(tmp_path, monkeypatch, request):
    """Prepared data whose files count as large, or as small."""
    size = getattr(request, "param", 100)
    monkeypatch.setattr(verified_files, "MAX_BYTES_READ_AGAIN", size)
    return prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))


def test_large_files_are_not_read_after_they_were_written(info, read):
    assert not has_damaged_images(info)
    assert read == []


def test_a_large_file_that_has_changed_is_read_again_once(info, read):
    file = info.folder / "val.images.npy"
    content = file.read_bytes()
    file.write_bytes(content)
    assert not has_damaged_images(info)
    assert not has_damaged_images(info)
    assert read == [file.name]
    file.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
    assert has_damaged_images(info)


@pytest.mark.parametrize("damage", ["{", "[]", None])
def test_without_a_usable_record_large_files_are_read(info, read, damage):
    record = info.folder / VERIFIED_FILE
    if damage is None:
        record.unlink()
    else:
        record.write_text(damage, "utf-8")
    assert not has_damaged_images(info)
    assert len(read) == 3
    assert not has_damaged_images(info)
    assert len(read) == 3


@pytest.mark.parametrize("info", [2**30], indirect=True)
def test_small_files_are_read_in_every_run(info, read):
    assert not (info.folder / VERIFIED_FILE).exists()
    for _ in range(2):
        verified_files._checksum_of.cache_clear()  # as in another run
        assert not has_damaged_images(info)
    assert len(read) == 6
