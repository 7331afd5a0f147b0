"""A PostgreSQL database: connections that may be lost, and transactions whose outcome is known.

A server that restarts, or a network that fails, ends connections. A transaction that was not
committed yet can simply be repeated. If the connection is lost during COMMIT, the client does not
know whether the server committed. The server does: `txid_status` says how a recent transaction
ended (https://www.postgresql.org/docs/current/functions-info.html), so no transaction is lost or
done twice.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from ...errors import StoreError

RECONNECT_SECONDS = 600.0
"""How long to wait for a server that cannot be reached."""
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 5.0

TRANSIENT_SQLSTATES = ("40001", "40P01", "23503")
"""Serialization failure, deadlock, and a shared row that another transaction has just removed."""
_NO_RETRY = ("does not exist", "authentication failed", "no pg_hba.conf entry")
"""Refusals of a server that can be reached; waiting does not change them."""

logger = logging.getLogger(__name__)


class PostgresqlServer:
    """A database of a PostgreSQL server.

    Attributes:
        engine: opens connections. One that was lost while it was idle is replaced when it is used.
        name, shown: the URL without password.
        artifacts_parent: the folder that holds the folder of artifacts.
        clock: an SQL expression for seconds since 1970.
    """

    clock = "extract(epoch from clock_timestamp())"

    def __init__(self, url: URL) -> None:
        self.name = self.shown = url.render_as_string(hide_password=True)
        self.engine = _engine(url)
        self._final_error: StoreError | None = None
        self._waiting = threading.Lock()

    @property
    def artifacts_parent(self) -> Path:
        """The working directory: the server may be on another machine."""
        return Path.cwd()

    def databases_beside(self, folder: str) -> list[str]:
        """No names: nobody copies a database of a server by accident."""
        del folder
        return []

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def check_present(self) -> None:
        """Do nothing: a database that was dropped ends its connections."""

    def transaction_id(self, connection: Connection) -> int:
        """The identity of a transaction that writes, by which its outcome can be asked for."""
        return int(connection.execute(text("select txid_current()")).scalar_one())

    def was_committed(self, transaction_id: int) -> bool:
        """Whether a transaction took effect whose connection was lost during COMMIT.

        Waits while the server cannot be reached, or has not noticed yet that the client is gone.

        Raises:
            StoreError: the server stays away.
        """
        query = text("select txid_status(:id)").bindparams(id=transaction_id)
        while True:
            self.wait()
            try:
                with self.engine.connect() as connection:
                    status = connection.execute(query).scalar_one()
            except OperationalError:
                continue
            if status != "in progress":
                return bool(status == "committed")
            time.sleep(MIN_RETRY_SECONDS)

    def wait(self) -> None:
        """Wait until the server can be reached, and say so if it takes longer than a moment.

        Raises:
            StoreError: it cannot be reached for `RECONNECT_SECONDS`, or it refuses the connection.
        """
        with self._waiting:  # One thread waits and says so; the others find out from it.
            self._wait()

    def _wait(self) -> None:
        if self._final_error is not None:
            raise self._final_error
        deadline, delay, announced = time.monotonic() + RECONNECT_SECONDS, MIN_RETRY_SECONDS, False
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
            if time.monotonic() > deadline:
                self._final_error = StoreError(
                    f"{self.shown} could not be reached for {RECONNECT_SECONDS / 60:.0f} minutes "
                    f"({reason}); once it can, continue with `attentune resume`."
                )
                raise self._final_error
            time.sleep(delay)
            delay = min(2 * delay, MAX_RETRY_SECONDS)
        if announced:
            logger.info("%s can be reached again", self.shown)

    def _refusal(self) -> str | None:
        """Why the server cannot be reached now; None if it can.

        Raises:
            StoreError: it can be reached, and does not let us in.
        """
        try:
            with self.engine.connect() as connection:
                connection.execute(text("select 1"))
        except OperationalError as error:
            reason = reason_of(error)
            if any(refusal in reason for refusal in _NO_RETRY):
                self._final_error = StoreError(f"{self.shown} cannot be used: {reason}")
                raise self._final_error from None
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


def is_transient(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed if it is repeated."""
    return was_lost(error) or getattr(error.orig, "sqlstate", None) in TRANSIENT_SQLSTATES


def _engine(url: URL) -> Engine:
    try:
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise StoreError(
            "PostgreSQL needs a driver that is not installed; "
            "run `pip install 'attentune[postgres]'`."
        ) from None
