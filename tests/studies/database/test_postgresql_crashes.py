"""A PostgreSQL server that crashes again and again while it is written to."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store

pytestmark = pytest.mark.slow

SECONDS = 20.0
SECONDS_BETWEEN_CRASHES = 0.7


class Server:
    """A server of its own, which listens to a socket in its folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self._programs = folder, programs
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
            shutil.chown(folder, "postgres")
        self._run("initdb --auth trust --username attentune --no-sync")
        self.start()

    def _run(self, command: str) -> None:
        line = f"{self._programs}/{command} --pgdata {self.folder}/data"
        words = ["su", "postgres", "-c", line] if os.geteuid() == 0 else ["sh", "-c", line]
        # The server inherits the streams, so they must not be pipes that are read to their end.
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        self._run(f"pg_ctl start --wait --log {self.folder}/log --options '{options}'")

    def crash(self) -> None:
        """End without writing anything; the next start recovers from the log."""
        self._run("pg_ctl stop --mode immediate")


@pytest.fixture
def server() -> Iterator[Server]:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp())
    server = Server(folder, programs[-1])
    yield server
    server.crash()
    shutil.rmtree(folder)


def test_what_was_acknowledged_is_there_exactly_once(server: Server) -> None:
    """Every addition counts, so one that is lost or made twice changes the sum."""
    acknowledged = [0, 0]
    with Store.open(f"postgresql://attentune@/postgres?host={server.folder}", create=True) as store:
        study = store.studies.create(
            "s", backbone="resnet18", objectives=("accuracy",), config={}, seed=0
        )
        for number in (0, 1):
            store.trials.start(study, number, parse("resnet18"), seed=number)
        ends, crashes = time.monotonic() + SECONDS, 0

        def write(number: int) -> None:
            while time.monotonic() < ends:
                store.trials.add_seconds(study, number, 1.0)
                acknowledged[number] += 1

        writers = [threading.Thread(target=write, args=(number,)) for number in (0, 1)]
        for writer in writers:
            writer.start()
        while time.monotonic() < ends:
            time.sleep(SECONDS_BETWEEN_CRASHES)
            server.crash()
            server.start()
            crashes += 1
        for writer in writers:
            writer.join()
        recorded = [store.trials.get(study, number).seconds for number in (0, 1)]
    assert crashes > 2
    assert recorded == acknowledged
