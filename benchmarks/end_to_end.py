"""How long other ways take to find an architecture as good as the one that our search finds.

    python benchmarks/end_to_end.py benchmarks/tables/cued_plain.json … \\
        --speed benchmarks/results/trials.json --json benchmarks/results/end_to_end.json

ours      `attentune search` with its defaults, up to 40 trials; the study recommends the
          architecture that it estimates to be best
random    the loop of Optuna's PyTorch example with its random sampler; it recommends
          `study.best_trial`
tpe       the same with Optuna's TPE sampler

The searches are replayed on tables in which the truth is known (`search_replays.py`). The regret of
a search is the accuracy of the truly best architecture minus that of the recommended one. The
trials of another way are those after which its mean regret, over all repetitions, stays at or below
ours after 10, 20 and 40 trials. The ratio of times is that of the trials, multiplied by how much
longer the example takes for the same trials (`trials.py`). Intervals (95 %) are by bootstrap over
the repetitions, and over the backbones whose speed was measured. Where a way does not get there
within its budget, the ratio is unknown (null), and above that of the budget.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import optuna
import torch
from attentune.benchmarks.search_replays import Replay, load_table
from attentune.benchmarks.tabular_benchmark import ShuffledSeeds, TabularBenchmark
from attentune.runners.environment import describe_environment
from attentune.spaces.attentions.entry import Value

OURS = "ours"
DEFAULT_TRIALS = 40
JUDGED_AFTER = (10, 20, DEFAULT_TRIALS)
"""Trials of ours whose result others have to reach."""
BOOTSTRAP_DRAWS = 1000
Floats = npt.NDArray[np.float64]


def replay_ours(table: TabularBenchmark, repetition: int) -> list[str]:
    """What a search with the defaults recommends after each of its trials."""
    replay = Replay(table, "additive/none", repetition)
    budget = DEFAULT_TRIALS * table.recipe.epochs
    return [text for _, text in replay.run(budget, DEFAULT_TRIALS)]


SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "random": optuna.samplers.RandomSampler,
    "tpe": optuna.samplers.TPESampler,
}
"""Of Optuna's example, by the way that is called after it."""


def run_example(
    table: TabularBenchmark, study: optuna.Study, train: Callable[[str], float]
) -> Iterator[str]:
    """The loop of the example without an end; after each trial, the architecture of the best one.

    Args:
        table: in whose space the study searches.
        study: one that maximises.
        train: from the text of an architecture to its accuracy, called once per trial.
    """
    best = -math.inf
    while True:
        trial = study.ask()

        def choose(name: str, choices: Sequence[Value], trial: optuna.Trial = trial) -> Value:
            return cast(Value, trial.suggest_categorical(name, list(choices)))

        text = str(table.bound_space.choose_architecture(choose))
        accuracy = train(text)
        study.tell(trial, accuracy)
        if accuracy > best:
            best, recommended = accuracy, text
        yield recommended


def replay_example(
    table: TabularBenchmark, sampler: str, repetition: int, trials: int
) -> list[str]:
    """What the example recommends after each trial: the architecture of the best one so far.

    Args:
        table: where trials are looked up.
        sampler: `random` or `tpe`.
        repetition: seed of the sampler and of the seed effects.
        trials: how many.
    """
    study = optuna.create_study(direction="maximize", sampler=SAMPLERS[sampler](seed=repetition))
    seeds, turns = ShuffledSeeds(table, repetition), Counter[str]()

    def look_up(text: str) -> float:
        accuracy = seeds.curve(text, turns[text])[-1].accuracy
        turns[text] += 1
        return accuracy

    return list(islice(run_example(table, study, look_up), trials))


def replay(task: tuple[Path, str, int, int]) -> list[float]:
    """The regret in points after each trial.

    Args:
        task: path of the table, way, repetition, and number of trials.
    """
    path, way, repetition, trials = task
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = load_table(path)
    if way == OURS:
        recommended = replay_ours(table, repetition)
    else:
        recommended = replay_example(table, way, repetition, trials)
    return [table.regret(text) for text in recommended]


