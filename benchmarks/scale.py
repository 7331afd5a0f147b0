"""Measure how a search with many workers and many trials scales, with trainings that are simulated.

    python benchmarks/scale.py --slots 8 64 512 --trials 160 1280 10000 \\
        --json benchmarks/results/scale.json
    python benchmarks/scale.py --slots 512 --trials 30000 --seconds 0 --set sampler=additive \\
        --json benchmarks/results/scale_trials.json

The coordinator, Optuna's proposals, the pruner and the SQLite file are those of `attentune search`.
The workers are not: each waits as long as an epoch would take, and reports the accuracies of a
learning curve from a committed table, which the effects of the architecture's attentions raise. So
what is measured is what the search itself costs. A search is divided into parts of equally many
trials. For each part the result states trials per second, the share of time for which slots had
nothing to train, the coordinator's use of a core, how long it takes to propose a trial (half of
them, and 99 of 100), its memory, and the size of the database.

With `--seconds 0` workers need no time, and the trials per second are the most that there can be.
With `--commit-seconds` each transaction takes so much longer, as with a slow database; and with
`--wait` workers wait for each decision, and do not go on without it (`late_decision`).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import heapq
import json
import math
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import psutil
import torch
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.tabular_benchmark import TabularBenchmark
from attentune.errors import AttentuneError
from attentune.runners.environment import describe_environment
from attentune.runners.events import (
    Decision,
    EpochDone,
    Event,
    Finished,
    Measured,
    Started,
    Stopped,
)
from attentune.runners.results import Costs, EpochReport, Job, TrialResult
from attentune.runners.workers.late_decision import patience
from attentune.search.run import session
from attentune.search.run.callback import Callback, RunningTrial
from attentune.search.run.propose import Proposer
from attentune.search.run.session import create_study, run_study
from attentune.search.setup.request import read_request
from attentune.studies.database.store import Store
from attentune.studies.records import TrialRecord
from sqlalchemy import Connection, Engine, event

TABLE = Path(__file__).parent / "tables" / "cued_plain.json"
BACKBONE = "resnet18"
EPOCHS = 8
DURATION_SPREAD = 0.1
"""Standard deviation of the logarithm of a trial's duration."""
EFFECT_DEVIATION = 0.01
"""Standard deviation of what an insertion adds to the accuracy, a fraction."""
MB = 1e6
Array = npt.NDArray[np.float64]


class LearningCurves:
    """Accuracies of simulated trials: curves of a table, raised by effects of the attentions."""

    def __init__(self, path: Path) -> None:
        rows = TabularBenchmark(path).rows.values()
        self._curves = np.concatenate([row.accuracy for row in rows])
        self._mean = self._curves.mean(axis=0)

    def accuracies(self, job: Job) -> list[float]:
        """The accuracy after each epoch."""
        draw = random.Random(f"{job.architecture.key} {job.seed}")
        noise = self._curves[draw.randrange(len(self._curves))] - self._mean
        gain = sum(
            random.Random(str(insertion)).gauss(0.0, EFFECT_DEVIATION)
            for insertion in job.architecture.insertions
        )
        values = np.clip(self._mean + 0.3 * noise + gain, 0.0, 1.0)
        return [float(value) for value in np.interp(range(EPOCHS), range(len(values)), values)]


class SimulatedTrial:
    """A trial in a slot: what it reports, and when."""

    def __init__(self, job: Job, accuracies: list[float], epoch_seconds: float) -> None:
        self.job, self.accuracies, self.epoch_seconds = job, accuracies, epoch_seconds
        self.epochs = 0
        self.reported_at = 0.0
        self.costs = Costs(11_000_000 + len(str(job.architecture)), 1_800_000_000)


