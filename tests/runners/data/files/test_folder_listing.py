"""A folder is listed in one walk, with what the system says of each image."""

from __future__ import annotations

import os

import numpy as np
import pytest
from attentune.runners.data.content_hashes import file_facts
from attentune.runners.data.files import folder_listing
from attentune.runners.data.files.file_names import Reason
from attentune.runners.data.files.folder_listing import list_folder, shared_listings, walk_folder


@pytest.fixture
def top(tmp_path):
    """Images in nested folders, and files that are none."""
    for name in ("b/2.jpg", "b/10.PNG", "a/x/1.jpeg", "b-1/3.jpg", "a/notes.txt", "@eaDir/t.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    return tmp_path


def test_images_are_sorted_by_name_with_their_facts(top):
    listed = walk_folder(top)
    assert listed.names == ("a/x/1.jpeg", "b-1/3.jpg", "b/10.PNG", "b/2.jpg")
    facts = [file_facts((top / name).stat()) for name in listed.names]
    assert np.array_equal(listed.facts, facts)
    assert listed.listing.folders == ("a", "a/x", "b", "b-1", "empty")
    reasons = {(files.reason, files.count) for files in listed.listing.left_out}
    assert reasons == {(Reason.LINK, 1), (Reason.NO_IMAGE, 1), (Reason.SYSTEM, 1)}


def test_the_digest_is_of_names_and_facts(top):
    before = walk_folder(top).digest
    assert walk_folder(top).digest == before
    os.utime(top / "b" / "2.jpg", ns=(1, 1))
    changed = walk_folder(top).digest
    assert changed != before
    (top / "b" / "2.jpg").rename(top / "b" / "3.jpg")
    assert walk_folder(top).digest not in (before, changed)


def test_a_shared_listing_is_made_once(top, monkeypatch):
    walks = []
    plain = folder_listing.walk_folder
    monkeypatch.setattr(folder_listing, "walk_folder", lambda top: walks.append(top) or plain(top))
    for _ in range(2):
        with shared_listings():
            assert list_folder(top) is list_folder(top)
            assert len(list_folder(top / "b").names) == 2
    assert walks == [top, top / "b"] * 2
    assert list_folder(top) is not list_folder(top)