def trials_until(regrets: Floats, target: float) -> float:
    """Trials after which the mean of regrets (repetitions, trials) stays within a target."""
    above = np.flatnonzero(regrets.mean(axis=0) > target + 1e-9)
    reached = int(above[-1]) + 1 if len(above) else 0
    return math.inf if reached == len(regrets[0]) else reached + 1.0


def compare(ours: Floats, theirs: Floats, speeds: Sequence[float]) -> dict[str, Any]:
    """The ratios of trials and of times, each with its interval; infinite where it is unknown.

    Args:
        ours: (repetitions, trials) regrets, points.
        theirs: (repetitions, trials) of another way.
        speeds: how much longer its loop takes for the same trials, of several measurements.
    """
    draw, judged = np.random.default_rng(0), len(ours[0])

    def ratio(ours: Floats, theirs: Floats) -> float:
        return trials_until(theirs, float(ours[:, -1].mean())) / judged

    def resample(values: Floats) -> Floats:
        return values[draw.integers(len(values), size=len(values))]

    ratios = [ratio(resample(ours), resample(theirs)) for _ in range(BOOTSTRAP_DRAWS)]
    speed = [float(np.median(resample(np.array(speeds)))) for _ in range(BOOTSTRAP_DRAWS)]
    times = np.array(ratios) * np.array(speed)
    middle = ratio(ours, theirs)
    return {
        "budget": len(theirs[0]) / judged,
        "trials": [middle, *_interval(np.array(ratios))],
        "time": [middle * float(np.median(speeds)), *_interval(times)],
    }


def _interval(values: Floats) -> list[float]:
    """The 95 % interval. Quantiles are not interpolated, because values may be infinite."""
    return [float(v) for v in np.quantile(values, (0.025, 0.975), method="nearest")]


def _readable(value: Any) -> Any:
    """The value with numbers rounded, and null for an infinite one."""
    if isinstance(value, float):
        return round(value, 2) if math.isfinite(value) else None
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    return value


def measure(
    path: Path, options: argparse.Namespace, speeds: Sequence[float]
) -> list[dict[str, Any]]:
    """The rows of one table."""
    trials = {OURS: DEFAULT_TRIALS, "random": options.trials_of_random, "tpe": options.trials}
    tasks = [
        (path, way, number, count)
        for (way, count), number in product(trials.items(), range(options.repetitions))
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        results = pool.map(replay, tasks, chunksize=max(1, options.repetitions // 8))
    size = options.repetitions
    regrets = {
        way: np.array(results[number * size : (number + 1) * size])
        for number, way in enumerate(trials)
    }
    rows = []
    for way, judged in product(list(trials)[1:], JUDGED_AFTER):
        ours = regrets[OURS][:, :judged]
        row = {
            "table": path.stem,
            "way": way,
            "trials_of_ours": judged,
            "regret_of_ours": float(ours[:, -1].mean()),
            "regret_after_as_many": float(regrets[way][:, judged - 1].mean()),
            **compare(ours, regrets[way], speeds),
        }
        rows.append(_readable(row))
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--speed", type=Path, required=True, help="a result of trials.py")
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--trials", type=int, default=400, help="of TPE, at most")
    parser.add_argument("--trials-of-random", type=int, default=800, help="at most")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    speed = json.loads(options.speed.read_text("utf-8"))
    speeds = [
        theirs / ours
        for row in speed["rows"]
        for ours, theirs in zip(row["seconds"]["ours"], row["seconds"]["optuna"], strict=True)
    ]
    rows = [line for path in options.tables for line in measure(path, options, speeds)]
    if options.json:
        content = {
            "what": "time until another way finds an architecture as good, relative to ours",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "repetitions": options.repetitions,
            "speed": {
                "median": round(float(np.median(speeds)), 3),
                "measured": [round(value, 3) for value in speeds],
                "environment": speed["environment"],
            },
            "rows": rows,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
