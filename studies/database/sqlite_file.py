"""An SQLite database: its file, its journal mode, and what is beside it.

By default, SQLite's driver begins a transaction only before the first write, and never with
IMMEDIATE. That is switched off, and every transaction begins here:

    read      BEGIN             never blocks a writer and is never blocked by one
    write     BEGIN IMMEDIATE   synchronous=NORMAL: survives a crash of the process
    commit    BEGIN IMMEDIATE   synchronous=FULL: survives a loss of power, for results

In WAL mode, changes are first written to a second file, `NAME-wal`. When the database is closed,
they are moved to the database itself, so that the database is one file that can be copied.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast
from urllib.parse import quote
from weakref import WeakSet, finalize

from sqlalchemy import URL, Connection, QueuePool, create_engine, event

from ...errors import MissingStorageError, StoreError
from ...files import atomic_write

DEFAULT = "attentune.db"
VARIABLE = "ATTENTUNE_DB"
BUSY_SECONDS = 30
CLOSING_BUSY_SECONDS = 5
"""How long closing a database waits for readers of older states of it."""

_BEGIN = {
    "read": ("BEGIN",),
    "write": ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE"),
    "commit": ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE"),
}
BACKUP_SUFFIX = ".backup"
_MAGIC = b"SQLite format 3\0"


def sqlite_url(path: Path) -> URL:
    """The URL of a database file. A symbolic link stands for the file that it leads to.

    SQLite keeps its journal beside the file itself, so the artifacts are kept there too.

    Raises:
        StoreError: the path cannot be that of a file.
    """
    try:
        return URL.create("sqlite", database=str(path.expanduser().resolve()))
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a null character
        raise StoreError(f"{str(path)!r} cannot be the path of a database: {error}.") from None


class Users:
    """The threads that are in a transaction."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._threads: Counter[int] = Counter()
        self._excluded = False

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Count this thread during a `with` block."""
        thread = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._excluded)
            self._threads[thread] += 1
        try:
            yield
        finally:
            with self._changed:
                self._threads[thread] -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def excluded(self, seconds: float) -> Iterator[bool]:
        """Let no other thread begin a transaction during a `with` block.

        Args:
            seconds: how long to wait for those that are in one.

        Yields:
            Whether no other thread is in a transaction.
        """
        own = threading.get_ident()

        def alone() -> bool:
            return not any(count for thread, count in self._threads.items() if thread != own)

        with self._changed:
            self._excluded = True
            try:
                yield self._changed.wait_for(alone, seconds)
            finally:
                self._excluded = False
                self._changed.notify_all()


class _OpenConnection(sqlite3.Connection):
    """A connection that can be referred to weakly."""


class SqliteFile:
    """A database in one file.

    Attributes:
        engine: opens connections, and begins transactions as described above.
        name: identifies the database among those beside it.
        shown: the database in messages.
        artifacts_parent: the folder that holds the folder of artifacts.
        clock: an SQL expression for seconds since 1970.
    """

    clock = "(julianday('now') - 2440587.5) * 86400.0"

    def __init__(self, path: Path, *, create: bool, read_only: bool) -> None:
        """Check the file and make an engine for it.

        Args:
            path: of the file.
            create: whether the file may be missing.
            read_only: whether statements that write are refused.

        Raises:
            StoreError: the file cannot be used; it says why, and what to do.
        """
        _check_file(path, create=create, read_only=read_only)
        self.path, self.read_only, self._may_create = path, read_only, create
        self.name, self.shown, self.artifacts_parent = path.name, str(path), path.parent
        self._identity: tuple[int, int] | None = None
        self._open_connections: WeakSet[sqlite3.Connection] = WeakSet()
        self.users = Users()
        # Called at the latest when Python ends, for what an interrupt kept from being closed.
        finalize(self, _close_all, self._open_connections, self.users)
        self.engine = create_engine("sqlite://", creator=self.connect, poolclass=QueuePool)
        event.listen(self.engine, "begin", _begin)

    def connect(self) -> sqlite3.Connection:
        """A new connection of the driver, without the driver's own transactions.

        Raises:
            sqlite3.OperationalError: the file cannot be opened, or another one is in its place.
        """
        if not self.present:
            raise sqlite3.OperationalError("unable to open database file")
        connection = sqlite3.connect(
            self._address(),
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=_OpenConnection,
        )
        self._open_connections.add(connection)
        connection.execute("PRAGMA foreign_keys=ON")
        if self.read_only:
            connection.execute("PRAGMA query_only=ON")
        if self._identity is None:
            self._identity = self._present_identity()
        return connection

    def _address(self) -> str:
        """The URI that SQLite opens.

        A connection that may not write leaves the journal behind when it is closed, so a reader
        that may write to the file opens it as a writer does; `query_only` refuses its changes.
        """
        address = f"file:{quote(os.fsencode(self.path))}?mode="
        if not self.read_only:
            # A file that has been open and is gone must not be replaced by an empty one.
            return (
                f"{address}rwc" if self._may_create and self._identity is None else f"{address}rw"
            )
        if os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK):
            return f"{address}rw"
        if self._wal.exists() or os.access(self.path.parent, os.W_OK):
            return f"{address}ro"
        # Reading a WAL database creates files beside it, unless it is declared immutable.
        return f"{address}ro&immutable=1"

    @property
    def _wal(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def _present_identity(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @property
    def present(self) -> bool:
        """Whether the path still leads to the file that was opened."""
        return self._identity is None or self._present_identity() == self._identity

    def check_present(self) -> None:
        """Check that the file is where it was.

        SQLite would go on writing to a file that was deleted, renamed or replaced.

        Raises:
            MissingStorageError: it is not.
        """
        if not self.present:
            what = "replaced by another file" if self.path.exists() else "removed or moved"
            raise MissingStorageError(
                f"{self.shown} was {what} while it was in use; put it back, with its artifacts "
                "beside it, then continue with `attentune resume`."
            )

    def databases_beside(self, folder: str) -> list[str]:
        """The names of other databases in this folder that hold the study of a folder.

        They are copies of this one, and use the same artifacts. The backups before a migration do
        not count.
        """
        names = []
        for path in sorted(self.path.parent.iterdir()):
            if path == self.path or path.suffix == BACKUP_SUFFIX or not _is_sqlite(path):
                continue
            address = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
            query = "SELECT 1 FROM attentune_studies WHERE folder = ?"
            with (
                contextlib.suppress(sqlite3.Error),
                closing(sqlite3.connect(address, uri=True)) as connection,
            ):
                if connection.execute(query, (folder,)).fetchone():
                    names.append(path.name)
        return names

    def size(self) -> int:
        """Bytes of the database and of what has not been moved into it yet."""
        return sum(file.stat().st_size for file in (self.path, self._wal) if file.exists())

    def close(self) -> None:
        """Close every connection; the database is then complete in its one file.

        If another process has it open, its journal stays, but everything is in the file as well,
        unless that process reads an older state for longer than `CLOSING_BUSY_SECONDS`.
        """
        if self.present:
            self._close_connections()
            if not self.read_only and self._wal.exists():
                with contextlib.suppress(sqlite3.Error), closing(self.connect()) as connection:
                    _empty_journal(connection)
        else:
            self._leave_moved_file()

    def _close_connections(self) -> None:
        """Close every connection, also one that an interrupt has kept from going back to its pool.

        SQLite removes its journal only when the last connection of all processes is closed.
        """
        self.engine.dispose()
        _close_all(self._open_connections, self.users)

    def _leave_moved_file(self) -> None:
        """Complete a file that was moved, and empty the journal that it has left behind.

        SQLite would apply that journal to whatever file is put in the old place.
        """
        pool = self.engine.pool
        if isinstance(pool, QueuePool) and pool.checkedin() and not self.read_only:
            with contextlib.suppress(sqlite3.Error), closing(pool.connect()) as connection:
                _empty_journal(cast(sqlite3.Connection, connection.driver_connection))
        self._close_connections()

    def compact(self) -> None:
        """Give the space of removed studies back to the file system."""
        with self.engine.connect().execution_options(attentune_mode="none") as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def back_up(self, revision: str) -> Path:
        """Copy the database to a new file beside it, named after the revision of its tables.

        Raises:
            StoreError: it cannot be copied.
        """
        copies = (
            self.path.with_name(f"{self.path.name}.{revision}{number}{BACKUP_SUFFIX}")
            for number in ("", *(f"-{count}" for count in range(2, 1000)))
        )
        copy = next(path for path in copies if not path.exists())
        try:
            with (
                atomic_write(copy) as draft,
                closing(self.connect()) as source,
                closing(sqlite3.connect(draft)) as target,
            ):
                source.backup(target)
                target.execute("PRAGMA journal_mode=DELETE")
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{self.shown} has to be brought up to date, and cannot be copied to {copy.name} "
                f"first ({error}); nothing was changed."
            ) from error
        return copy


def _close_all(connections: Iterable[sqlite3.Connection], users: Users) -> None:
    """Close connections, unless another thread is still using one: SQLite would crash."""
    with users.excluded(CLOSING_BUSY_SECONDS) as alone:
        for connection in list(connections) if alone else ():
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _empty_journal(connection: sqlite3.Connection) -> None:
    """Move what is in the journal to the database. If that fails, it stays, and nothing is lost."""
    connection.execute(f"PRAGMA busy_timeout={1000 * CLOSING_BUSY_SECONDS}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("attentune_mode", "read")
    for statement in _BEGIN.get(mode, ()):
        connection.exec_driver_sql(statement)


def _check_file(path: Path, *, create: bool, read_only: bool) -> None:
    try:
        is_folder = path.is_dir()
    except OSError as error:  # The name is too long.
        raise StoreError(f"{path} cannot be a database: {error.strerror}.") from None
    if is_folder:
        raise StoreError(f"{path} is a folder; name a file in it, such as {path / DEFAULT}.")
    if path.exists() and not path.is_file():
        raise StoreError(
            f"{path} is not a regular file; name another file with --db or {VARIABLE}."
        )
    if not path.parent.is_dir():
        raise StoreError(f"the folder {path.parent} does not exist; make it first.")
    if not path.exists():
        if not create or read_only:
            raise StoreError(
                f"there is no database {path}; start a study with `attentune search`, or name "
                f"the right file with --db or {VARIABLE}."
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise StoreError(f"the folder {path.parent} is not writable; choose another with --db.")
        return
    _check_content(path)
    if read_only:
        return
    # SQLite writes its journal beside the file, so the folder must be writable too.
    for needed in (path, path.parent):
        if not os.access(needed, os.W_OK):
            raise StoreError(
                f"{needed} is not writable; change its permissions, or copy the database elsewhere."
            )


def _is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database; False if it cannot be read."""
    try:
        return path.is_file() and _head(path) == _MAGIC
    except OSError:
        return False


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_MAGIC))


def _check_content(path: Path) -> None:
    try:
        head = _head(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from None
    if head not in (b"", _MAGIC):
        raise StoreError(
            f"{path} is no SQLite database; name another file with --db or {VARIABLE}."
        )
