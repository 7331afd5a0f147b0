"""One search that trains, beside the loops that people write, timed on the task of a table.

    python benchmarks/end_to_end_live.py benchmarks/tables/cifar10_plain.json --data FOLDER \\
        --json benchmarks/results/end_to_end_live.json

ours      `attentune search` with its defaults: 40 trials, one worker per core; space and recipe are
          those of the table
random    the loop of Optuna's PyTorch example (`pytorch_baseline.py`) with its random sampler, in
          the same space, with the same recipe, on all cores
tpe       the same with Optuna's TPE sampler

The loops run one after the other, each for `--minutes` at most. What a way recommends is judged by
the accuracy that the table knows; after each trial there are its seconds since the start and the
regret of what is recommended then. It is one run: how much chance is in it is what the replays show
(`end_to_end.py`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import torch
from attentune.benchmarks.end_to_end import DEFAULT_TRIALS, OURS, SAMPLERS, run_example
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.pytorch_baseline import BaselineSettings
from attentune.benchmarks.replay_validation import read_history
from attentune.benchmarks.search_replays import load_table
from attentune.benchmarks.tabular_benchmark import TabularBenchmark
from attentune.benchmarks.trials import time_command
from attentune.runners.environment import describe_environment
from attentune.studies.database.store import Store

Step = dict[str, Any]
"""After a trial: `seconds` since the start, `regret` in points, and the `recommended` text."""


class LiveComparison:
    """The searches of one table's task.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.table: TabularBenchmark = load_table(options.table)
        self.recipe = self.table.recipe.model_copy(update={"data": str(options.data.resolve())})

    def ours(self, monitor: LoadMonitor) -> list[Step]:
        """Run `attentune search`, as a command with its own start."""
        config = self.options.table.with_suffix(".toml").resolve()
        with tempfile.TemporaryDirectory() as folder:
            database = Path(folder) / "live.db"
            words = ["search", "live", f"--config={config}", f"--data={self.recipe.data}"]
            space = config.with_name("space.toml")
            words += [
                f"--space={space}",
                f"--db={database}",
                f"--trials={DEFAULT_TRIALS}",
                f"--seed={self.seed}",
            ]
            began = time.time()
            whole = time_command([sys.executable, "-m", "attentune", *words], monitor)
            with Store.open(str(database), read_only=True) as store:
                trials = store.trials.read(store.studies.get("live"))
        trials.sort(key=lambda trial: trial.finished_at or datetime.max)
        recommended, _ = read_history(trials, self.table)
        ends = [trial.finished_at.timestamp() - began for trial in trials if trial.finished_at]
        ends[-1] = whole  # With the end of the command.
        return [
            self.step(seconds, text) for seconds, (_, text) in zip(ends, recommended, strict=True)
        ]

    def example(self, sampler: optuna.samplers.BaseSampler) -> Iterator[Step]:
        """Run the loop of the example; a step after each trial."""
        settings = BaselineSettings([], self.recipe.model_dump(mode="json"))
        seeds = itertools.count(1000 + self.seed)  # Seeds that the table does not have.

        def train(text: str) -> float:
            return settings.run(text, next(seeds), _ignore)

        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            study = optuna.create_study(
                direction="maximize", sampler=sampler, storage=f"sqlite:///{folder}/example.db"
            )
            for recommended in run_example(self.table, study, train):
                yield self.step(time.monotonic() - began, recommended)

    def run(self, way: str, monitor: LoadMonitor) -> list[Step]:
        """Run a way to its end."""
        if way == OURS:
            return self.ours(monitor)
        steps = []
        for step in self.example(SAMPLERS[way](seed=self.seed)):
            monitor.sample()
            steps.append(step)
            print(way, step, flush=True)
            if step["seconds"] > 60 * self.options.minutes:
                break
        return steps

    @property
    def seed(self) -> int:
        """Of the samplers."""
        return int(self.options.seed)

    def step(self, seconds: float, text: str) -> Step:
        """What a way has reached."""
        regret = round(self.table.regret(text), 2)
        return {"seconds": round(seconds, 1), "regret": regret, "recommended": text}


def _ignore(epoch: int, accuracy: float) -> None:
    """The example reports each epoch for its pruner, and there is none."""


def seconds_until(steps: list[Step], regret: float) -> float | None:
    """Seconds after which what is recommended stays within a regret; None if it does not."""
    reached = None
    for step in steps:
        if step["regret"] > regret:
            reached = None
        elif reached is None:
            reached = float(step["seconds"])
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("table", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0, help="of each loop, at most")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--ways", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    comparison = LiveComparison(options)
    monitor = LoadMonitor.start(anyway=options.anyway)
    steps = {way: comparison.run(way, monitor) for way in (OURS, *options.ways)}
    target, whole = steps[OURS][-1]["regret"], steps[OURS][-1]["seconds"]
    rows = []
    for way, taken in steps.items():
        reached = seconds_until(taken, target)
        rows.append(
            {
                "way": way,
                "trials": len(taken),
                "seconds": taken[-1]["seconds"],
                "regret": taken[-1]["regret"],
                "seconds_until_as_good": reached,
                "time_ratio": reached and round(reached / whole, 2),
            }
        )
        print(rows[-1])
    environment = describe_environment(torch.device("cpu"), comparison.recipe.precision)
    environment["threads"] = f"ours: 1 a worker; the loops: {torch.get_num_threads()}"
    result = {
        "what": "one search that trains, beside the loops that people write",
        "busy": monitor.finish(),
        "environment": environment,
        "table": comparison.table.name,
        "rows": rows,
        "steps": steps,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
