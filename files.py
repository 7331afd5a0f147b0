"""Write files and folders so that a crash or a power cut leaves the old content or the new one.

A rename alone is atomic for other processes, but not for the disk: after a power cut the new name
may lead to a file of zeros. Therefore the content is flushed to the disk before the rename, and the
folder, which holds the name, after it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_NAME_CHARACTERS_IN_DRAFT = 50
"""The name of a draft holds so much of the file's name, since file systems limit its length."""
_DRAFT_NAME = re.compile(r"\..*\.\d+\.[0-9a-f]{8}")
_CANNOT_SYNC_FOLDERS = {errno.EACCES, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOTSUP}
"""Errors of systems and file systems that cannot open or flush a folder."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path beside `path` for a draft, which replaces `path` if the block succeeds.

    When this returns, the new content is on the disk under its name. If the block raises, the draft
    is deleted and `path` stays as it was. Missing folders are made. The block itself creates the
    draft, so the file gets the permissions of the user's umask.
    """
    make_folder(path.parent)
    draft = draft_path(path)
    try:
        yield draft
        sync_file(draft)
        draft.replace(path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def draft_path(path: Path) -> Path:
    """A new name beside `path`, under which something is prepared that will replace it."""
    name = path.name[:MAX_NAME_CHARACTERS_IN_DRAFT]
    return path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")


def is_draft(path: Path) -> bool:
    """Whether a name is one of `draft_path`. A process that is killed leaves its drafts."""
    return _DRAFT_NAME.fullmatch(path.name) is not None


def replace_folder(draft: Path, folder: Path) -> None:
    """Flush a folder with all its files to the disk, then give it its name.

    Args:
        draft: the complete folder.
        folder: its name; must not exist, or be an empty folder.
    """
    for parent, _, names in os.walk(draft):
        for name in names:
            sync_file(Path(parent, name))
        sync_folder(Path(parent))
    if folder.is_dir() and not folder.is_symlink():
        folder.rmdir()  # Windows does not replace an empty folder.
    draft.rename(folder)
    sync_folder(folder.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents if they are missing, so that they outlast a power cut."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def remove_path(path: Path) -> None:
    """Delete a file, a link or a whole folder, if there is one. A link is not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    # Windows flushes only files that are open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _CANNOT_SYNC_FOLDERS:
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
    finally:
        os.close(descriptor)


def find_path(text: str) -> Path | None:
    """The existing path that a text names, with `~` expanded; None if there is none."""
    try:
        path = Path(text).expanduser()
        return path if path.exists() else None
    except (
        OSError,
        ValueError,
        RuntimeError,
    ):  # Too long, NUL, or no home.
        return None
