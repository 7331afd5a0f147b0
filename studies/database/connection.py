"""Opening a database, and its transactions.

A database is one SQLite file (`sqlite_file`) or a PostgreSQL database (`postgresql_server`). Every
transaction begins in `Database.begin`; one that begins inside another is part of it. What a lost
connection has undone is repeated by `Database.retry`, which `retries_lost_connections` puts around
every method of a repository.
"""

from __future__ import annotations

import inspect as python_inspect
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import URL, Connection, Engine, inspect, make_url, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InvalidRequestError,
    PendingRollbackError,
)

from ...errors import StoreError, StudyError
from ...interrupts import defer_interrupts
from ...sanitize import clean_text
from .column_types import DamagedValueError
from .postgresql_server import PostgresqlServer, is_starting, is_transient, reason_of
from .schema import HEAD, READABLE, VERSION_TABLE, Base, LeaseRow
from .sqlite_file import BUSY_SECONDS, DEFAULT, VARIABLE, SqliteFile, sqlite_url

MAX_REPETITIONS = 20
"""A transaction that was lost this often in a row is given up."""

MAX_REVISION_LENGTH = 20
"""Characters of an unknown revision that a message shows."""

Backend = SqliteFile | PostgresqlServer
Mode = Literal["read", "write", "commit"]
T = TypeVar("T")
Repository = TypeVar("Repository", bound=type)
_MIGRATION_LOCK = 0x61747475  # The key of an advisory lock on PostgreSQL: "attu" in ASCII.

logger = logging.getLogger(__name__)


class TransientError(StoreError):
    """A transaction was undone through no fault of its own, and can be repeated."""


@dataclass(frozen=True)
class Fence:
    """The lease that this process has to hold in order to write."""

    study_id: int
    study: str
    token: str

    def error(self) -> StudyError:
        """The error of a process that has lost its lease."""
        return StudyError(
            f"another process has taken over the study {self.study!r}, because this one showed no "
            "sign of life; this process stops, and the other one continues."
        )


