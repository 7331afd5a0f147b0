"""How much training a search needs to find the best architecture, by replaying searches.

    python benchmarks/search_replays.py benchmarks/tables/cued_plain.json --repetitions 100
    python benchmarks/search_replays.py TABLE --ways tpe/none nsga2/asha:first=0.3,eta=4

A tabular benchmark holds all architectures of a small space with several seeds and full learning
curves (`train_tabular_benchmark.py`). A replay is the search itself, sampler and pruner, one trial
after another, with curves from the table instead of training; its cost is the number of epochs. The
truth is an architecture's mean over the table's seeds. Each repetition deals new seed effects to
the curves (`tabular_benchmark.ShuffledSeeds`). `additive/none@8` runs eight trials at a time, which
end in their order. `moasha:first=0.25,eta=3` is Syne Tune's, if it is installed. `random/oracle` is
the pruner `front` with the true accuracies at its rungs: the most that a better judge could save.

Reported for each sampler/pruner, over the repetitions:
regret      accuracy of the best architecture less that of the recommended one, in points, when the
            budget is spent
volume      hypervolume of the front that the study would show (by mean accuracy and parameters),
            at true accuracies, as a share of the largest possible
after       the same, and the epochs spent, after the first `--trials` trials: what a pruner saves,
            and the difference to the same sampler without a pruner, if that is measured too
epochs      median training until the recommendation is among the true best `--top`, and stays so;
            at most the budget, so that a sampler that fails appears faster than it is
speed-up    random search's epochs divided by these, with a 95 % bootstrap interval of the medians
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import warnings
from collections import deque
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
import torch
from attentune.benchmarks.moasha import Moasha
from attentune.benchmarks.simulated_studies import NOW, FinalAccuracies, make_trial_record
from attentune.benchmarks.tabular_benchmark import ShuffledSeeds, TabularBenchmark
from attentune.runners.environment import describe_environment
from attentune.search.pruning.front import FrontPruner
from attentune.search.pruning.rung_pruner import RungEntry
from attentune.search.pruning.table import make_pruner
from attentune.search.run.optuna_study import OptunaStudy
from attentune.search.run.propose import Proposer
from attentune.search.trial_source import Proposal
from attentune.studies.analysis.analyse import Matrix
from attentune.studies.config import Pruning, SamplerName, StudyConfig
from attentune.studies.records import State, StudyRecord, TrialRecord
from attentune.studies.stored_config import StoredConfig

RANDOM = "random/none"


class EmptyStore:
    """A store that keeps nothing, and its repositories: a replay lives in memory."""

    @property
    def trials(self) -> EmptyStore:
        return self

    @property
    def epochs(self) -> EmptyStore:
        return self

    def read(self, _study: StudyRecord, /) -> list[Any]:
        return []

    def read_rejections(self, _study: StudyRecord, /) -> list[Any]:
        return []

    def start(self, *_: Any, **__: Any) -> None:
        pass

    def reject(self, *_: Any, **__: Any) -> None:
        pass


class Oracle(FrontPruner):
    """The pruner `front`, which knows what every architecture is worth."""

    def __init__(self, config: StudyConfig, table: TabularBenchmark) -> None:
        super().__init__(config)
        self.table = table

    def sample_accuracies(
        self, _entries: Any, contenders: Sequence[RungEntry], _rng: Any
    ) -> Matrix:
        """One sample, the truth."""
        rows = [self.table.rows[str(entry.architecture)] for entry in contenders]
        return np.array([[row.truth for row in rows]])


class Replay:
    """One search on a table."""

    def __init__(self, table: TabularBenchmark, way: str, repetition: int) -> None:
        way, _, workers = way.partition("@")
        self.workers, self.going = int(workers or 1), deque[Proposal]()
        sampler, pruning, self.knowing = parse_way(way)
        self.table, self.config = (
            table,
            StudyConfig(
                backbone=table.backbone,
                recipe=table.recipe,
                space=table.space,
                sampler=sampler,
                pruning=pruning,
                seed=repetition,
                num_classes=10,
                stages=len(table.bound_space.site_map.blocks),
            ),
        )
        study = OptunaStudy(self.config.keys)
        self.record = StudyRecord(
            1, "replay", "", NOW, "", table.backbone, self.config.keys, StoredConfig({}), repetition
        )
        self.proposer = Proposer(
            EmptyStore(), self.record, self.config, table.bound_space, table, study
        )
        self.pruner = Oracle(self.config, table) if self.knowing else make_pruner(self.config)
        self.seeds = ShuffledSeeds(table, repetition)
        self.finals = FinalAccuracies()
        self.spent = 0

    def run(self, budget: int, trials: float = math.inf) -> list[tuple[int, str]]:
        """Search until `budget` epochs are spent, or so many trials made.

        The recommendation after so many epochs, trial by trial.
        """
        told: list[tuple[int, str]] = []
        while self.spent < budget and len(told) < trials:
            while len(self.going) < self.workers:
                self.going.append(self.proposer.next_trial())
                self.proposer.write_pending()
            self.trial(self.going.popleft())
            told.append((self.spent, self.recommended()))
        return told

    def recommended(self) -> str:
        """What the study would call its best."""
        return self.finals.recommend()

    def trial(self, proposal: Proposal) -> None:
        """Train one, that is: look it up."""
        text, number = str(proposal.architecture), proposal.number
        curve = self.seeds.curve(text, proposal.seed - self.config.seed)
        state: State = "complete"
        costs = self.table.rows[text].costs
        for report in curve:
            self.proposer.on_epoch(number, report)
            last = report.epoch == len(curve)
            if not last and self.pruner.judge(proposal, proposal.role, report, costs):
                state = "pruned"
                break
        self.spent += report.epoch
        if state == "complete":
            self.finals.add(text, proposal.seed, report.accuracy)
        record = ended(proposal, state, report.epoch, report.accuracy)
        self.proposer.on_trial_end(record)
        self.pruner.on_trial_end(record)


def ended(proposal: Proposal, state: State, epochs: int, accuracy: float) -> TrialRecord:
    """How a proposal ended."""
    costs = proposal.costs
    return make_trial_record(
        proposal.number,
        proposal.architecture,
        proposal.seed,
        proposal.role,
        accuracy=accuracy,
        epochs=epochs,
        state=state,
        params=None if costs is None else costs.params,
        macs=None if costs is None else costs.macs,
    )


def parse_way(way: str) -> tuple[SamplerName, Pruning, bool]:
    """`SAMPLER/none`, `SAMPLER/front:chance=0.2`, `SAMPLER/asha:first=0.3,eta=4`, `SAMPLER/oracle`.

    The last of the three that are returned says whether rungs know the truth.
    """
    sampler, _, pruner = way.partition("/")
    knowing = pruner.partition(":")[0] == "oracle"
    fields = Pruning.written(pruner.replace("oracle", "front", 1) or "none")
    return cast(SamplerName, sampler), Pruning.model_validate(fields), knowing


@lru_cache(maxsize=1)
def table_of(path: Path) -> TabularBenchmark:
    return TabularBenchmark(path)


def replayed(task: tuple[Path, str, int, int, int, int, float]) -> dict[str, Any]:
    """One repetition, in numbers; it goes on from `budget` until `last` to see what is found.

    Without a budget the first trials are all.
    """
    path, way, repetition, first, budget, last, top = task
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table = table_of(path)
    replay: Replay | Moasha
    if way.startswith("moasha"):
        replay = Moasha(table, way, repetition)
    else:
        replay = Replay(table, way, repetition)
    told = replay.run(budget or sys.maxsize, first)
    after = {
        "after_volume": table.hypervolume_share(replay.finals.means()),
        "after_epochs": replay.spent,
    }
    told += replay.run(budget)
    at_budget = after | {
        "regret": 100 * (table.rows[table.ranked[0]].truth - table.rows[told[-1][1]].truth),
        "volume": table.hypervolume_share(replay.finals.means()),
        "trials": len(told),
    }
    told += replay.run(last)
    good = set(table.ranked[: max(1, round(top * len(table.ranked)))])
    reached = found_after(told, good)
    return {**at_budget, "epochs": reached or last or replay.spent, "found": reached is not None}


def found_after(told: Sequence[tuple[int, str]], good: Set[str]) -> int | None:
    """Epochs until one of the good was recommended, and ever after; None if the last is not."""
    reached = None
    for spent, text in reversed(told):
        if text not in good:
            break
        reached = spent
    return reached


def measure(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All ways on one table."""
    ways = list(dict.fromkeys([RANDOM, *options.ways]))
    table = table_of(path)
    whole = len(table.ranked) * table.recipe.epochs
    budget = round(options.passes * whole)
    last = round(options.passes_of_random * whole) if budget else 0
    repetitions = range(options.repetitions)
    tasks = [
        # Random search goes on, or the time that it takes would not be known.
        (path, way, n, options.trials, budget, last if way == RANDOM else budget, options.top)
        for way in ways
        for n in repetitions
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        found = pool.map(replayed, tasks, chunksize=max(1, options.repetitions // 8))
    by_way = {
        way: found[i * len(repetitions) : (i + 1) * len(repetitions)] for i, way in enumerate(ways)
    }
    return {
        "table": table.name,
        "architectures": len(table.ranked),
        "seeds": table.seeds,
        "budget_epochs": budget,
        "last_epochs_of_random": last,
        "ways": {
            way: summary(runs, by_way[RANDOM]) | beside(way, by_way) for way, runs in by_way.items()
        },
    }


def summary(
    runs: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Means with standard errors, medians, and the speed-up over random search."""
    told: dict[str, Any] = {"repetitions": len(runs)}
    for key in ("regret", "volume", "after_volume", "after_epochs"):
        values = np.array([run[key] for run in runs])
        told[key] = [
            round(float(values.mean()), 4),
            round(float(values.std(ddof=1) / len(values) ** 0.5), 4),
        ]
    ours, theirs = (np.array([run["epochs"] for run in some]) for some in (runs, reference))
    draw = np.random.default_rng(0)
    ratios = [
        np.median(draw.choice(theirs, len(theirs))) / np.median(draw.choice(ours, len(ours)))
        for _ in range(2000)
    ]
    told["epochs"] = float(np.median(ours))
    told["speed_up"] = [round(float(np.median(theirs) / np.median(ours)), 2)]
    told["speed_up"] += [round(float(q), 2) for q in np.quantile(ratios, (0.025, 0.975))]
    told["found"] = round(statistics.mean(run["found"] for run in runs), 3)
    told["trials"] = statistics.median(run["trials"] for run in runs)
    return told


def beside(way: str, by_way: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """What a pruner changes after the same number of trials, repetition by repetition.

    Hypervolume with its standard error, and the part of the epochs that it saved; nothing if the
    sampler did not run without a pruner.
    """
    sampler, _, pruner = way.partition("/")
    runs, plain = by_way[way], by_way.get(f"{sampler}/none")
    if plain is None or pruner == "none":
        return {}
    away = np.array(
        [a["after_volume"] - b["after_volume"] for a, b in zip(runs, plain, strict=True)]
    )
    spent = [sum(run["after_epochs"] for run in some) for some in (runs, plain)]
    return {
        "after_difference": [
            round(float(away.mean()), 4),
            round(float(away.std(ddof=1) / len(away) ** 0.5), 4),
        ],
        "saved": round(1 - spent[0] / spent[1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--ways", nargs="+", default=["tpe/none", "nsga2/none", "tpe/asha"])
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument(
        "--passes", type=float, default=1.0, help="budget, in tables; 0: `--trials` are all"
    )
    parser.add_argument("--passes-of-random", type=float, default=6.0)
    parser.add_argument("--trials", type=int, default=60, help="to look at what a pruner saves")
    parser.add_argument("--top", type=float, default=0.01, help="what counts as found")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = [measure(path, options) for path in options.tables]
    for result in results:
        print(f"{result['table']}: {result['architectures']} architectures")
        for way, told in result["ways"].items():
            speed, low, high = told["speed_up"]
            print(
                f"  {way:44s} regret {told['regret'][0]:5.2f} ± {told['regret'][1]:.2f}  volume "
                f"{told['volume'][0]:.3f}  after {options.trials} trials "
                f"{told['after_volume'][0]:.3f} for {told['after_epochs'][0]:.0f}  "
                f"epochs {told['epochs']:6.0f}  "
                f"×{speed} ({low}–{high})  "
                f"found {told['found']:.0%}  trials {told['trials']:.0f}"
            )
    if options.json:
        told = {
            "what": "searches replayed on tables of architectures",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "repetitions": options.repetitions,
            "top": options.top,
            "trials": options.trials,
            "tables": results,
        }
        options.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
