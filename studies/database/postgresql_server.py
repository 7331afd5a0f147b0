"""A PostgreSQL database: connections that may be lost, and transactions whose outcome is known.

A server that restarts, or a network that fails, ends connections. A transaction that was not
committed yet can simply be repeated. If the connection is lost during COMMIT, the client does not
know whether the server committed. Therefore every transaction that writes also writes its number to
`attentune_writers`, in a row of its thread, where the number can be looked up afterwards. So no
transaction is lost or done twice. (PostgreSQL's own `txid_status` does not say it: a server that
crashes may use the number of a transaction that it has lost for another one.)
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from ...errors import InterruptedWaitError, StoreError

RECONNECT_SECONDS = 600.0
"""How long to wait for a server that cannot be reached."""
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 5.0
STOPPING_SECONDS = 10.0
"""How long a process that is to stop goes on to wait for a server that cannot be reached."""
PAUSE_SECONDS = 0.2
"""How soon a wait ends once it is given up."""
LOCK_SECONDS = 5
"""How long to wait at once for a transaction whose outcome is not known."""
IDLE_SECONDS = 60
"""The server ends a transaction of a client that has said nothing for so long."""
WRITER_SECONDS = 7 * 86400
"""A row of a writer is removed when it is so old; its process was killed."""

TRANSIENT_SQLSTATES = ("40001", "40P01", "23503")
"""Serialization failure, deadlock, and a shared row that another transaction has just removed."""
_NO_RETRY = ("does not exist", "authentication failed", "no pg_hba.conf entry")
"""Refusals of a server that can be reached; waiting does not change them."""
_STARTING = "the database system is"
"""Begins the refusal of a server that starts, recovers or shuts down."""

_MARK = """
    insert into attentune_writers (writer, number, written_at)
    values (:writer, :number, extract(epoch from clock_timestamp()))
    on conflict (writer) do update set {updated} = excluded.{updated}
"""
"""Write the number of a transaction; or, with `written_at`, only lock the row of its thread."""
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's parameters for noticing that a server is gone without a word, in seconds and ms."""

logger = logging.getLogger(__name__)


class _WriterThread(threading.local):
    """A thread that writes.

    Attributes:
        name: no other thread of any process has it.
        number: how many transactions it has begun.
    """

    def __init__(self, token: str) -> None:
        self.name, self.number = f"{token}-{threading.get_native_id()}", 0


