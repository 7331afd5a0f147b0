"""Copying the folder of a study to the folder of artifacts of another database.

The files are copied to a draft, which gets its name right before the transaction is committed that
adds the study. A copy that ends early is deleted; what a killed one has left, a later copy deletes.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...errors import StoreError
from ...files import draft_path, is_draft, make_folder, remove_path, replace_folder

DRAFT_SECONDS = 86400.0
"""A draft in which nothing has changed for so long belongs to a copy that was killed."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileCount:
    """Files of a folder.

    Attributes:
        files: their number.
        size: of all together, in bytes.
    """

    files: int
    size: int


class FolderCopy:
    """A copy of a study's folder that has no name yet.

    Attributes:
        count: what was copied.
    """

    def __init__(self, source: Path, target: Path, on_file: Callable[[int], None]) -> None:
        """Copy the files; links and the drafts of killed processes are left out.

        Args:
            source: the folder of the study; it need not exist.
            target: the folder of the copy, which must not exist.
            on_file: called with the size in bytes of every file, after it was copied.

        Raises:
            StoreError: a file was not copied in full.
        """
        self._target, self._draft = target, draft_path(target)
        self._has_files = source.is_dir()
        self.count = FileCount(0, 0)
        if not self._has_files:
            return
        make_folder(target.parent)
        _remove_old_drafts(target.parent)
        try:
            self.count = _copy_files(source, self._draft, on_file)
        except BaseException:
            self.discard()
            raise

    def give_name(self) -> None:
        """Give the copy its name; it is on the disk afterwards. Again, this does nothing."""
        if self._has_files and not self._target.exists():
            replace_folder(self._draft, self._target)

    def discard(self) -> None:
        """Delete a copy without a name."""
        with suppress(OSError):
            remove_path(self._draft)


def _copy_files(source: Path, draft: Path, on_file: Callable[[int], None]) -> FileCount:
    files = size = 0
    draft.mkdir()
    for parent, folders, names in os.walk(source):
        folder = draft / Path(parent).relative_to(source)
        for name in [name for name in folders if Path(parent, name).is_symlink()]:
            folders.remove(name)
            logger.warning("%s is a link, and is not copied", Path(parent, name))
        for name in folders:
            (folder / name).mkdir()
        for name in names:
            path = Path(parent, name)
            if is_draft(path):
                continue
            if path.is_symlink() or not path.is_file():
                logger.warning("%s is no regular file, and is not copied", path)
                continue
            shutil.copy2(path, folder / name)
            file_size = path.stat().st_size
            if (folder / name).stat().st_size != file_size:
                raise StoreError(f"{path} was changed while it was copied; copy the study again.")
            files, size = files + 1, size + file_size
            on_file(file_size)
    return FileCount(files, size)


def _remove_old_drafts(folder: Path) -> None:
    for path in folder.glob(".study-*"):
        with suppress(OSError):
            if is_draft(path) and time.time() - path.stat().st_mtime > DRAFT_SECONDS:
                remove_path(path)
