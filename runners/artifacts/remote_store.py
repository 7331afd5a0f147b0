"""A store at a URL: S3, Google Cloud Storage, Azure, SFTP and whatever else fsspec knows.

A file is replaced as a whole: object storage shows an object when it is complete, and on file
systems it is written under a draft's name and renamed. What fails is tried again, by workers for a
minute. Each package of fsspec has errors of its own, so most exceptions are treated alike.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ...cache_folders import cache_folder
from ...errors import MachineError, UsageError
from ...files import draft_path
from ...sanitize import clean_text, hide_passwords
from .copies import CopiedFiles, digest_of, trials_folder
from .store import StoredFile

RETRY_SECONDS = 10.0
"""For so long, what fails is tried again, while somebody waits."""
WORKER_RETRY_SECONDS = 60.0
"""The same for workers, whose trial would be interrupted."""
ABSENT_SECONDS = 30.0
"""After a failure, all else fails at once for so long: readers ask for one file after the other."""
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.5, 10.0
LISTING_SECONDS = 10.0
"""The names of a trial's files are asked for again after this time."""
FLUSH_SECONDS = 60.0
CHECK_PREFIX = ".attentune-check-"
OBJECT_STORAGE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "memory")
"""Protocols by which an object appears as a whole. They rename by copying, which takes long."""
EXTRAS = {"s3": "'attentune[s3]'", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""What to install for a protocol, as an argument of pip; otherwise fsspec says it."""
VERSION_FIELDS = (
    *("ETag", "etag", "generation", "md5Hash", "mtime", "LastModified", "last_modified"),
    *("modified", "created"),
)
"""Where implementations of fsspec say which version of a file there is; the first one counts."""
DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Faults of this machine's own disk, to which files are downloaded."""
PERMANENT_NAMES = ("Credential", "Authentication", "ParamValidation", "InvalidBucket")
"""Parts of the names of errors that do not pass by themselves."""
_SECRETS = re.compile(r"(?i)\?\S*|\b(sig|signature|token|key|secret)=\S+")
_SECRET_NAMES = re.compile("SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY")
MIN_SECRET_CHARACTERS = 8
T = TypeVar("T")

logger = logging.getLogger(__name__)


class RemoteStore:
    """Files at a URL; see `ArtifactStore`. Workers write copies and upload them.

    Args:
        url: of the folder; see `location.parse_location`.
        retry_seconds: for how long what fails is tried again.
    """

    def __init__(self, url: str, retry_seconds: float = RETRY_SECONDS) -> None:
        self.url, self._retry_seconds = url, retry_seconds
        self._listings: dict[str, tuple[float, dict[str, StoredFile]]] = {}
        self._fault: tuple[float, MachineError] | None = None
        self._tasks = _BackgroundTasks(self.name)
        digest = digest_of(url)
        self.folder = trials_folder()
        self._copies = CopiedFiles(cache_folder("artifacts") / digest)

    @property
    def name(self) -> str:
        """The URL, which has no password."""
        return hide_passwords(self.url)

    @property
    def location(self) -> str:
        """The URL."""
        return self.url

    @property
    def watched_folder(self) -> Path | None:
        """None: workers notice that a bucket is gone, because they cannot write to it."""

    @property
    def _protocol(self) -> str:
        return self.url.partition("://")[0]

    @cached_property
    def _filesystem(self) -> Any:
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.url)[0]
        except ImportError as error:
            package = EXTRAS.get(self._protocol)
            what = f"run `pip install {package}`" if package else _reason_of(error)
            raise UsageError(f"{self.name} needs a package that is not installed; {what}") from None
        except ValueError as error:
            raise UsageError(
                f"{self.name} cannot be used ({_reason_of(error)}); choose a folder, or a URL such "
                "as s3://bucket/folder"
            ) from None

    @cached_property
    def _root(self) -> str:
        return str(self._filesystem._strip_protocol(self.url)).rstrip("/")

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if key else self._root

    def check(self) -> None:
        """Write a file, read it and delete it."""
        key, text = f"{CHECK_PREFIX}{secrets.token_hex(8)}", secrets.token_bytes(16)
        store = RemoteStore(self.url, retry_seconds=0.0)
        source = draft_path(store.folder / key)
        source.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.write_bytes(text)
            store.upload(source, key)
            store.download(key, source)
            if source.read_bytes() != text:
                raise MachineError(f"{self.name} does not keep what is written to it")
            if not store.delete(key):
                raise MachineError(f"files in {self.name} cannot be deleted; allow that")
        finally:
            source.unlink(missing_ok=True)

    def url_of(self, key: str) -> str | None:
        """The URL of a file or folder."""
        return f"{self.url}/{key}"

    def local_copy(self, key: str) -> Path:
        """A copy in the cache of this machine; what has not changed is not downloaded again."""
        folder, _, name = key.rpartition("/")
        listing = self._recent_files(folder)
        inner = {path: file for path, file in listing.items() if path.startswith(f"{name}/")}
        wanted = {name: listing[name]} if name in listing else inner

        def download(path: str, target: Path) -> None:
            self.download(f"{folder}/{path}", target)

        return self._copies.path_of(key, wanted, download)

    def exists(self, key: str) -> bool:
        """Whether there is such a file, or a folder with files."""
        return bool(self.files(key))

    def _recent_files(self, folder: str) -> dict[str, StoredFile]:
        """As `files`, but what was read in the last seconds is not read again."""
        asked_at, files = self._listings.get(folder, (0.0, {}))
        if not files or time.monotonic() - asked_at > LISTING_SECONDS:
            files = self.files(folder)
            self._listings[folder] = time.monotonic(), files
        return files

    def files(self, folder: str) -> dict[str, StoredFile]:
        """All files in a folder; or the file itself, under an empty key, if it is one."""
        path = self._path(folder)

        def find() -> Mapping[str, Any]:
            self._filesystem.invalidate_cache()
            entries: Mapping[str, Any] = self._filesystem.find(path, detail=True)
            return entries

        try:
            entries = self._attempt("read", find)
        except FileNotFoundError:
            return {}
        files = {name: info for name, info in entries.items() if info.get("type") != "directory"}
        return {
            str(name).strip("/").removeprefix(path.strip("/")).lstrip("/"): _describe(info)
            for name, info in files.items()
        }

    def upload(self, source: Path, key: str) -> str:
        """Replace a file as a whole; returns its new version.

        Args:
            source: a file of this machine.
            key: of the file.

        Raises:
            MachineError: it cannot be written.
        """
        target, filesystem = self._path(key), self._filesystem

        def put() -> str:
            if self._protocol in OBJECT_STORAGE:
                filesystem.put_file(str(source), target)
            else:
                filesystem.makedirs(target.rpartition("/")[0], exist_ok=True)
                draft = draft_path(Path(target)).as_posix()
                try:
                    filesystem.put_file(str(source), draft)
                    filesystem.mv(draft, target)
                except BaseException:
                    with suppress(Exception):
                        filesystem.rm_file(draft)
                    raise
            filesystem.invalidate_cache()
            return _describe(filesystem.info(target)).version

        try:
            return self._attempt("write", put)
        except FileNotFoundError:
            if not source.exists():
                raise
            raise self._describe_fault("write", "it does not exist") from None

    def download(self, key: str, target: Path) -> None:
        """Copy a file to this machine, where it has its name only when it is complete.

        Args:
            key: of the file.
            target: a path in a folder that exists.

        Raises:
            FileNotFoundError: there is no such file.
            MachineError: it cannot be read.
        """
        draft = draft_path(target)
        try:
            path = self._path(key)
            self._attempt("read", lambda: self._filesystem.get_file(path, str(draft)))
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)

    def copy(self, source: str, target: str) -> None:
        """Copy a file inside the store, without this machine if the storage can do that.

        Args:
            source: the key of the file.
            target: the key of the copy.

        Raises:
            MachineError: it cannot be copied.
        """
        paths = self._path(source), self._path(target)
        if self._protocol not in OBJECT_STORAGE:
            self._filesystem.makedirs(paths[1].rpartition("/")[0], exist_ok=True)
        try:
            self._attempt("write", lambda: self._filesystem.cp_file(*paths))
        except FileNotFoundError:
            raise self._describe_fault("read", f"{source} does not exist") from None

    def delete(self, key: str) -> bool:
        """Delete a file or folder; see `ArtifactStore`."""
        assert key, "the whole store is never deleted"
        try:
            files = self.files(key)
            paths = [self._path(f"{key}/{name}" if name else key) for name in files]
            if paths:
                with suppress(FileNotFoundError):  # Another process deletes them too.
                    self._attempt("write", lambda: self._filesystem.rm(paths))
            if self._protocol not in OBJECT_STORAGE and self._filesystem.isdir(self._path(key)):
                self._filesystem.rm(self._path(key), recursive=True)
        except (MachineError, UsageError, OSError) as error:
            logger.warning("%s is not deleted, and takes space only: %s", self.url_of(key), error)
            return False
        self._listings.pop(key.rpartition("/")[0], None)
        return True

    def later(self, task: Callable[[], None]) -> None:
        """Do it in the store's thread."""
        self._tasks.add(task)

    def await_tasks(self) -> None:
        """Wait until the store's thread has done all."""
        self._tasks.wait()

    def _attempt(self, verb: str, function: Callable[[], T]) -> T:
        """Call a function; again, with growing pauses, while the storage fails.

        Args:
            verb: `read` or `write`, for the message.
            function: uses the file system.

        Raises:
            FileNotFoundError: there is no such file.
            MachineError: anything else.
        """
        deadline, delay = time.monotonic() + self._retry_seconds, FIRST_DELAY_SECONDS
        if self._fault is not None and time.monotonic() - self._fault[0] < ABSENT_SECONDS:
            raise self._fault[1]
        while True:
            try:
                return function()
            except (FileNotFoundError, MachineError, UsageError):
                raise
            except Exception as error:
                if isinstance(error, OSError) and error.errno in DISK_ERRNOS:
                    raise
                if _is_permanent(error):
                    raise self._describe_fault(verb, _reason_of(error)) from None
                if time.monotonic() + delay > deadline:
                    fault = self._describe_fault(verb, _reason_of(error))
                    self._fault = time.monotonic(), fault
                    raise fault from None
                logger.info("%s fails, and is tried again: %s", self.name, _reason_of(error))
            time.sleep(delay)
            delay = min(2 * delay, MAX_DELAY_SECONDS)

    def _describe_fault(self, verb: str, reason: str) -> MachineError:
        return MachineError(
            f"cannot {verb} {self.name} ({reason}); check that it exists, the network, and that "
            "this machine has credentials with the right to read, write, list and delete there"
        )


