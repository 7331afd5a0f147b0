"""PostgreSQL for tests: a new database on the server of the run, or a server of the test's own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

POSTGRES = os.environ.get("ATTENTUNE_TEST_POSTGRES")
"""The URL of a database that tests may write to; None if there is none."""
needs_postgres = pytest.mark.skipif(not POSTGRES, reason="ATTENTUNE_TEST_POSTGRES is not set")
DATABASES = ["sqlite", pytest.param("postgres", marks=needs_postgres)]
"""Values of a test's parameter: the kinds of database that `new_database` makes."""


@contextmanager
def new_database(kind: str, folder: Path, name: str = "attentune") -> Iterator[str]:
    """Where a new database can be made: a path, or a PostgreSQL URL with a schema of its own.

    Args:
        kind: `sqlite` or `postgres`.
        folder: of an SQLite file.
        name: of an SQLite file, without suffix.
    """
    if kind == "sqlite":
        yield str(folder / f"{name}.db")
        return
    import sqlalchemy

    assert POSTGRES
    url = sqlalchemy.make_url(POSTGRES).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    schema = f"test_{secrets.token_hex(6)}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create schema {schema}")
    url = url.update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"drop schema {schema} cascade")
    engine.dispose()


class Server:
    """A server of its own, which listens to a socket in its folder.

    Attributes:
        url: of its database.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self._programs = folder, programs
        self.url = f"postgresql://attentune@/postgres?host={folder}"
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
            shutil.chown(folder, "postgres")
        self._run("initdb --auth trust --username attentune --no-sync")
        self.start()

    def _run(self, command: str) -> None:
        line = f"{self._programs}/{command} --pgdata {self.folder}/data"
        words = ["su", "postgres", "-c", line] if os.geteuid() == 0 else ["sh", "-c", line]
        # The server inherits the streams, so they must not be pipes that are read to their end.
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def _options(self) -> str:
        return (
            f"--wait --log {self.folder}/log "
            f"--options '-k {self.folder} -c listen_addresses= -c fsync=off'"
        )

    def start(self) -> None:
        """Start it; after a crash it recovers from its log."""
        self._run(f"pg_ctl start {self._options}")

    def crash(self) -> None:
        """End it without writing anything."""
        self._run("pg_ctl stop --mode immediate")

    def restart(self) -> None:
        """End it without writing anything, and start it again."""
        self._run(f"pg_ctl restart --mode immediate {self._options}")


@contextmanager
def new_server() -> Iterator[Server]:
    """A server of its own during a `with` block; the test is skipped where there is none."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp())  # The path of a socket is short.
    server = Server(folder, programs[-1])
    try:
        yield server
    finally:
        server.crash()
        shutil.rmtree(folder)