class PostgresqlServer:
    """A database of a PostgreSQL server.

    Attributes:
        engine: opens connections. One that was lost while it was idle is replaced when it is used.
        name: the URL without password; it identifies the database.
        shown: the same as a user writes it.
        artifacts_parent: the folder that holds the folder of artifacts.
        clock: an SQL expression for seconds since 1970.
    """

    clock = "extract(epoch from clock_timestamp())"

    def __init__(self, url: URL) -> None:
        self.name = url.render_as_string(hide_password=True)
        self.shown = url.set(drivername="postgresql").render_as_string(hide_password=True)
        self.engine = _engine(url)
        # The server may be on another machine. A program may change its folder later.
        self.artifacts_parent = Path.cwd()
        self._final_error: StoreError | None = None
        self._waiting = threading.Lock()
        self._stopping_since: float | None = None
        self._stop_announced = False
        self._token = secrets.token_hex(8)
        self._thread = _WriterThread(self._token)

    def databases_beside(self, folder: str) -> list[str]:
        """No names: nobody copies a database of a server by accident."""
        del folder
        return []

    def close(self) -> None:
        """Close every connection."""
        if self._thread.number and self._final_error is None:
            with suppress(DBAPIError), self.engine.begin() as connection:
                outdated = f"written_at < {self.clock} - {WRITER_SECONDS}"
                query = f"delete from attentune_writers where writer like :writers or {outdated}"
                connection.execute(text(query), {"writers": f"{self._token}-%"})
        self.engine.dispose()

    def check_present(self) -> None:
        """Check that the wait for the server was not given up.

        A database that was dropped needs no check, because the server ends its connections.

        Raises:
            StoreError: it was.
        """
        if self._final_error is not None:
            raise self._final_error

    def stop_waiting(self) -> None:
        """From now on, wait for at most `STOPPING_SECONDS`; a signal handler may call this."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()

    def mark(self, connection: Connection) -> Callable[[], bool]:
        """Mark a transaction that writes; return a function for `was_committed`.

        Args:
            connection: in the transaction, before anything else is written.
        """
        writer = self._thread.name
        self._thread.number = number = self._thread.number + 1
        values = {"writer": writer, "number": number}
        connection.execute(text(_MARK.format(updated="number")), values)
        return partial(self.was_committed, writer, number)

    def was_committed(self, writer: str, number: int) -> bool:
        """Whether a transaction took effect whose connection was lost during COMMIT.

        Waits while the server cannot be reached, and while the transaction may still take effect,
        because the server has not noticed yet that the client is gone.

        Args:
            writer: the thread of the transaction.
            number: of the transaction among those of the thread.

        Raises:
            StoreError: the server stays away.
        """
        while True:
            self.wait()
            # This changes the row that the transaction changed, so it waits for the transaction.
            query = text(f"{_MARK.format(updated='written_at')} returning number")
            try:
                with self.engine.begin() as connection:
                    connection.execute(text(f"set local lock_timeout = '{LOCK_SECONDS}s'"))
                    values = {"writer": writer, "number": 0}
                    return bool(connection.execute(query, values).scalar_one() == number)
            except OperationalError as error:
                logger.debug("the outcome of a transaction is not known yet: %s", error)

    def wait(self) -> None:
        """Wait until the server can be reached, and say so if it takes longer than a moment.

        Raises:
            StoreError: it cannot be reached for `RECONNECT_SECONDS`, or it refuses the connection.
        """
        try:
            with self._waiting:  # One thread waits and says so; the others find out from it.
                self._wait()
        except KeyboardInterrupt:
            self._give_up(InterruptedWaitError(f"{self.shown} cannot be reached."))
            raise

    def _wait(self) -> None:
        self.check_present()
        started, delay, announced = time.monotonic(), MIN_RETRY_SECONDS, False
        self.engine.dispose()
        while (reason := self._refusal()) is not None:
            if not announced:
                announced = True
                logger.warning(
                    "%s cannot be reached (%s); waiting for it, for up to %.0f minutes",
                    self.shown,
                    reason,
                    RECONNECT_SECONDS / 60,
                )
            self._pause(delay, started, reason)
            delay = min(2 * delay, MAX_RETRY_SECONDS)
        if announced:
            logger.info("%s can be reached again", self.shown)

    def _pause(self, delay: float, started: float, reason: str) -> None:
        """Wait before the next attempt to reach the server.

        Args:
            delay: seconds until the attempt.
            started: the time of `time.monotonic` at which the wait for the server has begun.
            reason: why it could not be reached.

        Raises:
            StoreError: it could not be reached for too long, or the wait was given up.
        """
        ends = time.monotonic() + delay
        while (now := time.monotonic()) < ends:
            self.check_present()  # Another thread may have been interrupted.
            since = self._stopping_since
            if since is not None and not self._stop_announced:
                self._stop_announced = True
                logger.info(
                    "stopping: %s has %.0f more seconds to come back; another Ctrl-C ends at once",
                    self.shown,
                    STOPPING_SECONDS,
                )
            if since is not None and now - max(started, since) > STOPPING_SECONDS:
                raise self._give_up(
                    InterruptedWaitError(
                        f"{self.shown} cannot be reached ({reason}), and the wait for it was "
                        "interrupted."
                    )
                )
            if now - started > RECONNECT_SECONDS:
                raise self._give_up(
                    StoreError(
                        f"{self.shown} could not be reached for {RECONNECT_SECONDS / 60:.0f} "
                        f"minutes ({reason}); once it can, continue with `attentune resume`."
                    )
                )
            time.sleep(min(PAUSE_SECONDS, ends - now))

    def _give_up(self, error: StoreError) -> StoreError:
        """Let no thread wait any more; the error of the first one that gave up is that of all."""
        if self._final_error is None:
            self._final_error = error
        return self._final_error

    def _refusal(self) -> str | None:
        """Why the server cannot be reached now; None if it can.

        Raises:
            StoreError: it can be reached, and does not let us in.
        """
        try:
            with self.engine.connect() as connection:
                connection.execute(text("select 1"))
        except OperationalError as refusal:
            reason = reason_of(refusal)
            if any(final in reason for final in _NO_RETRY):
                error = StoreError(f"{self.shown} cannot be used: {reason}")
                raise self._give_up(error) from None
            return reason
        return None


def reason_of(error: DBAPIError) -> str:
    """The driver's message, on one line."""
    reason = str(error.orig).strip().splitlines() if error.orig else []
    return reason[0] if reason else type(error).__name__


def was_lost(error: DBAPIError) -> bool:
    """Whether an error says that a connection was lost or could not be made."""
    return error.connection_invalidated or (
        isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) is None
    )


def is_starting(error: BaseException | None) -> bool:
    """Whether an error says that a server is just being started, or restarted."""
    return isinstance(error, DBAPIError) and _STARTING in str(error.orig)


def is_transient(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed if it is repeated."""
    return was_lost(error) or getattr(error.orig, "sqlstate", None) in TRANSIENT_SQLSTATES


def _engine(url: URL) -> Engine:
    parameters = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    try:
        engine = create_engine(url, pool_pre_ping=True, connect_args=parameters)
    except ModuleNotFoundError:
        raise StoreError(
            "PostgreSQL needs a driver that is not installed; "
            "run `pip install 'attentune[postgres]'`."
        ) from None
    event.listen(engine, "connect", _limit_idle_transactions)
    return engine


def _limit_idle_transactions(connection: Any, _record: object) -> None:
    """Let the server undo a transaction, and release its locks, if the client is gone."""
    with connection.cursor() as cursor:
        cursor.execute(f"set idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
    connection.commit()
