"""A study that is killed before any of its writes, and continued, is the study of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import optuna
import pytest
import sqlalchemy
from attentune.runners import costs
from attentune.studies.database.connection import Database, Mode
from attentune.studies.database.schema import LeaseRow

TRIALS = 8
SHORT = {"recipe": {"epochs": 2}}
STUDIES: dict[str, dict[str, Any]] = {
    "random": {"sampler": "random", **SHORT},
    "tpe with a limit": {"sampler": "tpe", "limits": {"params": 379_000}, "seed": 3, **SHORT},
    "additive": {"sampler": "additive", **SHORT},
    "additive and pruned": {
        "sampler": "additive",
        "pruning": {"pruner": "asha", "first": 0.3, "eta": 2, "signal": "accuracy"},
        "recipe": {"epochs": 3},
    },
    "measured limit": {"sampler": "random", "limits": {"latency_ms": 5.0}, **SHORT},
}


class Killed(BaseException):
    """The process has been killed."""


class Process:
    """The process that runs a study: counts its writes, and can be killed before one of them."""

    def __init__(self) -> None:
        self.writes = 0
        self.killed_before: int | None = None

    def write(self) -> None:
        """Called before every write; a process that was killed writes nothing more."""
        if self.killed_before is not None and self.writes >= self.killed_before:
            raise Killed
        self.writes += 1


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    """Every write of this test's studies is one of this process, to our tables or to Optuna's."""
    process = Process()
    begin = Database.begin

    @contextmanager
    def counted_begin(self: Database, mode: Mode) -> Iterator[sqlalchemy.Connection]:
        if mode != "read":
            process.write()
        with begin(self, mode) as connection:
            yield connection

    monkeypatch.setattr(Database, "begin", counted_begin)
    # Counting the costs of the backbone takes most of the time that a new process needs here.
    model = lru_cache(maxsize=1)(costs.CostModel)
    monkeypatch.setattr(costs, "CostModel", model)
    return process


def contents(bench, name: str) -> list[Any]:
    """What remains of a study: trials, epochs, rejections, and the trials in Optuna's tables."""
    store = bench.store
    epochs = [(e.number, e.report) for e in store.epochs.read(name)]
    rejections = [(r.number, r.key) for r in store.trials.read_rejections(name)]
    study = optuna.load_study(study_name=name, storage=store.url)
    trials = [
        (t.number, t.state.name, t.params, t.values, t.user_attrs, t.constraints)
        for t in study.trials
    ]
    return [bench.rows(name), sorted(epochs, key=lambda e: (e[0], e[1].epoch)), rejections, trials]


def run_until_killed(
    bench, process: Process, name: str, killed_before: int, run: Callable[[], object] | None = None
) -> bool:
    """Run a study in a process that is killed before a write; return whether it was."""
    process.writes, process.killed_before = 0, killed_before
    try:
        bench.run(name, TRIALS) if run is None else run()
    except Killed:
        with bench.store._database.engine.begin() as connection:
            connection.execute(sqlalchemy.delete(LeaseRow))
        return True
    finally:
        process.killed_before = None
    return False


@pytest.fixture
def config(bench, request: pytest.FixtureRequest) -> Any:
    if request.param == "measured limit":
        bench.pool.rejects = lambda job: "too slow" if "cbam" in str(job.architecture) else None
    return bench.config(**STUDIES[request.param])


@pytest.mark.parametrize("config", [name for name in STUDIES if name != "additive"], indirect=True)
def test_a_study_that_is_killed_again_and_again_is_the_study_of_one_run(
    bench, process: Process, config: Any
) -> None:
    """Its first process is killed before its third write, the next one before its sixth."""
    bench.run("whole", TRIALS, config)
    bench.pool.epochs = {}
    bench.create("killed", config)
    kills = 0
    while run_until_killed(bench, process, "killed", 3 * (kills + 1)):
        kills += 1
    assert kills > 4
    assert contents(bench, "killed") == contents(bench, "whole")


def test_several_workers_repeat_and_skip_nothing_after_kills(bench, process: Process) -> None:
    """With several workers the order of events is not fixed, but nothing is lost or repeated."""
    bench.pool.workers = 3
    bench.create("killed", bench.config(sampler="random", limits={"params": 379_000}, **SHORT))
    kills = 0
    while run_until_killed(bench, process, "killed", 3 * (kills + 1)):
        kills += 1
    assert kills > 4
    rows, epochs, rejections, trials = contents(bench, "killed")
    assert len(rows) == TRIALS
    assert len({(text, seed) for _, text, seed, *_ in rows}) == TRIALS
    assert {state for *_, state, _ in rows} == {"complete"}
    assert [(number, report.epoch) for number, report in epochs] == [
        (number, epoch) for number, *_ in rows for epoch in (1, 2)
    ]
    states = {number: state for number, state, *_ in trials}
    assert sorted(states) == list(range(len(states))), "no number is lost"
    assert {number: "COMPLETE" for number, *_ in rows} | {
        number: "PRUNED" for number, _ in rejections
    } == states


def test_a_confirmation_that_is_killed_is_the_confirmation_of_one_run(
    bench, process: Process
) -> None:
    config = bench.config(sampler="random", **SHORT)
    for name in ("whole", "killed"):
        bench.run(name, TRIALS, config)
    request = {"top": 1, "seeds": 2, "epochs": 2}
    bench.confirm("whole", **request)
    kills = 0
    while run_until_killed(
        bench, process, "killed", 3 * (kills + 1), lambda: bench.confirm("killed", **request)
    ):
        kills += 1
    assert kills > 4
    assert bench.confirming_rows("killed") == bench.confirming_rows("whole")
    assert [state for *_, state, _ in bench.confirming_rows("killed")] == ["complete"] * 12
    stored = [bench.store.studies.get(name).config.confirmation for name in ("whole", "killed")]
    assert stored[0] == stored[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("config", STUDIES, indirect=True)
def test_a_kill_before_any_single_write_changes_nothing(
    bench, process: Process, config: Any
) -> None:
    bench.run("whole", TRIALS, config)
    killed_before = 0
    while True:
        killed_before += 1
        bench.pool.epochs = {}
        name = f"killed before {killed_before}"
        bench.create(name, config)
        killed = run_until_killed(bench, process, name, killed_before)
        if not killed:
            break
        bench.run(name, TRIALS)
        assert contents(bench, name) == contents(bench, "whole"), name
    assert killed_before > 60
