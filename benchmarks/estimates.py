"""Compare the estimate of a study with plain means, and its errors with the truth.

    python benchmarks/estimates.py --json benchmarks/results/estimates.json

Searches are replayed on the tabular benchmarks, as in `search_replays.py`. After some trials, the
most accurate architecture is chosen by the estimate of the study, and by the rule that it replaced:
the highest mean over seeds minus its standard error, pooled over all architectures. The truth of an
architecture is its mean over the table's seeds.

regret      accuracy of the best architecture of the table minus that of the chosen one, in points
volume      hypervolume of the front by accuracy and parameters, at true accuracies, as a share of
            the largest possible
covered     share of the gains over the bare backbone whose 95 % interval holds the true gain
"""

from __future__ import annotations

import argparse
import json
import math
import os
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
import torch
from attentune.benchmarks.search_replays import Replay
from attentune.benchmarks.tabular_benchmark import DIGIT_TABLES, TabularBenchmark
from attentune.runners.environment import describe_environment
from attentune.studies.analysis.architecture_table import ArchitectureTable
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.records import TrialRecord

TWO_SIDED_95 = 1.96


def means_of(records: Sequence[TrialRecord]) -> dict[str, tuple[float, float]]:
    """By architecture, the mean of its complete trials and its standard error, pooled."""
    accuracies: defaultdict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.state == "complete" and record.accuracy is not None:
            accuracies[record.architecture].append(record.accuracy)
    freedom = sum(len(values) - 1 for values in accuracies.values())
    squares = sum(float(np.var(values)) * len(values) for values in accuracies.values())
    deviation = math.sqrt(squares / freedom) if freedom else 0.0
    return {
        text: (float(np.mean(values)), deviation / math.sqrt(len(values)))
        for text, values in accuracies.items()
    }


def replay(table: TabularBenchmark, way: str, repetition: int, trials: int) -> dict[str, Any]:
    """The results of one search.

    Args:
        table: where trials are looked up.
        way: SAMPLER/PRUNER.
        repetition: seed of the search and of the seed effects.
        trials: after which architectures are chosen.
    """
    search = Replay(table, way, repetition)
    while len(search.records) < trials:
        search.running.append(search.proposer.next_trial())
        search.proposer.write_pending()
        search.run_trial(search.running.popleft())
    rows = ArchitectureTable.of(TrialTable.of(search.records), search.proposer.model)
    texts = [str(rows.architecture(index)) for index in range(len(rows))]
    estimates = dict(zip(texts, rows.score.tolist(), strict=True))
    means = means_of(search.records)
    truth = {text: table.rows[text].truth for text in texts}
    careful = max(means, key=lambda text: means[text][0] - means[text][1])
    result: dict[str, Any] = {
        "regret": table.regret(max(estimates, key=lambda text: estimates[text])),
        "regret_of_means": table.regret(careful),
        "volume": table.hypervolume_share(estimates),
        "volume_of_means": table.hypervolume_share({t: mean for t, (mean, _) in means.items()}),
    }
    if rows.bare is not None:
        true_gains = np.array([truth[text] - truth[texts[rows.bare]] for text in texts])
        away = np.abs(rows.gain - true_gains) / rows.estimate.gain_error
        result["covered"] = float(np.mean(np.delete(away, rows.bare) < TWO_SIDED_95))
    return result


def summarize(results: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Means with standard errors, and the paired difference of the two regrets and volumes."""
    values = {name: np.array([result[name] for result in results]) for name in results[0]}
    for name in ("regret", "volume"):
        values[f"{name}_difference"] = values[name] - values[f"{name}_of_means"]
    error = math.sqrt(len(results))
    return {
        name: [round(float(array.mean()), 4), round(float(array.std(ddof=1)) / error, 4)]
        for name, array in values.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=60)
    parser.add_argument("--trials", type=int, nargs="+", default=[24, 40])
    parser.add_argument("--ways", nargs="+", default=["additive/none", "additive/front"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    for path in DIGIT_TABLES:
        table = TabularBenchmark(path)
        for way in options.ways:
            for trials in options.trials:
                results = [replay(table, way, n, trials) for n in range(options.repetitions)]
                rows.append(
                    {"table": table.name, "way": way, "trials": trials, **summarize(results)}
                )
                print(json.dumps(rows[-1]), flush=True)
    content = {
        "repetitions": options.repetitions,
        "rows": rows,
        "environment": describe_environment(torch.device("cpu"), "float32"),
    }
    if options.json:
        options.json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
