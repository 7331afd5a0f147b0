"""The interface of stores, which hold the files of trials under keys.

A key is names joined by slashes, such as `study-0123abcd/trial-00007/model.safetensors`. Folders
exist as long as they hold files. `tests/runners/artifacts/test_artifact_store.py` has the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from .location import is_url


@dataclass(frozen=True)
class StoredFile:
    """A file of a store.

    Attributes:
        size: in bytes.
        version: changes with the content.
    """

    size: int
    version: str


class ArtifactStore(Protocol):
    """Files under keys, in a folder or at a URL."""

    @property
    def name(self) -> str:
        """The folder or URL, as messages show it."""

    @property
    def location(self) -> str:
        """What `open_store` opens, on any machine that shares the store."""

    @property
    def folder(self) -> Path:
        """Where workers write the files: the store itself, or copies on the worker's machine."""

    @property
    def watched_folder(self) -> Path | None:
        """The folder that has to stay where it is while a study runs; None for a URL."""

    def check(self) -> None:
        """Check that files can be written and read, before a study begins.

        Raises:
            MachineError: they cannot.
            UsageError: a package is missing that the URL needs, or no package knows it.
        """

    def url_of(self, key: str) -> str | None:
        """The URL of a file or folder; None if it is a path of this machine."""

    def local_copy(self, key: str) -> Path:
        """A path of this machine with the present content of a file or folder, not to be changed.

        It does not exist if there is no such file.

        Raises:
            MachineError: the store cannot be read.
            StoreError: a link leads out of the store.
        """

    def exists(self, key: str) -> bool:
        """Whether there is such a file, or a folder with files; raises as `local_copy`."""

    def files(self, folder: str) -> dict[str, StoredFile]:
        """All files in a folder and in those inside it, by their keys relative to the folder.

        Raises:
            MachineError: the store cannot be read.
        """

    def delete(self, key: str) -> bool:
        """Delete a file, or a folder with all that is in it.

        What cannot be deleted costs space, and no result. So nothing is raised.

        Returns:
            Whether it is gone.
        """

    def later(self, task: Callable[[], None]) -> None:
        """Do what may take long and can wait: at once for a folder, else in a thread, in turn."""

    def await_tasks(self) -> None:
        """Wait for what `later` has put off, at most `remote_store.FLUSH_SECONDS`."""


@lru_cache(maxsize=32)
def open_store(location: str) -> ArtifactStore:
    """The store at a location, which need not exist. One process has one store of it.

    Args:
        location: see `parse_location`.
    """
    if is_url(location):
        from .remote_store import RemoteStore

        return RemoteStore(location)
    from .local_store import LocalStore

    return LocalStore(Path(location))
