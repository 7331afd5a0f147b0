"""Studies on a PostgreSQL server that crashes and comes back while they run."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attentune.errors import MachineError
from attentune.search.run.session import delete_study
from attentune.studies.database import postgresql_server
from attentune.studies.database.store import Store
from postgresql_servers import Server, needs_postgres, new_database, new_server

AWAY_SECONDS = 0.4


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with new_server() as server:
        yield server


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_server, "MIN_RETRY_SECONDS", 0.02)
    monkeypatch.setattr(postgresql_server, "MAX_RETRY_SECONDS", 0.1)


@pytest.fixture
def on_server(bench, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch):
    """A bench whose database is on the server."""
    monkeypatch.chdir(tmp_path)
    other = type(bench)(tmp_path, server.url)
    yield other
    for study in other.store.studies.read_all():
        delete_study(other.store, study.name)
    other.store.close()


class Crashes:
    """Crashes the server after some epochs; it is away while the next ones are recorded."""

    def __init__(self, server: Server, moments: set[tuple[int, int]]) -> None:
        self.server, self.moments, self.threads = server, moments, list[threading.Thread]()

    def __call__(self, _study, trial, report) -> None:
        if (trial.number % 1_000_000, report.epoch) in self.moments:
            self.server.crash()
            thread = threading.Timer(AWAY_SECONDS, self.server.start)
            thread.start()
            self.threads.append(thread)

    def join(self) -> int:
        for thread in self.threads:
            thread.join()
        return len(self.threads)


def test_a_server_that_crashes_changes_no_search_resume_or_confirmation(
    bench, on_server, server, caplog
):
    caplog.set_level(logging.INFO)
    on_server.create("s", config := bench.config(sampler="random"))
    searching = Crashes(server, {(1, 3), (4, 1)})  # Before a result, and before an epoch.
    resuming, confirming = Crashes(server, {(6, 2)}), Crashes(server, {(0, 1)})
    on_server.run("s", 6, on_epoch=searching)
    assert searching.join() == 2
    on_server.run("s", 8, on_epoch=resuming)
    assert resuming.join() == 1
    on_server.confirm("s", top=1, seeds=2, on_epoch=confirming)
    assert confirming.join() == 1
    assert caplog.text.count("cannot be reached") == caplog.text.count("can be reached again") == 4
    bench.run("s", 6, config)
    bench.run("s", 8)
    bench.confirm("s", top=1, seeds=2)
    assert on_server.rows("s") == bench.rows("s")
    assert on_server.confirming_rows("s") == bench.confirming_rows("s")
    epochs = [
        [record.report for record in each.store.epochs.read("s")] for each in (bench, on_server)
    ]
    assert epochs[0] == epochs[1]


def test_an_interrupt_ends_a_search_whose_server_is_away_and_loses_nothing(
    bench, on_server, server, monkeypatch
):
    monkeypatch.setattr(postgresql_server, "STOPPING_SECONDS", 0.1)
    monkeypatch.setattr(postgresql_server, "PAUSE_SECONDS", 0.02)

    def interrupt(study, trial, report):
        if (trial.number, report.epoch) == (3, 2):
            server.crash()
            threading.Timer(0.2, study.stop).start()

    config = bench.config()
    with pytest.raises(MachineError, match=r"cannot be reached .*interrupted.*attentune resume s"):
        on_server.run("s", 5, config, on_epoch=interrupt)
    server.start()
    on_server.store = Store.open(server.url)
    assert [row[3] for row in on_server.rows("s")] == ["complete"] * 3 + ["running"]
    on_server.run("s", 5)
    bench.run("s", 5, config)
    assert on_server.rows("s") == bench.rows("s")


@needs_postgres
@pytest.mark.slow
def test_coordinators_of_several_studies_share_a_database(bench, tmp_path, monkeypatch):
    """While studies with the same architectures are removed, which the database shares."""
    monkeypatch.chdir(tmp_path)
    configs = {f"s{seed}": bench.config(seed=seed) for seed in (0, 1)}
    ended, errors = threading.Event(), list[Exception]()

    def in_thread(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with new_database("postgres", tmp_path) as url:
        benches = {name: type(bench)(tmp_path, url) for name in configs}

        def remove_again_and_again() -> None:
            other = type(bench)(tmp_path, url)
            while not ended.is_set():
                other.run("removed", 2, bench.config())
                delete_study(other.store, "removed")
            other.store.close()

        searches = [
            in_thread(lambda name=name: benches[name].run(name, 7, configs[name]))
            for name in configs
        ]
        remover = in_thread(remove_again_and_again)
        for thread in searches:
            thread.join()
        ended.set()
        remover.join()
        assert errors == []
        for name, config in configs.items():
            bench.run(name, 7, config)
            assert benches[name].rows(name) == bench.rows(name)
            benches[name].store.close()
