"""Copying the folder of a study, for its copy in another database.

The files are copied to a draft, which gets its name right before the transaction is committed that
adds the study. A copy that ends early is deleted; what a killed one has left, a later copy deletes.

At a URL nothing is renamed, because object storage would copy all files once more. There, a folder
is a draft as long as it has the file `DRAFT_FILE`.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import StoreError
from ...files import draft_path, is_draft, make_folder, remove_path, replace_folder
from ...runners.artifacts.remote_store import RemoteStore
from ...runners.artifacts.store import ArtifactStore

OnFile = Callable[[int], None]
DRAFT_FILE = ".copying"
"""Holds the time, in seconds since 1970, at which a copy at a URL has begun."""
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


class DraftCopy(Protocol):
    """A copy of a study's folder that has no name yet.

    Attributes:
        count: what was copied.
    """

    count: FileCount

    def give_name(self) -> None:
        """Give the copy its name. Again, this does nothing."""

    def discard(self) -> None:
        """Delete a copy without a name."""


def copy_folder(
    artifacts: ArtifactStore, key: str, target: ArtifactStore, target_key: str, on_file: OnFile
) -> DraftCopy:
    """Copy the files of a study, without a name at first.

    A study that names a place for its artifacts names the same one in its copy, so files are never
    copied between a folder and a URL.

    Args:
        artifacts: holds the study's files.
        key: of the study's folder.
        target: will hold the copies.
        target_key: of the copy's folder, which must not exist.
        on_file: called with the size in bytes of every file, after it was copied.

    Raises:
        StoreError: a file was not copied in full.
        MachineError: a URL cannot be read or written.
    """
    if isinstance(artifacts, RemoteStore):
        return RemoteFolderCopy(artifacts, key, target_key, on_file)
    source = artifacts.local_copy(key)
    return FolderCopy(source, target.local_copy(target_key), on_file)


class FolderCopy:
    """A copy of a folder of this machine; see `DraftCopy`.

    Attributes:
        count: what was copied.
    """

    def __init__(self, source: Path, target: Path, on_file: OnFile) -> None:
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


class RemoteFolderCopy:
    """A copy of a folder at a URL; see `DraftCopy`.

    Attributes:
        count: what was copied.
    """

    def __init__(self, artifacts: RemoteStore, source: str, target: str, on_file: OnFile) -> None:
        """Copy the files.

        Args:
            artifacts: holds both folders.
            source: the key of the study's folder.
            target: the key of the copy's folder.
            on_file: as for `FolderCopy`.

        Raises:
            MachineError: the URL cannot be read or written.
        """
        self._artifacts, self._target = artifacts, target
        self._delete_old_drafts()
        files = {
            name: file
            for name, file in artifacts.files(source).items()
            if name and not is_draft(Path(name))
        }
        self.count = FileCount(len(files), sum(file.size for file in files.values()))
        self._has_name = not files
        if not files:
            return
        try:
            self._write_draft_file()
            for name, file in files.items():
                artifacts.copy(f"{source}/{name}", f"{target}/{name}")
                on_file(file.size)
            copied = artifacts.files(target)
            if {name: copied[name].size for name in files if name in copied} != {
                name: file.size for name, file in files.items()
            }:
                raise StoreError(
                    f"files in {artifacts.url_of(source)} were changed while they were copied; "
                    "copy the study again."
                )
        except BaseException:
            self.discard()
            raise

    def give_name(self) -> None:
        """Delete what makes the folder a draft. Again, this does nothing."""
        if self._has_name:
            return
        if not self._artifacts.delete(f"{self._target}/{DRAFT_FILE}"):
            raise StoreError(
                f"{self._artifacts.url_of(self._target)} is not complete; copy the study again."
            )
        self._has_name = True

    def discard(self) -> None:
        """Delete the copy, if it is a draft."""
        if not self._has_name:
            self._artifacts.delete(self._target)

    def _write_draft_file(self) -> None:
        with tempfile.TemporaryDirectory(prefix="attentune-copy-") as folder:
            source = Path(folder, DRAFT_FILE)
            source.write_text(str(time.time()), "utf-8")
            self._artifacts.upload(source, f"{self._target}/{DRAFT_FILE}")

    def _delete_old_drafts(self) -> None:
        """Delete the copies of processes that were killed."""
        for name in self._artifacts.files(""):
            folder, _, rest = name.partition("/")
            if rest == DRAFT_FILE and _is_old(self._artifacts.local_copy(name)):
                self._artifacts.delete(folder)


def _is_old(draft_file: Path) -> bool:
    try:
        return time.time() - float(draft_file.read_text("utf-8")) > DRAFT_SECONDS
    except (OSError, ValueError):
        return False


def _copy_files(source: Path, draft: Path, on_file: OnFile) -> FileCount:
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
