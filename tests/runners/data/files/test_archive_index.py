"""Links in archives: to files and folders of the archive, and to nowhere."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from attentune.runners.data.files import archive_index
from attentune.runners.data.files.archive_index import (
    MAX_FILES_THROUGH_LINKS,
    MAX_LINKS_IN_CHAIN,
    ArchiveIndex,
    IndexedArchive,
)
from attentune.runners.data.files.file_names import Reason
from attentune.runners.data.files.file_stores import open_store


def index_of(files: list[str], links: dict[str, str]) -> IndexedArchive:
    index = ArchiveIndex()
    for name, target in links.items():
        index.add_link(name, target)
    for file in files:
        index.add_file(file)
    return index.build()


def test_a_link_to_a_file_is_that_file_whatever_its_name():
    indexed = index_of(
        ["blobs/a1", "cats/1.png"],
        {"dogs/1.png": "../blobs/a1", "dogs/2.png": "3.png", "dogs/3.png": "../cats/1.png"},
    )
    assert indexed.members == {
        "cats/1.png": "cats/1.png",
        "dogs/1.png": "blobs/a1",
        "dogs/2.png": "cats/1.png",
        "dogs/3.png": "cats/1.png",
    }
    assert set(indexed.listing.images) == set(indexed.members)


def test_a_link_to_a_folder_has_its_images():
    indexed = index_of(["all/cats/1.png", "all/cats/x/2.png", "all/catsuit.png"], {"c": "all/cats"})
    assert indexed.members["c/1.png"] == "all/cats/1.png"
    assert indexed.members["c/x/2.png"] == "all/cats/x/2.png"
    assert len(indexed.members) == 5


CHAIN = {f"{n}.png": f"{n + 1}.png" for n in range(MAX_LINKS_IN_CHAIN + 2)}


@pytest.mark.parametrize(
    "links",
    [
        {"a.png": "../../etc/passwd"},
        {"a.png": "/etc/passwd"},
        {"a.png": "gone.png"},
        {"a.png": "."},
    ],
)
def test_a_link_that_leads_nowhere_is_counted(links):
    (left_out,) = index_of(["cats/1.png"], links).listing.left_out
    assert (left_out.reason, left_out.count) == (Reason.LINK, 1)


@pytest.mark.parametrize("links", [{"a.png": "b.png", "b.png": "a.png"}, CHAIN])
def test_links_beyond_the_limit_of_a_chain_are_counted(links):
    indexed = index_of(["cats/1.png", f"{MAX_LINKS_IN_CHAIN + 2}.png"], links)
    (left_out,) = indexed.listing.left_out
    assert left_out.reason is Reason.LINK_LIMIT
    assert left_out.count == len(links) + 2 - len(indexed.members) > 0


def test_links_to_folders_add_no_more_images_than_the_limit(monkeypatch):
    monkeypatch.setattr(archive_index, "MAX_FILES_THROUGH_LINKS", 5)
    files = [f"all/{number}.png" for number in range(4)]
    indexed = index_of(files, {"a": "all", "b": "all", "c": "all"})
    assert len(indexed.members) == 8
    (left_out,) = indexed.listing.left_out
    assert (left_out.reason, left_out.count) == (Reason.LINK_LIMIT, 2)


def test_the_limits_are_said():
    assert f"{MAX_LINKS_IN_CHAIN} further links" in Reason.LINK_LIMIT
    assert f"{MAX_FILES_THROUGH_LINKS:,} images" in Reason.LINK_LIMIT


def tar_with_links(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, kind, target in (
            ("cats/1.png", tarfile.REGTYPE, ""),
            ("dogs/1.png", tarfile.LNKTYPE, "cats/1.png"),
            ("owls/1.png", tarfile.SYMTYPE, "../cats/1.png"),
            ("empty", tarfile.DIRTYPE, ""),
            ("owls/pipe.png", tarfile.FIFOTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = 5 if kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"image"))
    return path


def zip_with_links(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cats/1.png", b"image")
        for name in ("dogs/1.png", "owls/1.png"):
            link = zipfile.ZipInfo(name)
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "../cats/1.png")
        archive.mkdir("empty")
    return path


@pytest.mark.parametrize("make", [tar_with_links, zip_with_links])
def test_links_are_read_from_archives(make, tmp_path):
    store = open_store(make(tmp_path / ("pets.tar" if make is tar_with_links else "pets.zip")))
    names = [f"{kind}/1.png" for kind in ("cats", "dogs", "owls")]
    assert sorted(store.listing.images) == names
    assert dict(store.read_files(names)) == dict.fromkeys(names, b"image")
    assert dict(store.read_files(["owls/1.png"])) == {"owls/1.png": b"image"}
    assert "empty" in store.listing.folders