class SimulatedPool:
    """Workers that wait in place of training; see `runners.workers.pool.Pool`.

    Args:
        slots: the number of workers.
        curves: their learning curves.
        seconds: the mean duration of a trial.
        patience: for how long a worker waits for the decision about an epoch of so many seconds.

    Attributes:
        busy_seconds: the time that slots have spent training.
    """

    def __init__(
        self,
        slots: int,
        curves: LearningCurves,
        seconds: float,
        patience: Callable[[float], float] = patience,
    ) -> None:
        self._slots, self._curves, self._seconds = slots, curves, seconds
        self._patience = patience
        self._trials: dict[int, SimulatedTrial] = {}
        self._ready: list[Event] = []
        self._due: list[tuple[float, int]] = []
        self.busy_seconds = 0.0

    @property
    def size(self) -> int:
        """The number of slots."""
        return self._slots

    @property
    def idle(self) -> int:
        """The number of slots without a trial."""
        return self._slots - len(self._trials)

    def start(self, job: Job) -> None:
        """Begin a trial."""
        duration = self._seconds * random.Random(job.number).lognormvariate(0.0, DURATION_SPREAD)
        trial = SimulatedTrial(job, self._curves.accuracies(job), duration / EPOCHS)
        self._trials[job.number] = trial
        self._ready += [Started(job.number, "w", 0), Measured(job.number, trial.costs)]
        self._await_epoch(trial, time.monotonic())

    def reply(self, number: int, decision: Decision) -> None:
        """Go on with a trial, or end it."""
        trial = self._trials[number]
        environment = {"torch": torch.__version__}
        seconds = trial.epochs * trial.epoch_seconds
        if trial.epochs == EPOCHS:
            del self._trials[number]
            accuracy = trial.accuracies[-1]
            result = TrialResult(
                accuracy, EPOCHS, trial.costs, seconds, seconds, 100.0, environment
            )
            self._ready.append(Finished(number, result))
        elif decision is Decision.GO_ON:
            ahead = trial.reported_at + self._patience(trial.epoch_seconds)
            self._await_epoch(trial, min(time.monotonic(), ahead))
        else:
            del self._trials[number]
            self._ready.append(Stopped(number, trial.epochs, seconds, seconds, environment))

    def events(self, timeout: float) -> list[Event]:
        """What has happened; waits for the first event."""
        if not self._ready and self._due:
            time.sleep(max(0.0, min(timeout, self._due[0][0] - time.monotonic())))
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            due, number = heapq.heappop(self._due)
            if (trial := self._trials.get(number)) is not None:
                trial.reported_at = due
                self._ready.append(self._end_epoch(trial))
        events, self._ready = self._ready, []
        return events

    def kill(self, number: int) -> None:
        """End a trial."""
        self._trials.pop(number, None)

    def close(self) -> None:
        """End all trials."""

    def _await_epoch(self, trial: SimulatedTrial, began: float) -> None:
        heapq.heappush(self._due, (began + trial.epoch_seconds, trial.job.number))

    def _end_epoch(self, trial: SimulatedTrial) -> EpochDone:
        self.busy_seconds += trial.epoch_seconds
        accuracy = trial.accuracies[trial.epochs]
        trial.epochs += 1
        report = EpochReport(
            trial.epochs, 1.0 - accuracy, accuracy, 1.0 - accuracy, 1e-3, trial.epoch_seconds
        )
        return EpochDone(trial.job.number, report)


