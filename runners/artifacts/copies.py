"""Copies of remote files in the cache of this machine, one for each version of a file.

A copy never changes, so several processes may read and make copies at the same time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ...cache_folders import cache_folder
from ...files import draft_path, is_draft, remove_path
from .store import StoredFile

MAX_COPIES_BYTES = 4 * 2**30
"""Copies that were not used for longest are deleted when all together are larger."""
UNUSED_SECONDS = 3600.0
"""A copy that was used since then is kept in any case: a process may be reading it."""
DIGEST_DIGITS = 16


class CopiedFiles:
    """Copies of the files of one store.

    Args:
        folder: in the cache.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path_of(
        self,
        key: str,
        files: Mapping[str, StoredFile],
        download: Callable[[str, Path], None],
    ) -> Path:
        """The copy of a file or folder, which is made if it is missing.

        Args:
            key: of the file or folder.
            files: those to copy, by their path relative to the folder of `key`; none if there is
                no such file, so that the path does not exist.
            download: copies one of them to a path in a folder that exists.
        """
        version = digest_of(repr(sorted(files.items())))
        place, name = self._folder / key / version, key.rpartition("/")[2]
        if not files:
            return place / name
        if not place.is_dir():
            self._make(place, files, download)
        with suppress(OSError):
            os.utime(place)
        return place / name

    def _make(
        self, place: Path, files: Mapping[str, StoredFile], download: Callable[[str, Path], None]
    ) -> None:
        self._free(sum(file.size for file in files.values()))
        draft = draft_path(place)
        try:
            for path in files:
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # It was deleted just now.
                    download(path, draft / path)
            with suppress(OSError):  # Another process was faster.
                draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _free(self, needed: int) -> None:
        """Delete the copies that were not used for longest, if all need too much space."""
        copies: list[tuple[float, int, Path]] = []
        for parent, folders, _ in os.walk(self._folder):
            for name in [name for name in folders if _is_version(name) or is_draft(Path(name))]:
                folders.remove(name)
                path = Path(parent, name)
                with suppress(OSError):
                    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
                    copies.append((path.stat().st_mtime, size, path))
        excess = sum(size for _, size, _ in copies) + needed - MAX_COPIES_BYTES
        for used_at, size, path in sorted(copies):
            if excess <= 0 or time.time() - used_at < UNUSED_SECONDS:
                return
            with suppress(OSError):
                remove_path(path)
                excess -= size


def trials_folder() -> Path:
    """Where the files of trials at a URL are written on this machine before they are uploaded."""
    return cache_folder("trials")


def digest_of(text: str) -> str:
    """A short digest, as a name of a folder."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def _is_version(name: str) -> bool:
    return len(name) == DIGEST_DIGITS and all(digit in "0123456789abcdef" for digit in name)
