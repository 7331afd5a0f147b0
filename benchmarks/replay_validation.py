"""Check that replayed searches behave as searches that train, on one tabular benchmark.

    python benchmarks/replay_validation.py benchmarks/tables/cued_plain.json \\
        --study DATABASE NAME --json FILE

Every `--study` must have the space, backbone and recipe of the table, and seeds that the table does
not have; all must have the same sampler, pruner and number of trials. After each trial, the result
has the regret of the architecture that the study would have recommended: the true accuracy of the
best architecture minus that of the recommended one, both from the table. The same is done with
replays (`search_replays.py`) of the same sampler and pruner. If replays are realistic, the regrets
of the searches are within the range of those of the replays.
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
from attentune.benchmarks.search_replays import Replay, epochs_until_best, load_table
from attentune.benchmarks.simulated_studies import FinalAccuracies
from attentune.benchmarks.tabular_benchmark import TabularBenchmark
from attentune.studies.config import PRUNER_SETTINGS
from attentune.studies.database.store import Store
from attentune.studies.records import TrialRecord

SearchHistory = tuple[list[tuple[int, str]], float]
"""After each trial the epochs spent and the recommendation; and the final hypervolume."""


def replay_search(task: tuple[Path, str, int, int]) -> SearchHistory:
    """Replay one search with a number of trials."""
    path, way, repetition, trials = task
    table = load_table(path)
    replay = Replay(table, way, repetition)
    recommendations = replay.run(trials * table.recipe.epochs, trials)
    return recommendations, table.hypervolume_share(replay.finals.means())


def read_history(trials: list[TrialRecord], table: TabularBenchmark) -> SearchHistory:
    """The history of a study that was trained."""
    finals = FinalAccuracies(len(table.bound_space.site_map.blocks))
    spent, recommendations = 0, []
    for trial in trials:
        spent += trial.epochs
        if trial.state == "complete" and trial.accuracy is not None:
            finals.add(trial.architecture, trial.seed, trial.accuracy)
        recommendations.append((spent, finals.recommend()))
    return recommendations, table.hypervolume_share(finals.means())


def summarise_history(history: SearchHistory, table: TabularBenchmark) -> dict[str, Any]:
    """Regret after each trial in points, final hypervolume, and epochs until the best is found."""
    recommendations, volume = history
    regrets = [round(table.regret(text), 2) for _, text in recommendations]
    epochs = epochs_until_best(recommendations, {table.ranked[0]})
    return {"regret": regrets, "volume": round(volume, 4), "epochs": epochs}


def percentiles(values: list[float]) -> list[float]:
    """The 10th, 50th and 90th percentile."""
    return [round(float(q), 4) for q in np.quantile(values, (0.1, 0.5, 0.9))]


def read_study(database: str, name: str) -> tuple[str, dict[str, str], list[TrialRecord]]:
    """Sampler and pruner of a study, its environment and its trials."""
    with Store.open(database, read_only=True) as store:
        study = store.studies.get(name)
        trials = store.trials.read(study)
        environment = next(iter(store.trials.read_environments(study).values()))
    config = study.config.study
    pruning = config.pruning.model_dump()
    settings = ",".join(f"{name}={pruning[name]}" for name in PRUNER_SETTINGS[pruning["pruner"]])
    return (
        f"{config.sampler}/{pruning['pruner']}{':' * bool(settings)}{settings}",
        environment,
        trials,
    )


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
    table = load_table(options.table)
    studies = [read_study(*study) for study in options.study]
    way, environment, trials = studies[0]
    if any((study[0], len(study[2])) != (way, len(trials)) for study in studies):
        raise SystemExit(
            "the studies differ in sampler, pruner or number of trials; give studies that agree"
        )
    tasks = [(options.table, way, n, len(trials)) for n in range(options.repetitions)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        replays = [summarise_history(history, table) for history in pool.imap(replay_search, tasks)]
    max_epochs = len(trials) * table.recipe.epochs
    result = {
        "what": "live searches beside replays of them",
        "environment": environment,
        "table": table.name,
        "seeds": table.seeds,
        "way": way,
        "trials": len(trials),
        "repetitions": options.repetitions,
        "live": [
            summarise_history(read_history(records, table), table)
            | {"trials": [[t.architecture, t.seed, t.accuracy, t.epochs] for t in records]}
            for _, _, records in studies
        ],
        "replays": {
            "regret": [
                percentiles(list(regrets))
                for regrets in zip(*(r["regret"] for r in replays), strict=True)
            ],
            "volume": percentiles([r["volume"] for r in replays]),
            "epochs": percentiles([r["epochs"] or max_epochs for r in replays]),
            "found": float(np.mean([r["epochs"] is not None for r in replays])),
        },
    }
    options.json.write_text(json.dumps(result, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