class Database:
    """An open database; `Database.open` makes one.

    Attributes:
        backend: the file or the server.
        url: with the password, if it has one.
        read_only: whether it was opened for reading only.
        revision: of its schema: that of this version, or an older one of a database that was opened
            for reading only.
    """

    def __init__(
        self, backend: SqliteFile | PostgresqlServer, url: URL, *, read_only: bool
    ) -> None:
        self.backend, self.url, self.read_only = backend, url, read_only
        self.revision = HEAD
        self._prepared = False
        self._fences: dict[int, Fence] = {}
        self._current = _CurrentTransaction()

    @classmethod
    def open(
        cls, target: str | Path | None, *, create: bool = False, read_only: bool = False
    ) -> Database:
        """Open a database and migrate it to the schema of this version.

        Args:
            target: a path or URL; by default $ATTENTUNE_DB or ./attentune.db.
            create: make the file or the tables if they are missing.
            read_only: never write, and never block a writer.

        Raises:
            StoreError: the database cannot be opened; it says why, and what to do.
        """
        url = locate(target)
        backend: Backend
        if url.drivername == "sqlite":
            backend = SqliteFile(Path(str(url.database)), create=create, read_only=read_only)
        else:
            backend = PostgresqlServer(url)
        database = cls(backend, url, read_only=read_only)
        try:
            database._prepare_when_started(create=create)
            database._prepared = True
        except BaseException:
            database.close()
            raise
        return database

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        return self.backend.engine

    @property
    def shown(self) -> str:
        """The database in messages: a path, or a URL without password."""
        return self.backend.shown

    @contextmanager
    def begin(self, mode: Mode) -> Iterator[Connection]:
        """A transaction, committed at the end and rolled back by an exception.

        Inside another transaction of the same thread, it is a part of that one: both are committed
        together, by the outer one, or not at all.

        Raises:
            TransientError: the connection was lost, and nothing of the transaction took effect.
            StoreError: the database failed, was opened for reading only, or its file is gone.
        """
        if self.read_only and mode != "read":
            raise StoreError(f"{self.shown} was opened for reading only.")
        if self._current.connection is not None:
            with self._current.part():
                yield self._current.connection
            return
        if mode != "read" or isinstance(self.backend, PostgresqlServer):
            self.backend.check_present()
        users = self.backend.users if isinstance(self.backend, SqliteFile) else None
        with (
            self.explained_errors(),
            users.entered() if users is not None else nullcontext(),
            self._transaction(mode) as connection,
            self._current.whole(connection),
        ):
            if mode != "read":
                self._check_fences(connection)
            yield connection

    @contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Raise a StoreError in place of an error of the driver, a TransientError if it is one."""
        try:
            yield
        except DBAPIError as error:
            transient = isinstance(self.backend, PostgresqlServer) and is_transient(error)
            kind = TransientError if transient else StoreError
            raise kind(self._explain(error)) from error
        except PendingRollbackError as error:  # Optuna repeats a statement without its transaction.
            raise TransientError(f"{self.shown} has lost a connection.") from error
        except (DamagedValueError, InvalidRequestError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{self.shown} is damaged, or was changed by another program: {error}. Restore a "
                "copy of it."
            ) from error

    @contextmanager
    def _transaction(self, mode: Mode) -> Iterator[Connection]:
        """A transaction whose outcome is known at the end, even if the connection was lost."""
        backend = self.backend
        was_committed: Callable[[], bool] | None = None
        with self.engine.execution_options(attentune_mode=mode).connect() as connection:
            connection.begin()  # It is rolled back if the connection is closed before the commit.
            # Before the migration, the table of marks may not exist.
            if mode != "read" and self._prepared and isinstance(backend, PostgresqlServer):
                was_committed = backend.mark(connection)
            yield connection
            try:
                connection.commit()
            except DBAPIError:
                if was_committed is None or not was_committed():
                    raise

    def retry(self, function: Callable[[], T]) -> T:
        """Call a function that makes a transaction; repeat it if the connection was lost.

        Raises:
            StoreError: the database failed, or stays away.
        """
        if isinstance(self.backend, SqliteFile) or self._current.connection is not None:
            return function()
        for _ in range(1 if self.read_only else MAX_REPETITIONS):
            try:
                return function()
            except TransientError:
                if not self.read_only:
                    self._wait()
        return function()

    def _wait(self) -> None:
        """Wait until a server can be reached again."""
        if isinstance(self.backend, PostgresqlServer):
            self.backend.wait()

    def set_fence(self, fence: Fence) -> None:
        """From now on, refuse every write once another process has taken over this lease.

        Without it, a process that was stopped or cut off for a while would go on to write after
        another one has taken over its study.
        """
        self._fences[fence.study_id] = fence

    def remove_fence(self, study_id: int) -> None:
        """Write without regard to the lease of this study, which this process is giving up."""
        self._fences.pop(study_id, None)

    def _check_fences(self, connection: Connection) -> None:
        """Raise a StudyError if this process has lost a lease.

        The row is locked until the transaction ends. On SQLite a writing transaction locks the
        whole database; on PostgreSQL, FOR KEY SHARE makes the DELETE of a takeover wait.
        """
        for fence in tuple(self._fences.values()):  # Another thread may add one meanwhile.
            query = select(LeaseRow.study_id).where(
                LeaseRow.study_id == fence.study_id, LeaseRow.token == fence.token
            )
            locked = query.with_for_update(read=True, key_share=True)
            if connection.execute(locked).first() is None:
                raise fence.error()

    @property
    def has_one_clock(self) -> bool:
        """Whether all hosts read the same clock, that of a server."""
        return isinstance(self.backend, PostgresqlServer)

    def clock(self, connection: Connection) -> float:
        """Seconds since 1970 by the database's clock; on SQLite by the clock of this host."""
        return float(connection.execute(text(f"select {self.backend.clock}")).scalar_one())

    def close(self) -> None:
        """Close every connection; an SQLite database is then one file, complete in itself.

        An interrupt takes effect afterwards: SQLAlchemy would print it as an error of closing.
        """
        with defer_interrupts():
            self.backend.close()

    def _prepare_when_started(self, *, create: bool) -> None:
        """Prepare the database; a server that is just being restarted is waited for."""
        while True:
            try:
                return self._prepare(create=create)
            except TransientError as error:
                if not is_starting(error.__cause__):
                    raise
                self._wait()

    def _prepare(self, *, create: bool) -> None:
        with self.begin("read") as connection:
            revision = _revision(connection)
        if revision == HEAD:
            return
        if revision is not None and revision > HEAD:
            raise StoreError(
                f"{self.shown} was written by a newer attentune (schema "
                f"{clean_text(revision, MAX_REVISION_LENGTH, one_line=True)}, this version knows "
                f"{HEAD}); run `pip install -U attentune`."
            )
        if revision is None and not create:
            raise StoreError(
                f"{self.shown} holds no attentune studies; start one with `attentune search`, or "
                f"name another database with --db."
            )
        if self.read_only and revision is not None and revision >= READABLE:
            self.revision = revision
            return
        if self.read_only:
            raise StoreError(
                f"{self.shown} was written by an older attentune (schema {revision}); any command "
                f"that writes, such as `attentune resume`, brings it up to date."
            )
        self._migrate()

    def _migrate(self) -> None:
        # Imported here, because opening an up-to-date database does not need Alembic.
        from alembic import command
        from alembic.config import Config

        if isinstance(self.backend, SqliteFile):
            with self.engine.connect().execution_options(attentune_mode="none") as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        config = Config()
        config.set_main_option(
            "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
        )
        with self.begin("commit") as connection:
            if isinstance(self.backend, PostgresqlServer):
                connection.execute(text(f"select pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            revision = _revision(connection)  # Another process may have been first.
            if isinstance(self.backend, SqliteFile) and revision not in (None, HEAD):
                copy = self.backend.back_up(str(revision))
                logger.info(
                    "%s is brought up to date; %s is a copy of it as it was", self.shown, copy.name
                )
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)

    def _explain(self, error: DBAPIError) -> str:
        reason = reason_of(error)
        lowered = reason.lower()
        if "locked" in lowered:
            return (
                f"{self.shown} was locked by another program for {BUSY_SECONDS} seconds; "
                f"close that program and try again."
            )
        if "not a database" in lowered or "malformed" in lowered or "decode to utf-8" in lowered:
            return f"{self.shown} is damaged, or it is not an SQLite database ({reason})."
        if "readonly" in lowered or "unable to open" in lowered:
            return f"{self.shown} cannot be opened or written ({reason}); check its permissions."
        if "full" in lowered:
            return f"{self.shown} cannot be written, because the disk is full; free some space."
        return f"{self.shown} cannot be used: {reason}"


class _CurrentTransaction(threading.local):
    """The transaction of this thread.

    Attributes:
        connection: None outside a transaction.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self._failure: BaseException | None = None

    @contextmanager
    def whole(self, connection: Connection) -> Iterator[None]:
        """A transaction that begins and ends with the block."""
        self.connection, self._failure = connection, None
        try:
            yield
            if self._failure is not None:
                raise self._failure  # A part was undone, so the rest must not be committed.
        finally:
            self.connection = None

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part of the transaction; the whole fails if it raises."""
        try:
            yield
        except BaseException as error:
            self._failure = error
            raise


def retries_lost_connections(repository: Repository) -> Repository:
    """Decorate a class that has a `_database`: its methods are repeated after a lost connection.

    Every method makes one transaction, so that it can be repeated. Generators are left out, because
    they have handed out rows already.
    """
    for name, method in list(vars(repository).items()):
        is_public_method = python_inspect.isfunction(method) and not name.startswith("_")
        if is_public_method and not python_inspect.isgeneratorfunction(method):
            setattr(repository, name, _repeated(method))
    return repository


def _repeated(method: Callable[..., T]) -> Callable[..., T]:
    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> T:
        database: Database = self._database
        return database.retry(lambda: method(self, *arguments, **options))

    return call


def insert_if_new(connection: Connection, row: type[Base], **values: Any) -> None:
    """Insert a row unless its key exists.

    Two coordinators may insert the same row of a table that all studies share.

    Args:
        connection: inside a transaction.
        row: the class of the row.
        **values: its columns.
    """
    insert_all_if_new(connection, row, [values])


def insert_all_if_new(
    connection: Connection, row: type[Base], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows unless their keys exist; as `insert_if_new`.

    Args:
        connection: inside a transaction.
        row: the class of the rows.
        rows: their columns.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(row).on_conflict_do_nothing(), list(rows))


def locate(target: str | Path | None) -> URL:
    """The SQLAlchemy URL for a path or a URL; for None, that of the default database.

    Raises:
        StoreError: the URL cannot be read, or names a kind of database that is not supported.
    """
    address = target if target is not None else os.environ.get(VARIABLE) or DEFAULT
    if isinstance(address, Path) or "://" not in address:
        return sqlite_url(Path(address))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise StoreError(
            "the database URL cannot be read; it looks like "
            "postgresql://user:password@host:5432/name, or is a path such as attentune.db."
        ) from None
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError(
                "a database in memory would be lost when the process ends; name a file, such as "
                "attentune.db."
            )
        return sqlite_url(Path(url.database))
    if kind not in ("postgresql", "postgres"):
        raise StoreError(f"{kind} is not supported; use an SQLite path or a postgresql:// URL.")
    if not url.database:
        raise StoreError(
            "the database URL names no database; it looks like "
            "postgresql://user:password@host:5432/name."
        )
    return url.set(drivername="postgresql+psycopg")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: Any = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar()
    return None if revision is None else str(revision)
