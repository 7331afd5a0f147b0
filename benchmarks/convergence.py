"""Compare forecasts of a search's gain with what its next trials really added, by replaying.

    python benchmarks/convergence.py --repetitions 60 --json benchmarks/results/convergence.json

A search is replayed on a tabular benchmark (`search_replays.py`). At several moments, the gain of
its next 20 trials is forecast from what it has observed (`studies/estimator/expected_gain.py`). The
gain that really follows is the true accuracy of the architecture that it recommends 20 trials
later, minus that of the one that it recommends at that moment.

The result has, for each table and sampler and for each moment: the mean of the forecasts, the mean
of the real gains with its standard error, both in points, and the share of real gains within two
deviations of their forecast. `bins` groups all forecasts by their size, as a calibration curve.
`stops` has, for each threshold in points, the median number of trials after which a search with
`--until converged` ends (at most `--trials`), its regret then, and the regret after all trials.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
import torch
from attentune.benchmarks.search_replays import Replay, load_table
from attentune.benchmarks.tabular_benchmark import DIGIT_TABLES
from attentune.runners.environment import describe_environment
from attentune.studies.estimator.expected_gain import FORECAST_TRIALS

MOMENTS_TRIALS = (15, 20, 30, 40, 60, 80)
"""Numbers of trials after which the calibration is measured."""
THRESHOLDS_POINTS = (0.1, 0.2, 0.3, 0.5)
BIN_EDGES_POINTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, np.inf)


@dataclass(frozen=True)
class Moment:
    """A search after a number of trials.

    Attributes:
        mean, deviation: of the forecast, in points.
        gain: what the next `FORECAST_TRIALS` trials really added, in points; NaN if they were not
            run.
        regret: of the architecture that is recommended, in points.
    """

    trials: int
    mean: float
    deviation: float
    gain: float
    regret: float


class ForecastReplay(Replay):
    """A replayed search whose gain is forecast."""

    forecasts = True


def replay_forecasts(path: Path, way: str, repetition: int, trials: int) -> list[Moment]:
    """The forecasts of one search, with what followed.

    Args:
        path: of the table.
        way: SAMPLER/PRUNER.
        repetition: seed of the search and of the seed effects.
        trials: how many to run.
    """
    table = load_table(path)
    replay = ForecastReplay(table, way, repetition)
    truths, forecasts = dict[int, float](), {}
    for count in range(1, trials + 1):
        [(_, text)] = replay.run(10**9, 1)
        truths[count] = 100 * table.rows[text].truth
        latest = replay.proposer.expected_gain()
        if latest is not None and latest.after == count:
            forecasts[count] = latest
    best = 100 * table.rows[table.ranked[0]].truth
    return [
        Moment(
            count,
            100 * forecast.mean,
            100 * forecast.deviation,
            truths.get(count + FORECAST_TRIALS, np.nan) - truths[count],
            best - truths[count],
        )
        for count, forecast in forecasts.items()
    ]


def summarise_moments(moments: Sequence[Moment]) -> dict[str, Any]:
    """Mean forecast, mean gain with its standard error, coverage of two deviations."""
    gains = np.array([moment.gain for moment in moments])
    means = np.array([moment.mean for moment in moments])
    deviations = np.array([moment.deviation for moment in moments])
    return {
        "searches": len(moments),
        "forecast": round(float(means.mean()), 3),
        "gain": [
            round(float(gains.mean()), 3),
            round(float(gains.std(ddof=1) / len(gains) ** 0.5), 3),
        ],
        "within_two_deviations": round(float((abs(gains - means) <= 2 * deviations).mean()), 3),
    }


def summarise_stops(searches: Sequence[Sequence[Moment]], threshold: float) -> dict[str, Any]:
    """Where searches would have ended with this threshold."""
    stops = [
        next((moment for moment in search if moment.mean < threshold), search[-1])
        for search in searches
    ]
    return {
        "threshold": threshold,
        "converged": round(float(np.mean([stop.mean < threshold for stop in stops])), 3),
        "trials": float(np.median([stop.trials for stop in stops])),
        "regret": round(float(np.mean([stop.regret for stop in stops])), 3),
        "regret_of_all_trials": round(float(np.mean([s[-1].regret for s in searches])), 3),
    }


def measure(path: Path, way: str, repetitions: int, trials: int) -> dict[str, Any]:
    """The calibration of one way to search on one table."""
    searches = [replay_forecasts(path, way, n, trials) for n in range(repetitions)]
    known = [moment for search in searches for moment in search if np.isfinite(moment.gain)]
    bins = np.digitize([moment.mean for moment in known], BIN_EDGES_POINTS)
    groups = [[m for m, number in zip(known, bins, strict=True) if number == b] for b in set(bins)]
    return {
        "table": path.stem,
        "way": way,
        "moments": {
            str(count): summarise_moments(group)
            for count in MOMENTS_TRIALS
            if len(group := [moment for moment in known if moment.trials == count]) > 1
        },
        "bins": [summarise_moments(group) for group in groups if len(group) > 1],
        "stops": [summarise_stops(searches, threshold) for threshold in THRESHOLDS_POINTS],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="*", type=Path, default=DIGIT_TABLES)
    parser.add_argument("--ways", nargs="+", default=["additive/none", "random/none", "tpe/none"])
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    results = []
    for path in options.tables:
        for way in options.ways:
            results.append(measure(path, way, options.repetitions, options.trials))
            print(json.dumps(results[-1], indent=1), flush=True)
    if options.json:
        content = {
            "what": "the expected gain of the next 20 trials against what they really added",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "repetitions": options.repetitions,
            "trials": options.trials,
            "results": results,
        }
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
