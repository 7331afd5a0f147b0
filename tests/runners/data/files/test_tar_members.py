"""A tar is read to its end, and its end is where it says."""

from __future__ import annotations

import io
import tarfile

import pytest
from attentune.errors import DataError
from attentune.runners.data.files.tar_members import is_tar, read_members
from chaos.hostile_archives import image_files, tar_bytes


def member_starts(content: bytes) -> list[int]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return [member.offset for member in archive.getmembers()]


def test_every_cut_between_two_members_is_noticed(tmp_path):
    path = tmp_path / "pets.tar"
    content = tar_bytes(image_files())
    for start in member_starts(content)[1:]:
        path.write_bytes(content[:start])
        with pytest.raises(DataError, match=r"pets\.tar is cut off"):
            list(read_members(path))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_every_format_are_read_with_their_content(kind, tmp_path):
    path = tmp_path / "pets.tar"
    name = f"{'folder/' * 20}größe.png"
    with tarfile.open(path, "w", format=kind) as archive:
        for number in range(3):
            info = tarfile.TarInfo(f"{number}{name}")
            info.size = 600 * number
            archive.addfile(info, io.BytesIO(bytes([number]) * info.size))
    read = {member.name: member.read() for member in read_members(path)}
    assert read == {f"{number}{name}": bytes([number]) * 600 * number for number in range(3)}


def test_a_member_that_is_skipped_need_not_be_read(tmp_path):
    path = tmp_path / "pets.tar"
    path.write_bytes(tar_bytes(image_files()))
    assert is_tar(path)
    assert [member.name for member in read_members(path)] == list(image_files())


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"x" * 100])
def test_another_file_is_no_tar(content, tmp_path):
    path = tmp_path / "pets.tar"
    path.write_bytes(content)
    assert not is_tar(path)
