"""Opening a database: finding it, checking it, and beginning its transactions.

A database is one SQLite file in WAL mode, or one PostgreSQL database. By default, SQLite's driver
begins a transaction only before the first write, and never with IMMEDIATE. That is switched off,
and every transaction begins here:

    read      BEGIN             never blocks a writer and is never blocked by one
    write     BEGIN IMMEDIATE   synchronous=NORMAL: survives a crash of the process
    commit    BEGIN IMMEDIATE   synchronous=FULL: survives a loss of power, for results
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    QueuePool,
    create_engine,
    event,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError

from ...errors import StoreError, StudyError
from .schema import HEAD, READABLE, VERSION_TABLE, Base, LeaseRow

DEFAULT = "attentune.db"
VARIABLE = "ATTENTUNE_DB"
BUSY_SECONDS = 30
ARTIFACTS = "attentune.artifacts"

Mode = Literal["read", "write", "commit"]
_BEGIN = {
    "read": ("BEGIN",),
    "write": ("PRAGMA synchronous=NORMAL", "BEGIN IMMEDIATE"),
    "commit": ("PRAGMA synchronous=FULL", "BEGIN IMMEDIATE"),
}
_MIGRATION_LOCK = 0x61747475  # The key of an advisory lock on PostgreSQL: "attu" in ASCII.


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
        engine: its connections.
        url: with the password, if it has one.
        shown: the database in messages, without password.
        read_only: whether it was opened for reading only.
        revision: of its schema: that of this version, or an older one of a database that was opened
            for reading only.
    """

    def __init__(self, engine: Engine, url: URL, shown: str, *, read_only: bool) -> None:
        self.engine, self.url, self.shown, self.read_only = engine, url, shown, read_only
        self.revision = HEAD
        self._fences: dict[int, Fence] = {}

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
        if url.drivername == "sqlite":
            path = Path(str(url.database))
            _check_file(path, create=create, read_only=read_only)
            database = cls(_sqlite(path, read_only), url, str(path), read_only=read_only)
        else:
            shown = url.render_as_string(hide_password=True)
            database = cls(_postgresql(url), url, shown, read_only=read_only)
        try:
            database._prepare(create=create)
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def begin(self, mode: Mode) -> Iterator[Connection]:
        """A transaction, committed at the end and rolled back by an exception.

        Raises:
            StoreError: the database failed, or was opened for reading only.
        """
        if self.read_only and mode != "read":
            raise StoreError(f"{self.shown} was opened for reading only.")
        try:
            with self.engine.execution_options(attentune_mode=mode).begin() as connection:
                if mode != "read":
                    self._check_fences(connection)
                yield connection
        except DBAPIError as error:
            raise StoreError(self._explain(error)) from error

    def set_fence(self, fence: Fence) -> None:
        """From now on, refuse every write once another process has taken over this lease.

        Without it, a process that was stopped or cut off for a while would go on to write after
        another one has taken over its study.
        """
        self._fences[fence.study_id] = fence

    def remove_fence(self, study_id: int) -> None:
        """Write without regard to the lease of this study, which this process is giving up."""
        self._fences.pop(study_id, None)

    def fence_commits(self, engine: Engine) -> None:
        """Let the fences refuse the commits of another engine of this database, Optuna's."""
        event.listen(engine, "commit", self._check_fences)

    def _check_fences(self, connection: Connection) -> None:
        """Raise a StudyError if this process has lost a lease.

        The row is locked until the transaction ends. On SQLite a writing transaction locks the
        whole database; on PostgreSQL, FOR KEY SHARE makes the DELETE of a takeover wait.
        """
        for fence in self._fences.values():
            query = select(LeaseRow.study_id).where(
                LeaseRow.study_id == fence.study_id, LeaseRow.token == fence.token
            )
            locked = query.with_for_update(read=True, key_share=True)
            if connection.execute(locked).first() is None:
                raise fence.error()

    @property
    def has_one_clock(self) -> bool:
        """Whether all hosts read the same clock, that of a server."""
        return self.url.drivername != "sqlite"

    def clock(self, connection: Connection) -> float:
        """Seconds since 1970 by the database's clock; on SQLite by the clock of this host."""
        julian = "(julianday('now') - 2440587.5) * 86400.0"
        epoch = "extract(epoch from clock_timestamp())"
        expression = julian if self.url.drivername == "sqlite" else epoch
        return float(connection.execute(text(f"select {expression}")).scalar_one())

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _prepare(self, *, create: bool) -> None:
        with self.begin("read") as connection:
            revision = _revision(connection)
        if revision == HEAD:
            return
        if revision is not None and revision > HEAD:
            raise StoreError(
                f"{self.shown} was written by a newer attentune (schema {revision}, this version "
                f"knows {HEAD}); run `pip install -U attentune`."
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

        if self.url.drivername == "sqlite":
            with self.engine.connect().execution_options(attentune_mode="none") as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        config = Config()
        config.set_main_option(
            "script_location", str(Path(__file__).parent / "migrations").replace("%", "%%")
        )
        with self.begin("commit") as connection:
            if self.url.drivername != "sqlite":
                connection.execute(text(f"select pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)

    def _explain(self, error: DBAPIError) -> str:
        reason = str(error.orig).strip().splitlines()[0] if error.orig else type(error).__name__
        lowered = reason.lower()
        if "locked" in lowered:
            return (
                f"{self.shown} was locked by another program for {BUSY_SECONDS} seconds; "
                f"close that program and try again."
            )
        if "not a database" in lowered or "malformed" in lowered:
            return f"{self.shown} is damaged, or it is not an SQLite database ({reason})."
        if "readonly" in lowered or "unable to open" in lowered:
            return f"{self.shown} cannot be opened or written ({reason}); check its permissions."
        if "full" in lowered:
            return f"{self.shown} cannot be written, because the disk is full; free some space."
        return f"{self.shown} cannot be used: {reason}"


def insert_if_new(connection: Connection, row: type[Base], **values: Any) -> None:
    """Insert a row unless its key exists.

    Two coordinators may insert the same row of a table that all studies share.

    Args:
        connection: inside a transaction.
        row: the class of the row.
        **values: its columns.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(row).values(**values).on_conflict_do_nothing())


def locate(target: str | Path | None) -> URL:
    """The SQLAlchemy URL for a path or a URL; for None, that of the default database.

    Raises:
        StoreError: the URL cannot be read, or names a kind of database that is not supported.
    """
    address = target if target is not None else os.environ.get(VARIABLE) or DEFAULT
    if isinstance(address, Path) or "://" not in address:
        return _sqlite_url(Path(address))
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
        return _sqlite_url(Path(url.database))
    if kind not in ("postgresql", "postgres"):
        raise StoreError(f"{kind} is not supported; use an SQLite path or a postgresql:// URL.")
    if not url.database:
        raise StoreError(
            "the database URL names no database; it looks like "
            "postgresql://user:password@host:5432/name."
        )
    return url.set(drivername="postgresql+psycopg")


def _sqlite_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path.expanduser().absolute()))


def _check_file(path: Path, *, create: bool, read_only: bool) -> None:
    if path.is_dir():
        raise StoreError(f"{path} is a folder; name a file in it, such as {path / DEFAULT}.")
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


def _check_content(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from None
    if head not in (b"", b"SQLite format 3\0"):
        raise StoreError(
            f"{path} is no SQLite database; name another file with --db or {VARIABLE}."
        )


def _sqlite(path: Path, read_only: bool) -> Engine:
    address = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rwc'}"
    wal = path.with_name(path.name + "-wal")
    if read_only and not wal.exists() and not os.access(path.parent, os.W_OK):
        # Reading a WAL database creates files beside it, unless it is declared immutable.
        address += "&immutable=1"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            address,
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get("attentune_mode", "read")
        for statement in _BEGIN.get(mode, ()):
            connection.exec_driver_sql(statement)

    return engine


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise StoreError(
            "PostgreSQL needs a driver that is not installed; "
            "run `pip install 'attentune[postgres]'`."
        ) from None


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: Any = connection.execute(text(f"select version_num from {VERSION_TABLE}")).scalar()
    return None if revision is None else str(revision)
