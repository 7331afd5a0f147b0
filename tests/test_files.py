"""Files that are written whole or not at all."""

from __future__ import annotations

import os

import pytest
from attentune.files import atomic_write


def test_a_file_is_replaced_at_the_end_and_only_by_a_whole_one(tmp_path):
    path = tmp_path / "folder" / "report.html"
    with atomic_write(path) as draft:
        draft.write_text("first")
        assert not path.exists()
    with pytest.raises(UnicodeEncodeError), atomic_write(path) as draft:
        draft.write_text("half of it é", "ascii")
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_whom_the_users_umask_lets_read_may_read_it(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "weights") as draft:
            draft.write_bytes(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o666 & ~umask
