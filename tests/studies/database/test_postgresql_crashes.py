"""A PostgreSQL server that crashes again and again while it is written to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from attentune.spaces.architecture import parse
from attentune.studies.database.store import Store
from postgresql_servers import Server, new_server

pytestmark = pytest.mark.slow

SECONDS = 20.0
SECONDS_BETWEEN_CRASHES = 0.7


@pytest.fixture
def server() -> Iterator[Server]:
    with new_server() as server:
        yield server


def test_what_was_acknowledged_is_there_exactly_once(server: Server) -> None:
    """Every addition counts, so one that is lost or made twice changes the sum."""
    acknowledged = [0, 0]
    with Store.open(server.url, create=True) as store:
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
