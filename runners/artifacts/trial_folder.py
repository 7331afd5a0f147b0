"""The folder of a trial in which a worker works, if the trial's files are kept at a URL.

The worker writes to a copy of the folder in the cache of its machine, and uploads each file when it
is complete. A trial that continues on another machine downloads what was uploaded. One that
continues on the same machine keeps files that could not be uploaded: a file of the copy that began
as the version that the URL still has is at least as new.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from ...cache_folders import ABANDONED_AFTER_SECONDS
from ...errors import AttentuneError
from ...files import atomic_write, is_draft
from ..results import USER_FILES_FOLDER, USER_OUTPUT_FILE, Job
from .copies import digest_of, trials_folder
from .remote_store import WORKER_RETRY_SECONDS, RemoteStore

VERSIONS_FILE = "uploaded.json"
"""In the copy of a folder: of each file, the version at the URL and the file that has it."""
MIN_TRAINING_PER_UPLOAD = 50
"""How many times as long as an upload of a user's files the training before it has to be."""
ABANDONED_FOLDER_SECONDS = 7 * ABANDONED_AFTER_SECONDS
"""Copies of trials that nobody has continued here for so long are deleted."""


def open_folder(job: Job) -> Job:
    """The job with its folder as it is on this machine, where earlier files are downloaded.

    Raises:
        MachineError: they cannot be read.
    """
    if job.folder_url is None:
        return job
    job = job_on_this_machine(job)
    _delete_abandoned(job.folder.parent)
    _WorkingCopy(job).download()
    return job


def job_on_this_machine(job: Job) -> Job:
    """The job with its folder as a path of this machine."""
    if job.folder_url is None:
        return job
    return replace(job, folder=trials_folder() / digest_of(job.folder_url))


def publish(job: Job, name: str) -> None:
    """Make a file or folder at the URL like that in the folder of a trial; nothing without a URL.

    Args:
        job: the trial.
        name: of the file or folder. If it is missing, it is deleted.

    Raises:
        MachineError: it cannot be written.
    """
    if job.folder_url is not None:
        _WorkingCopy(job).upload(name)


def leave_folder(job: Job) -> None:
    """Delete the copy of a folder whose files are uploaded; nothing without a URL."""
    if job.folder_url is not None:
        shutil.rmtree(job_on_this_machine(job).folder, ignore_errors=True)


def publish_output(job: Job) -> None:
    """Upload what a user's code has printed for a trial that failed, if that is possible."""
    if job.folder_url is not None and job.evaluation is not None:
        with suppress(AttentuneError, OSError):
            _WorkingCopy(job_on_this_machine(job)).upload(f"{USER_FILES_FOLDER}/{USER_OUTPUT_FILE}")


def shown_path(job: Job, path: Path) -> str:
    """A file of a trial as messages show it: a path that all machines have, or a URL."""
    if job.folder_url is None:
        return str(path)
    return f"{job.folder_url}/{path.relative_to(job.folder).as_posix()}"


class UserFiles:
    """Uploads what a user's code writes while it trains, for at most 2 % of the time.

    Args:
        job: the trial.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._uploaded_at, self._seconds = job, time.monotonic(), 0.0

    def publish_if_due(self) -> None:
        """Upload what has changed, if enough time has passed; raises as `publish`."""
        began = time.monotonic()
        if began - self._uploaded_at >= MIN_TRAINING_PER_UPLOAD * self._seconds:
            publish(self._job, USER_FILES_FOLDER)
            self._uploaded_at = time.monotonic()
            self._seconds = self._uploaded_at - began


class _WorkingCopy:
    """The copy of a folder.

    Args:
        job: with the folder of this machine, and the URL.
    """

    def __init__(self, job: Job) -> None:
        assert job.folder_url is not None
        self._folder = job.folder
        root, study, trial = job.folder_url.rsplit("/", 2)
        self._store, self._key = _store_at(root), f"{study}/{trial}"

    def download(self) -> None:
        """Bring the folder to the state of the URL, except for files that are newer here."""
        self._folder.mkdir(parents=True, exist_ok=True)
        remote, versions = self._store.files(self._key), self._read_versions()
        for name, file in remote.items():
            path = self._folder / name
            is_present = name in versions and versions[name][0] == file.version and path.exists()
            if is_present or is_draft(path):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                self._store.download(f"{self._key}/{name}", path)
                versions[name] = file.version, _state_of(path)
        for name in [name for name in versions if name not in remote]:
            (self._folder / name).unlink(missing_ok=True)
            del versions[name]
        self._write_versions(versions)

    def upload(self, name: str) -> None:
        """See `publish`."""
        path, versions = self._folder / name, self._read_versions()
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        names = {
            file.relative_to(self._folder).as_posix(): file
            for file in files
            if file.is_file() and not file.is_symlink() and not is_draft(file)
        }
        for each, file in names.items():
            with suppress(FileNotFoundError):  # The user's code deletes files, too.
                state = _state_of(file)
                if each not in versions or versions[each][1] != state:
                    versions[each] = self._store.upload(file, f"{self._key}/{each}"), state
        outdated = [
            each
            for each in versions
            if (each == name or each.startswith(f"{name}/")) and each not in names
        ]
        for each in outdated:
            if self._store.delete(f"{self._key}/{each}"):
                del versions[each]
        self._write_versions(versions)

    def _read_versions(self) -> dict[str, tuple[str, str]]:
        try:
            stored = json.loads((self._folder / VERSIONS_FILE).read_text("utf-8"))
            return {str(name): (str(v[0]), str(v[1])) for name, v in stored.items()}
        except (OSError, ValueError, TypeError, IndexError, AttributeError):
            return {}

    def _write_versions(self, versions: dict[str, tuple[str, str]]) -> None:
        with atomic_write(self._folder / VERSIONS_FILE) as draft:
            draft.write_text(json.dumps(versions), "utf-8")


@lru_cache(maxsize=8)
def _store_at(root: str) -> RemoteStore:
    """The store of a worker; it is kept, because its connection is."""
    return RemoteStore(root, WORKER_RETRY_SECONDS)


def _state_of(path: Path) -> str:
    """What changes with the content of a file of this machine."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _delete_abandoned(folder: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            if time.time() - path.stat().st_mtime > ABANDONED_FOLDER_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