class Timed:
    """A function whose calls are timed.

    Args:
        function: it.

    Attributes:
        seconds: of each call.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds: list[float] = []

    def __get__(self, instance: Any, _owner: type) -> Callable[..., Any]:
        """A method, as of the function."""

        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return self._function(instance, *args, **kwargs)
            finally:
                self.seconds.append(time.perf_counter() - began)

        return call


class SearchParts(Callback):
    """Divides a search into parts, and measures each.

    Args:
        pool: the slots.
        proposals: times the proposals.
        database: the file.
        trials: in a part.

    Attributes:
        rows: what was measured, for each part.
    """

    def __init__(self, pool: SimulatedPool, proposals: Timed, database: Path, trials: int) -> None:
        self._pool, self._proposals = pool, proposals
        self._database, self._trials = database, trials
        self._process = psutil.Process()
        self._ended = 0
        self.rows: list[dict[str, Any]] = []

    def begin(self) -> None:
        """Begin a part."""
        self._began, self._cpu_began = time.monotonic(), time.process_time()
        self._busy_began = self._pool.busy_seconds
        self._proposals.seconds.clear()
        self._epochs = 0

    def on_epoch(self, _trial: RunningTrial, _report: EpochReport) -> None:
        """Count an epoch."""
        self._epochs += 1

    def on_trial_end(self, _trial: RunningTrial, _record: TrialRecord) -> None:
        """Count a trial; the last one of a part ends it."""
        self._ended += 1
        if self._ended % self._trials:
            return
        seconds = time.monotonic() - self._began
        slot_seconds = self._pool.size * seconds
        milliseconds = 1e3 * np.array(self._proposals.seconds)
        row = {
            "trials": self._ended,
            "seconds": round(seconds, 1),
            "trials_per_second": round(self._trials / seconds, 2),
            "epochs_per_second": round(self._epochs / seconds, 1),
            "idle": round(1 - (self._pool.busy_seconds - self._busy_began) / slot_seconds, 4),
            "coordinator_cores": round((time.process_time() - self._cpu_began) / seconds, 3),
            "proposal_ms_p50": _percentile(milliseconds, 50),
            "proposal_ms_p99": _percentile(milliseconds, 99),
            "memory_mb": round(self._process.memory_info().rss / MB),
            "database_mb": round(sum(map(_size, self._database.parent.glob("*.db*"))) / MB, 1),
        }
        print(row, flush=True)
        self.rows.append(row)
        self.begin()


def _percentile(values: Array, percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 2) if len(values) else None


def _size(path: Path) -> int:
    return path.stat().st_size


def measure(
    slots: int, trials: int, options: argparse.Namespace, curves: LearningCurves
) -> dict[str, Any]:
    """Run a search.

    Args:
        slots: how many trials run at a time.
        trials: of the search.
        options: of the command line.
        curves: the learning curves of the trials.
    """
    request = read_request(
        {
            "backbone": BACKBONE,
            "data": "digits",
            "train_limit": 100,
            "image_size": 32,
            "batch_size": 32,
            "epochs": EPOCHS,
            "trials": trials,
            "workers": slots,
            "device": "cpu",
            "lr": 1e-3,
            "precision": "float32",
            "memory_format": "contiguous",
            **dict(setting.split("=", 1) for setting in options.set),
        },
        None,
    )
    wait = (lambda _: math.inf) if options.wait else patience
    pool = SimulatedPool(slots, curves, options.seconds, wait)
    proposals = Timed(Proposer.next_trial)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "scale.db"
        parts = SearchParts(pool, proposals, database, max(1, trials // options.parts))
        with (
            patch.object(session, "make_pool", lambda *_: pool),
            patch.object(Proposer, "next_trial", proposals),
            Store.open(options.db or database, create=True) as store,
        ):
            record = create_study(store, "scale", request)
            parts.begin()
            run_study(store, record, [parts])
    seconds = round(time.monotonic() - began, 1)
    return {"slots": slots, "seconds": seconds, "settings": options.set, "parts": parts.rows}


def slow_commits(seconds: float) -> None:
    """Let every transaction that writes take longer, from now on.

    Args:
        seconds: how much longer.
    """

    def wait(connection: Connection) -> None:
        if connection.get_execution_options().get("attentune_mode") != "read":
            time.sleep(seconds)

    if seconds:
        event.listen(Engine, "commit", wait)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser)
    parser.add_argument("--slots", type=int, nargs="+", default=[8, 64, 512])
    parser.add_argument(
        "--trials",
        type=int,
        nargs="+",
        default=[10_000],
        help="of the search with each number of slots, or of all",
    )
    parser.add_argument("--db", help="an empty PostgreSQL database, in place of a file")
    parser.add_argument("--parts", type=int, default=10, help="of equally many trials")
    parser.add_argument("--seconds", type=float, default=20.0, help="mean duration of a trial")
    parser.add_argument(
        "--commit-seconds", type=float, default=0.0, help="that each transaction takes longer"
    )
    parser.add_argument("--wait", action="store_true", help="for every decision")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the search: pruner=none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    slow_commits(options.commit_seconds)
    monitor = LoadMonitor.start(anyway=options.anyway)
    curves = LearningCurves(TABLE)
    rows = []
    trials = options.trials * (len(options.slots) if len(options.trials) == 1 else 1)
    if len(trials) != len(options.slots):
        raise AttentuneError("give --trials once, or once for each number of --slots")
    for slots, count in zip(options.slots, trials, strict=True):
        print(f"{slots} slots", flush=True)
        rows.append(measure(slots, count, options, curves))
        monitor.sample()
    result = {
        "what": __doc__.partition("\n")[0],
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "database": "PostgreSQL" if options.db else "SQLite",
        "trial_seconds": options.seconds,
        "commit_seconds": options.commit_seconds,
        "workers_wait": options.wait,
        "epochs": EPOCHS,
        "backbone": BACKBONE,
        "environment": describe_environment(torch.device("cpu"), "none"),
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
