"""Folders as stores of files: links, and what cannot be read."""

from __future__ import annotations

import pytest
from attentune.errors import DataError
from attentune.runners.data import inspect_data

from ..image_files import TWENTY, files, folder


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

    monkeypatch.setattr("attentune.runners.data.files.folder_listing.os.scandir", denied)
    with pytest.raises(DataError, match=r"cannot read .*pets: Permission denied"):
        inspect_data(str(path))


def test_a_link_to_a_class_folder_may_be_used_in_two_splits(tmp_path):
    real = folder(tmp_path / "real", files(TWENTY))
    linked = tmp_path / "pets"
    for split in ("train", "val", "test"):
        (linked / split).mkdir(parents=True)
        for name in TWENTY:
            (linked / split / name).symlink_to(real / name)
    assert inspect_data(str(linked)).counts == {"train": 60, "val": 60, "test": 60}