class _BackgroundTasks:
    """Tasks that a thread does in turn; it begins with the first one.

    Args:
        name: of the store, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: queue.Queue[Callable[[], None]] = queue.Queue()
        self._thread: threading.Thread | None = None

    def add(self, task: Callable[[], None]) -> None:
        """Append a task."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="artifacts", daemon=True)
            self._thread.start()
        self._queue.put(task)

    def wait(self) -> None:
        """Wait until all are done, or for `FLUSH_SECONDS`."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._queue.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)

    def _work(self) -> None:
        while True:
            task = self._queue.get()
            try:
                task()
            except Exception as error:
                logger.warning("files in %s are not cleaned up: %s", self._name, error)
            finally:
                self._queue.task_done()


def _describe(info: Mapping[str, Any]) -> StoredFile:
    size = int(info.get("size") or 0)
    version = next((info[name] for name in VERSION_FIELDS if info.get(name) is not None), "")
    return StoredFile(size, f"{version} {info.get('ino', '')} {size}")


def _is_permanent(error: Exception) -> bool:
    """Whether an error does not pass by itself."""
    permanent = (PermissionError, NotImplementedError, ImportError, TypeError, ValueError)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return True
    name = type(error).__name__
    return isinstance(error, permanent) or any(part in name for part in PERMANENT_NAMES)


def hide_secrets(text: str) -> str:
    """The first line of a message, without what could be a password."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = hide_passwords(lines[0] if lines else "")
    for name, value in os.environ.items():
        if len(value) >= MIN_SECRET_CHARACTERS and _SECRET_NAMES.search(name):
            shown = shown.replace(value, "***")
    return clean_text(_SECRETS.sub("***", shown), 300, one_line=True).rstrip(".")


def _reason_of(error: BaseException) -> str:
    return hide_secrets(str(error)) or type(error).__name__
