"""The folder of artifacts: checkpoints and weights, in one folder per study and trial.

    attentune.artifacts/
        study-0123abcd/             `StudyRecord.folder`, random
            trial-00007/            `TrialRecord.number`
        study-0123abcd.removed      the study is being removed from the database that it names, or
                                    is just being added to it by `db copy`

It is beside the database, unless a study names another folder or a URL for its own (`search
--artifacts`). What is done with the files is the same for both: `runners/artifacts/store.py`.

A database may come from somebody else, so what it says is checked before it becomes a path: only
names of this form are accepted, and a path that leads out of the folder is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from sqlalchemy import URL

from ...errors import MachineError, MissingStorageError, StoreError, UsageError
from ...files import make_folder, sync_file, sync_folder
from ...runners.artifacts.local_store import require_inside
from ...runners.artifacts.location import is_url
from ...runners.artifacts.store import ArtifactStore, open_store
from ..records import StudyRecord

ARTIFACTS = "attentune.artifacts"
_STUDY_FOLDER = re.compile(r"study-[0-9a-f]{8}", re.ASCII)
_REMOVED = ".removed"


def artifacts_beside(database: URL) -> Path:
    """The folder of artifacts of a database whose studies name no other one.

    Args:
        database: where it is; it need not exist.
    """
    is_file = database.drivername == "sqlite"
    parent = Path(str(database.database)).parent if is_file else Path.cwd()
    return parent.resolve() / ARTIFACTS


def location_in(parent: str) -> str:
    """The folder of artifacts in a folder, or at a URL."""
    return f"{parent}/{ARTIFACTS}" if is_url(parent) else str(Path(parent) / ARTIFACTS)


class ArtifactFolders:
    """The folders of the studies of a database.

    Attributes:
        root: of all studies that do not name another one.
    """

    def __init__(self, parent: Path, database: str) -> None:
        """Know the folder; it need not exist yet.

        Args:
            parent: the folder in which it is.
            database: identifies the database, because several may keep their artifacts here.
        """
        self.root, self._database = parent / ARTIFACTS, database

    def store_of(self, study: StudyRecord) -> ArtifactStore:
        """What holds the files of a study, under `study_key`."""
        return self._store_in(study.config.artifacts)

    def _store_in(self, parent: str | None) -> ArtifactStore:
        return open_store(str(self.root) if parent is None else location_in(parent))

    def study_key(self, study: StudyRecord) -> str:
        """The key of a study's folder.

        Raises:
            StoreError: the record names a folder that attentune did not make.
        """
        if not isinstance(study.folder, str) or not _STUDY_FOLDER.fullmatch(study.folder):
            raise StoreError(
                f"the database names {study.folder!r} as the folder of the study {study.name!r}, "
                "which is no folder that attentune makes; nothing is read or written there."
            )
        return study.folder

    def trial_key(self, study: StudyRecord, number: int) -> str:
        """The key of a trial's folder; raises as `study_key`."""
        if not isinstance(number, int) or number < 0:
            raise StoreError(f"{number!r} is no number of a trial of {study.name!r}.")
        return f"{self.study_key(study)}/trial-{number:05d}"

    def of_study(self, study: StudyRecord) -> Path:
        """The folder of a study; it need not exist yet. For one at a URL, no files are in it.

        Raises:
            StoreError: as `study_key`, or a link leads out of the folder of artifacts.
        """
        return self._path(study, self.study_key(study))

    def of_trial(self, study: StudyRecord, number: int) -> Path:
        """The folder of a trial; it need not exist yet. Raises as `of_study`."""
        return self._path(study, self.trial_key(study, number))

    def _path(self, study: StudyRecord, key: str) -> Path:
        root = self.store_of(study).folder
        return require_inside(root / key, root)

    def file(self, study: StudyRecord, number: int, name: str) -> Path:
        """A file of a trial on this machine, where one at a URL is copied; it need not exist.

        Args:
            study: the trial's study.
            number: the trial's number.
            name: a name that is a constant of this program.

        Raises:
            StoreError: as `of_study`, or the URL cannot be read.
        """
        key = f"{self.trial_key(study, number)}/{name}"
        try:
            return self.store_of(study).local_copy(key)
        except (MachineError, UsageError) as error:
            raise StoreError(str(error)) from None

    def announce_removal(self, study: StudyRecord) -> None:
        """Record that a study is about to be removed, so that a later command can finish it."""
        self.of_study(study)
        if self.store_of(study).exists(study.folder):
            self._mark(study)

    def announce_copy(self, study: StudyRecord) -> None:
        """Record that a study is about to be added, so that its folder does not outlast a failure.

        It is called in the transaction that adds the study, before its folder gets its name.
        """
        self.of_study(study)
        self._mark(study)

    def remove(self, study: StudyRecord) -> None:
        """Delete the folder of a study that has been removed from the database."""
        self.of_study(study)
        self._delete(study.folder, self.store_of(study))

    def finish_removals(self, read_studies: Callable[[], Iterable[StudyRecord]]) -> None:
        """Delete the folders of studies whose removal, or whose addition, was interrupted.

        Args:
            read_studies: reads the studies of the database, if that is necessary, and waits for
                those that are just being added. If one of them was announced for removal, the
                removal did not take place.
        """
        markers = [m for m in self.root.glob(f"study-*{_REMOVED}") if self._is_ours(m)]
        folders_in_use = {study.folder for study in read_studies()} if markers else set()
        for marker in markers:
            folder = marker.name.removesuffix(_REMOVED)
            if not _STUDY_FOLDER.fullmatch(folder):
                continue
            if folder in folders_in_use or not marker.read_bytes():
                marker.unlink(missing_ok=True)
            else:
                _, _, parent = marker.read_text("utf-8").partition("\n")
                self._delete(folder, self._store_in(parent or None))

    def _mark(self, study: StudyRecord) -> None:
        """Write the marker of a study, with the place that it names for its artifacts, if any.

        Markers are in the database's own folder of artifacts, where a later command looks for them.
        """
        make_folder(self.root)
        marker, parent = self._marker(study.folder), study.config.artifacts
        marker.write_text(self._database + ("" if parent is None else f"\n{parent}"), "utf-8")
        sync_file(marker)
        sync_folder(self.root)

    def _delete(self, folder: str, store: ArtifactStore) -> None:
        if store.delete(folder):
            self._marker(folder).unlink(missing_ok=True)

    def _marker(self, folder: str) -> Path:
        return self.root / f"{folder}{_REMOVED}"

    def _is_ours(self, marker: Path) -> bool:
        """Whether this database wrote a marker. An empty one was interrupted, and means nothing."""
        try:
            return marker.read_text("utf-8").partition("\n")[0] in ("", self._database)
        except (OSError, ValueError):
            return False


class FolderWatch:
    """Notices that the folder of a study was removed, moved or replaced while it is in use.

    A worker makes missing folders, so the search would go on in a new, empty one.
    """

    def __init__(self, folders: ArtifactFolders, study: StudyRecord) -> None:
        folders.of_study(study)
        root = folders.store_of(study).watched_folder
        self._paths = () if root is None else (root, root / study.folder)
        self._identities: dict[Path, tuple[int, int]] = {}

    def check(self) -> None:
        """Check that what was there at the last call is there still.

        Raises:
            MissingStorageError: it is not.
        """
        for path in self._paths:
            try:
                status = path.stat()
            except OSError:
                identity = None
            else:
                identity = status.st_dev, status.st_ino
            if path not in self._identities:
                if identity is not None:
                    self._identities[path] = identity
            elif identity != self._identities[path]:
                raise MissingStorageError(
                    f"{path} was removed or moved while the study ran; put it back where it was, "
                    "then continue with `attentune resume`. Trials without their checkpoints begin "
                    "anew."
                )
