"""Measure how long one more trial takes in a warm worker, beyond its training.

    python benchmarks/overhead.py --json benchmarks/results/overhead.json

A small study is run with the components of `attentune search`: a worker process, the coordinator,
Optuna's proposals, an SQLite file. Training is a few tiny steps. The fixed cost of a trial is the
time from its start to the start of the next trial, minus its epochs; but the excess of the first
epoch over the later ones is part of the cost, because it happens once. The noise of this difference
is larger than its value, so the median over all trials is reported. The first trials, which warm
up the worker, are left out. The parts of the cost are timed in both processes; `rest` is what they
do not explain, and negative where coordinator and worker run at the same time. The result states
the machine, versions, rounds and quartiles.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import functools
import importlib
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from attentune.benchmarks.interleaved_timing import format_summary, summarise_rounds
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.runners.environment import describe_environment
from attentune.runners.results import EpochReport
from attentune.runners.workers import worker
from attentune.search.run.callback import Callback, RunningTrial
from attentune.search.run.session import create_study, run_study
from attentune.search.setup.request import read_request
from attentune.studies.database.store import Store

BACKBONES = ("test_resnet", "mobilenetv3_small_050", "resnet18")
TRACE = "ATTENTUNE_OVERHEAD_TRACE"
TARGET_MS = 50.0

TRAINING = "epochs"
FIRST_EPOCH = "first epoch, more than later ones"
DECISION = "answer to an epoch"
IN_WORKER = (
    ("checkpoint", "attentune.runners.workers.checkpoint_schedule", "read_facts"),
    ("data", "attentune.runners.workers.recipe_evaluator", "load_device_data"),
    ("build", "attentune.spaces.networks.reusable_backbone", "ReusableBackbone._reset"),
    ("build", "attentune.spaces.networks.reusable_backbone", "insert_all"),
    ("price", "attentune.runners.workers.recipe_evaluator", "measure_costs"),
    ("optimizer and average", "attentune.runners.training.train", "prepare_training"),
    (TRAINING, "attentune.runners.training.train", "Training.train_epoch"),
    ("checkpoint", "attentune.runners.training.train", "Training.save"),
    ("weights", "attentune.runners.workers.recipe_evaluator", "save_weights"),
    (DECISION, "multiprocessing.connection", "Connection.recv"),
    ("tell", "multiprocessing.connection", "Connection.send"),
)
IN_COORDINATOR = (
    ("propose beforehand", "attentune.search.run.propose", "Proposer.ask_ahead"),
    ("propose", "attentune.search.run.propose", "Proposer.next_trial"),
    ("tell the sampler", "attentune.search.run.propose", "Proposer.on_trial_end"),
    ("record the result", "attentune.studies.database.trials", "TrialRepository.finish"),
)
"""(label, module, function) of each part of the cost. Time of a part inside another one counts for
the inner part only."""


class FunctionClock:
    """Measures the seconds in certain functions, less those in other such functions inside them."""

    def __init__(self, parts: tuple[tuple[str, str, str], ...]) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner = [0.0]
        for label, module, name in parts:
            owner: Any = importlib.import_module(module)
            *path, last = name.split(".")
            for step in path:
                owner = getattr(owner, step)
            setattr(owner, last, self._timed(label, getattr(owner, last)))

    def _timed(self, label: str, function: Any) -> Any:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.perf_counter() - began
                self.seconds[label] += whole - self._inner.pop()
                self._inner[-1] += whole

        return timed

    def take(self) -> dict[str, float]:
        """Seconds by label since the last call."""
        seconds = dict(self.seconds)
        self.seconds.clear()
        return seconds


serve = worker.main


def timed_worker(
    pipe: Any, name: str, device: str, threads: int, links: Sequence[Any] = ()
) -> None:
    """A worker's main function that appends one line per trial to the file named by TRACE."""
    from attentune.runners.workers import trial

    clock = FunctionClock(IN_WORKER)
    run_trial = trial.run_trial

    def traced(*args: Any, **kwargs: Any) -> None:
        clock.take()
        began = time.perf_counter()
        run_trial(*args, **kwargs)
        line = {"whole": time.perf_counter() - began, **clock.take()}
        with Path(os.environ[TRACE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    trial.run_trial = traced
    serve(pipe, name, device, threads, links)


class TrialTimes(Callback):
    """Records when trials start, and the seconds of their epochs."""

    def __init__(self, clock: FunctionClock) -> None:
        self.clock = clock
        self.started: list[float] = []
        self.epochs: list[list[float]] = []
        self.parts: list[dict[str, float]] = []

    def on_trial_start(self, _trial: RunningTrial) -> None:
        """Record the start, which also ends the cost of the trial before."""
        parts = self.clock.take()
        if self.started:
            self.parts.append(parts)
        self.started.append(time.perf_counter())
        self.epochs.append([])

    def on_epoch(self, _trial: RunningTrial, report: EpochReport) -> None:
        """Record the seconds of an epoch."""
        self.epochs[-1].append(report.seconds)


def run_measured_study(
    backbone: str, options: argparse.Namespace, clock: FunctionClock
) -> list[dict[str, float]]:
    """Cost of each trial after warm-up and its parts, in milliseconds."""
    request = read_request(
        {
            "backbone": backbone,
            "data": options.data,
            "train_limit": 5 * options.batch_size,
            "batch_size": options.batch_size,
            "epochs": options.epochs,
            "trials": options.trials,
            "workers": 1,
            "device": "cpu",
            "lr": 1e-3,
        },
        None,
    )
    times = TrialTimes(clock)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.jsonl"
        os.environ[TRACE] = str(trace)
        with Store.open(Path(folder) / "overhead.db", create=True) as store:
            record = create_study(store, "overhead", request)
            run_study(store, record, [times])
        lines = [json.loads(line) for line in trace.read_text().splitlines()]
    cycles = [b - a for a, b in zip(times.started, times.started[1:], strict=False)]
    measured = zip(cycles, times.epochs, lines, times.parts, strict=False)
    return [split_cost(*trial) for trial in measured][options.warm_up :]


def split_cost(
    cycle: float, epochs: list[float], worker: dict[str, float], coordinator: dict[str, float]
) -> dict[str, float]:
    """One trial's cost beyond its epochs, and its parts, in milliseconds.

    Args:
        cycle: seconds from the start of the trial to the start of the next one.
        epochs: seconds of its epochs.
        worker: seconds by label in the worker.
        coordinator: seconds by label in the coordinator.
    """
    whole = worker.pop("whole")
    trained = worker.pop(TRAINING)
    parts = {FIRST_EPOCH: epochs[0] - statistics.median(epochs[1:])} | worker
    parts["trial: rest"] = whole - trained - sum(worker.values())
    parts |= coordinator
    parts["between trials: rest"] = cycle - whole - sum(coordinator.values())
    cost = {"cost": cycle - sum(epochs), **parts}
    return {name: 1e3 * seconds for name, seconds in cost.items()}


def summarise_trials(trials: list[dict[str, float]]) -> dict[str, Any]:
    """The cost, and the medians of its parts, in milliseconds."""
    names = dict.fromkeys(name for trial in trials for name in trial if name != "cost")
    first = statistics.median(trial[FIRST_EPOCH] for trial in trials)
    return {
        "cost_ms": summarise_rounds([trial["cost"] + first for trial in trials], 1),
        "parts_ms": {
            name: round(statistics.median(trial.get(name, 0.0) for trial in trials), 2)
            for name in names
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_options(parser)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--data", default="cued-digits")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument(
        "--warm-up", type=int, default=6, help="number of first trials that are left out"
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    monitor = LoadMonitor.start(anyway=options.anyway)
    worker.main = timed_worker
    clock = FunctionClock(IN_COORDINATOR)
    rows = []
    for backbone in options.backbones:
        rows.append(
            {"backbone": backbone, **summarise_trials(run_measured_study(backbone, options, clock))}
        )
        monitor.sample()
        print_row(rows[-1])
    result = {
        "what": "fixed cost of one more trial in a warm worker, milliseconds",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "target_ms": TARGET_MS,
        "environment": describe_environment(torch.device("cpu"), "see rows"),
        "data": options.data,
        "batch_size": options.batch_size,
        "epochs": options.epochs,
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def print_row(row: dict[str, Any]) -> None:
    print(f"{row['backbone']}: {format_summary(row['cost_ms'], 1)} ms a trial", flush=True)
    for name, value in row["parts_ms"].items():
        print(f"    {value:8.2f}  {name}")


if __name__ == "__main__":
    main()
