"""Whether replayed searches behave as searches that train: both on one tabular benchmark.

    python benchmarks/replay_validation.py benchmarks/tables/cued_plain.json \\
        --study DATABASE NAME --json FILE

Every `--study` must have been searched on the space, backbone and recipe of the table, with seeds
that the table does not have; all of them with one sampler, pruner and number of trials. After each
trial, the architecture that the study would have recommended is recorded, and how much worse it
truly is than the best, by the table. The same is done with replays (`search_replays.py`) of the
same sampler and pruner. If replays are realistic, the searches lie within their spread.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from attentune.benchmarks.search_replays import Replay, found_after, table_of
from attentune.benchmarks.simulated_studies import FinalAccuracies
from attentune.benchmarks.tabular_benchmark import TabularBenchmark
from attentune.studies.config import SETTINGS
from attentune.studies.database.store import Store
from attentune.studies.records import TrialRecord

Course = tuple[list[tuple[int, str]], float]
"""Epochs spent and what was recommended, after each trial, and the hypervolume at the end."""


def replayed(task: tuple[Path, str, int, int]) -> Course:
    """One replay of so many trials."""
    path, way, repetition, trials = task
    table = table_of(path)
    replay = Replay(table, way, repetition)
    told = replay.run(trials * table.recipe.epochs, trials)
    return told, table.hypervolume_share(replay.finals.means())


def lived(trials: list[TrialRecord], table: TabularBenchmark) -> Course:
    """The same of the trials of a study."""
    finals = FinalAccuracies()
    spent, told = 0, []
    for trial in trials:
        spent += trial.epochs
        if trial.state == "complete" and trial.accuracy is not None:
            finals.add(trial.architecture, trial.seed, trial.accuracy)
        told.append((spent, finals.recommend()))
    return told, table.hypervolume_share(finals.means())


def summary(course: Course, table: TabularBenchmark) -> dict[str, Any]:
    """Regret after every trial, points; the final hypervolume; epochs until the best was found."""
    told, volume = course
    best = table.rows[table.ranked[0]].truth
    regrets = [round(100 * (best - table.rows[text].truth), 2) for _, text in told]
    found = found_after(told, {table.ranked[0]})
    return {"regret": regrets, "volume": round(volume, 4), "epochs": found}


def spread(values: list[float]) -> list[float]:
    """Tenth, fiftieth and ninetieth percentile."""
    return [round(float(q), 4) for q in np.quantile(values, (0.1, 0.5, 0.9))]


def opened(database: str, name: str) -> tuple[str, dict[str, str], list[TrialRecord]]:
    """Of a study: its way to search, its environment and its trials."""
    with Store.open(database, read_only=True) as store:
        study = store.studies.get(name)
        trials = store.trials.read(study)
        environment = next(iter(store.trials.read_environments(study).values()))
    config = study.config.study
    pruning = config.pruning.model_dump()
    told = ",".join(f"{name}={pruning[name]}" for name in SETTINGS[pruning["pruner"]])
    return f"{config.sampler}/{pruning['pruner']}{':' * bool(told)}{told}", environment, trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument(
        "--study", nargs=2, action="append", required=True, metavar=("DATABASE", "NAME")
    )
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    table = table_of(options.table)
    studies = [opened(*study) for study in options.study]
    way, environment, trials = studies[0]
    if any((other, len(more)) != (way, len(trials)) for other, _, more in studies):
        raise SystemExit(
            "the studies differ in sampler, pruner or number of trials; name those alike"
        )
    tasks = [(options.table, way, n, len(trials)) for n in range(options.repetitions)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        replays = [summary(course, table) for course in pool.imap(replayed, tasks)]
    whole = len(trials) * table.recipe.epochs
    result = {
        "what": "live searches beside replays of them",
        "environment": environment,
        "table": table.name,
        "seeds": table.seeds,
        "way": way,
        "trials": len(trials),
        "repetitions": options.repetitions,
        "live": [
            summary(lived(each, table), table)
            | {"trials": [[t.architecture, t.seed, t.accuracy, t.epochs] for t in each]}
            for _, _, each in studies
        ],
        "replays": {
            "regret": [
                spread(list(at)) for at in zip(*(r["regret"] for r in replays), strict=True)
            ],
            "volume": spread([r["volume"] for r in replays]),
            "epochs": spread([r["epochs"] or whole for r in replays]),
            "found": float(np.mean([r["epochs"] is not None for r in replays])),
        },
    }
    options.json.write_text(json.dumps(result, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
