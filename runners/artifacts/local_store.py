"""A store in a folder of this machine, or in one that all workers share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ...errors import MachineError, StoreError
from ...files import remove_path
from .store import StoredFile


class LocalStore:
    """Files in a folder; see `ArtifactStore`. Workers write them in place.

    Attributes:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def location(self) -> str:
        """The folder, without links on the way."""
        return str(self.folder.resolve())

    @property
    def watched_folder(self) -> Path | None:
        """The folder."""
        return self.folder

    def check(self) -> None:
        """Check that the folder can be written, or made; nothing remains of that."""
        try:
            present = next(path for path in (self.folder, *self.folder.parents) if path.exists())
            with tempfile.TemporaryFile(dir=present):
                pass
        except OSError as error:
            raise MachineError(
                f"{self.name} cannot hold the files of trials ({error.strerror}); choose another "
                "folder with --artifacts"
            ) from None

    def url_of(self, key: str) -> str | None:
        """None."""
        del key
        return None

    def local_copy(self, key: str) -> Path:
        """The file itself."""
        return require_inside(self.folder / key, self.folder)

    def exists(self, key: str) -> bool:
        """Whether there is such a file or folder."""
        return self.local_copy(key).exists()

    def files(self, folder: str) -> dict[str, StoredFile]:
        """All files in a folder; links are not followed, and count as files without content."""
        top, files = self.folder / folder, {}
        for parent, folders, names in os.walk(top):
            links = [name for name in folders if Path(parent, name).is_symlink()]
            for name in names + links:
                path = Path(parent, name)
                with suppress(OSError):
                    status = path.lstat()
                    size = 0 if path.is_symlink() else status.st_size
                    version = f"{status.st_ino}-{status.st_mtime_ns}-{size}"
                    files[path.relative_to(top).as_posix()] = StoredFile(size, version)
        return files

    def delete(self, key: str) -> bool:
        """Delete a file or folder, and the trial's folder with its last file."""
        path = self.folder / key
        with suppress(OSError):
            remove_path(path)
        with suppress(OSError):  # The folder of the study itself stays, because it is watched.
            for parent in path.parents[: max(0, len(Path(key).parts) - 2)]:
                parent.rmdir()
        return not os.path.lexists(path)

    def later(self, task: Callable[[], None]) -> None:
        """Do it at once."""
        task()

    def await_tasks(self) -> None:
        """Nothing is put off."""


def require_inside(path: Path, root: Path) -> Path:
    """The path itself, if neither it nor a folder on the way to it from the root is a link.

    Args:
        path: below the root.
        root: the folder of a store.

    Raises:
        StoreError: it is.
    """
    expected = root.resolve().joinpath(*path.relative_to(root).parts)
    try:
        leads_elsewhere = path.resolve() != expected
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a null character
        leads_elsewhere = True
    if leads_elsewhere:
        raise StoreError(
            f"{path} is a link, or inside one; attentune only uses files that are in {root} "
            "themselves."
        )
    return path
