"""Measure how much training a search needs to find the best architecture, by replaying searches.

    python benchmarks/search_replays.py benchmarks/tables/cued_plain.json --repetitions 100
    python benchmarks/search_replays.py TABLE --ways tpe/none nsga2/asha:first=0.3,eta=4

A tabular benchmark has all architectures of a small space with several seeds and full learning
curves (`train_tabular_benchmark.py`). A replay runs the sampler and the pruner of a search, with
curves from the table instead of training; its cost is the number of epochs. The true accuracy of an
architecture is its mean over the table's seeds. Each repetition assigns new seed effects to the
curves (`tabular_benchmark.ShuffledSeeds`). `additive/none@8` runs eight trials at a time, which end
in the order of their starts. `moasha:first=0.25,eta=3` is Syne Tune's, if it is installed.
`random/oracle` is the pruner `front` with the true accuracies at its rungs, an upper bound of what
better predictions could save.

The result has, for each sampler/pruner, over the repetitions:
regret      accuracy of the best architecture minus that of the recommended one, in points, when the
            budget is spent
volume      hypervolume of the front that the study would show (by mean accuracy and parameters),
            at true accuracies, as a fraction of the largest possible
after       the same, and the epochs spent, after the first `--trials` trials: what a pruner saves,
            and the difference to the same sampler without a pruner, if that is measured too
epochs      median epochs until the recommendation is among the true best `--top`, and remains so;
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
from attentune.search.pruning.registry import make_pruner
from attentune.search.pruning.rung_pruner import RungEntry
from attentune.search.run.optuna_study import OptunaStudy
from attentune.search.run.propose import Proposer
from attentune.search.trial_source import Proposal
from attentune.studies.analysis.pareto import Matrix
from attentune.studies.config import Pruning, SamplerName, StudyConfig
from attentune.studies.insertion_facts import InsertionFacts
from attentune.studies.records import State, StudyRecord, TrialRecord
from attentune.studies.stored_config import StoredConfig

RANDOM = "random/none"


class NoInsertions:
    """A repository of insertions that saves nothing."""

    def read(self, _study: StudyRecord, /) -> tuple[dict[str, InsertionFacts], int]:
        return {}, 0

    def record(self, *_: Any) -> None:
        pass


class EmptyStore:
    """A store that saves nothing, and its repositories. A replay needs no database."""

    @property
    def trials(self) -> EmptyStore:
        return self

    @property
    def epochs(self) -> EmptyStore:
        return self

    @property
    def studies(self) -> EmptyStore:
        return self

    def record_expected_gain(self, *_: Any) -> None:
        pass

    @property
    def insertions(self) -> NoInsertions:
        return NoInsertions()

    def read(self, _study: StudyRecord, /) -> list[Any]:
        return []

    def read_rejections(self, _study: StudyRecord, /) -> list[Any]:
        return []

    def start_all(self, *_: Any, **__: Any) -> None:
        pass

    def reject(self, *_: Any, **__: Any) -> None:
        pass


class Oracle(FrontPruner):
    """The pruner `front`, which knows the true accuracy of all architectures."""

    def __init__(self, config: StudyConfig, table: TabularBenchmark) -> None:
        super().__init__(config)
        self.table = table

    def sample_accuracies(
        self, _entries: Any, contenders: Sequence[RungEntry], _rng: Any
    ) -> Matrix:
        """A single sample: the true accuracies."""
        rows = [self.table.rows[str(entry.architecture)] for entry in contenders]
        return np.array([[row.truth for row in rows]])


class Replay:
    """One search on a tabular benchmark.

    Args:
        table: where trials are looked up.
        way: SAMPLER/PRUNER, with `@N` for N trials at a time; see `parse_way`.
        repetition: seed of the search and of the seed effects.

    Attributes:
        records: of the trials that have ended.
        forecasts: whether the gain of more trials is forecast, which takes longer than a proposal.
    """

    forecasts = False

    def __init__(self, table: TabularBenchmark, way: str, repetition: int) -> None:
        way, _, workers = way.partition("@")
        self.workers, self.running = int(workers or 1), deque[Proposal]()
        sampler, pruning, self.is_oracle = parse_way(way)
        self.table = table
        self.config = StudyConfig(
            backbone=table.backbone,
            recipe=table.recipe,
            space=table.space,
            sampler=sampler,
            pruning=pruning,
            seed=repetition,
            num_classes=10,
            stages=len(table.bound_space.site_map.blocks),
        )
        study = OptunaStudy(self.config.keys)
        self.record = StudyRecord(
            1, "replay", "", NOW, "", table.backbone, self.config.keys, StoredConfig({}), repetition
        )
        self.proposer = Proposer(
            EmptyStore(),
            self.record,
            self.config,
            table.bound_space,
            table,
            study,
            forecasts=self.forecasts,
        )
        self.pruner = Oracle(self.config, table) if self.is_oracle else make_pruner(self.config)
        self.seeds = ShuffledSeeds(table, repetition)
        self.finals = FinalAccuracies(len(table.bound_space.site_map.blocks))
        self.records: list[TrialRecord] = []
        self.spent = 0

    def run(self, budget: int, trials: float = math.inf) -> list[tuple[int, str]]:
        """Search until `budget` epochs are spent, or `trials` trials have run.

        Returns:
            After each trial, the epochs spent so far and the recommended architecture.
        """
        recommendations: list[tuple[int, str]] = []
        while self.spent < budget and len(recommendations) < trials:
            while len(self.running) < self.workers:
                self.running.append(self.proposer.next_trial())
                self.proposer.write_pending()
            self.run_trial(self.running.popleft())
            recommendations.append((self.spent, self.recommend()))
        return recommendations

    def recommend(self) -> str:
        """The architecture that the study would recommend."""
        return self.finals.recommend()

    def run_trial(self, proposal: Proposal) -> None:
        """Look up the learning curve of a proposal, and prune it where the pruner says so."""
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
        record = make_record(proposal, state, report.epoch, report.accuracy)
        self.records.append(record)
        self.proposer.on_trial_end(record)
        self.pruner.on_trial_end(record)


def make_record(proposal: Proposal, state: State, epochs: int, accuracy: float) -> TrialRecord:
    """The record of a proposal that has ended."""
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
    """Sampler and pruner of `SAMPLER/none`, `SAMPLER/front:chance=0.2`, `SAMPLER/oracle` and so on.

    The last item of the result says whether the pruner is the oracle.
    """
    sampler, _, pruner = way.partition("/")
    is_oracle = pruner.partition(":")[0] == "oracle"
    fields = Pruning.parse_fields(pruner.replace("oracle", "front", 1) or "none")
    return cast(SamplerName, sampler), Pruning.model_validate(fields), is_oracle


@lru_cache(maxsize=1)
def load_table(path: Path) -> TabularBenchmark:
    """A tabular benchmark, cached in this process."""
    return TabularBenchmark(path)


def replay_search(task: tuple[Path, str, int, int, int, int, float]) -> dict[str, Any]:
    """The results of one repetition.

    Args:
        task: path of the table, way, repetition, number of trials after which a pruner is judged
            (`first`), epochs of the budget (0: stop after `first` trials), epochs until which the
            search continues to find the best (`last`), and the share of architectures that count
            as best (`top`).
    """
    path, way, repetition, first, budget, last, top = task
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table = load_table(path)
    replay: Replay | Moasha
    if way.startswith("moasha"):
        replay = Moasha(table, way, repetition)
    else:
        replay = Replay(table, way, repetition)
    recommendations = replay.run(budget or sys.maxsize, first)
    after = {
        "after_volume": table.hypervolume_share(replay.finals.means()),
        "after_epochs": replay.spent,
    }
    recommendations += replay.run(budget)
    at_budget = after | {
        "regret": table.regret(recommendations[-1][1]),
        "volume": table.hypervolume_share(replay.finals.means()),
        "trials": len(recommendations),
    }
    recommendations += replay.run(last)
    best = set(table.ranked[: max(1, round(top * len(table.ranked)))])
    reached = epochs_until_best(recommendations, best)
    return {**at_budget, "epochs": reached or last or replay.spent, "found": reached is not None}


def epochs_until_best(recommendations: Sequence[tuple[int, str]], best: Set[str]) -> int | None:
    """Epochs after which all recommendations are among `best`; None if the last one is not."""
    reached = None
    for spent, text in reversed(recommendations):
        if text not in best:
            break
        reached = spent
    return reached


def measure(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Replay all samplers and pruners on one table."""
    ways = list(dict.fromkeys([RANDOM, *options.ways]))
    table = load_table(path)
    table_epochs = len(table.ranked) * table.recipe.epochs
    budget = round(options.passes * table_epochs)
    last = round(options.passes_of_random * table_epochs) if budget else 0
    repetitions = range(options.repetitions)
    tasks = [
        # Random search continues beyond the budget, because speed-ups are relative to its epochs.
        (path, way, n, options.trials, budget, last if way == RANDOM else budget, options.top)
        for way in ways
        for n in repetitions
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        results = pool.map(replay_search, tasks, chunksize=max(1, options.repetitions // 8))
    by_way = {
        way: results[i * len(repetitions) : (i + 1) * len(repetitions)]
        for i, way in enumerate(ways)
    }
    return {
        "table": table.name,
        "architectures": len(table.ranked),
        "seeds": table.seeds,
        "budget_epochs": budget,
        "last_epochs_of_random": last,
        "ways": {
            way: summarise_runs(runs, by_way[RANDOM]) | compare_unpruned(way, by_way)
            for way, runs in by_way.items()
        },
    }


def summarise_runs(
    runs: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Means with standard errors, medians, and the speed-up over random search."""
    summary: dict[str, Any] = {"repetitions": len(runs)}
    for key in ("regret", "volume", "after_volume", "after_epochs"):
        values = np.array([run[key] for run in runs])
        summary[key] = [
            round(float(values.mean()), 4),
            round(float(values.std(ddof=1) / len(values) ** 0.5), 4),
        ]
    epochs, reference_epochs = (
        np.array([run["epochs"] for run in group]) for group in (runs, reference)
    )
    draw = np.random.default_rng(0)
    ratios = [
        np.median(draw.choice(reference_epochs, len(reference_epochs)))
        / np.median(draw.choice(epochs, len(epochs)))
        for _ in range(2000)
    ]
    summary["epochs"] = float(np.median(epochs))
    summary["speed_up"] = [round(float(np.median(reference_epochs) / np.median(epochs)), 2)]
    summary["speed_up"] += [round(float(q), 2) for q in np.quantile(ratios, (0.025, 0.975))]
    summary["found"] = round(statistics.mean(run["found"] for run in runs), 3)
    summary["trials"] = statistics.median(run["trials"] for run in runs)
    return summary


def compare_unpruned(way: str, by_way: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Effect of a pruner after the same number of trials, paired by repetition.

    The difference in hypervolume with its standard error, and the fraction of the epochs that is
    saved; empty if the sampler was not replayed without a pruner.
    """
    sampler, _, pruner = way.partition("/")
    runs, plain = by_way[way], by_way.get(f"{sampler}/none")
    if plain is None or pruner == "none":
        return {}
    differences = np.array(
        [a["after_volume"] - b["after_volume"] for a, b in zip(runs, plain, strict=True)]
    )
    spent = [sum(run["after_epochs"] for run in group) for group in (runs, plain)]
    return {
        "after_difference": [
            round(float(differences.mean()), 4),
            round(float(differences.std(ddof=1) / len(differences) ** 0.5), 4),
        ],
        "saved": round(1 - spent[0] / spent[1], 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--ways", nargs="+", default=["tpe/none", "nsga2/none", "tpe/asha"])
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument(
        "--passes",
        type=float,
        default=1.0,
        help="budget as a multiple of one trial per architecture; 0: stop after --trials",
    )
    parser.add_argument("--passes-of-random", type=float, default=6.0)
    parser.add_argument(
        "--trials", type=int, default=60, help="trials after which a pruner is judged"
    )
    parser.add_argument(
        "--top", type=float, default=0.01, help="share of the architectures that count as best"
    )
    parser.add_argument("--processes", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = [measure(path, options) for path in options.tables]
    for result in results:
        print(f"{result['table']}: {result['architectures']} architectures")
        for way, summary in result["ways"].items():
            speed, low, high = summary["speed_up"]
            print(
                f"  {way:44s} regret {summary['regret'][0]:5.2f} ± {summary['regret'][1]:.2f}  "
                f"volume {summary['volume'][0]:.3f}  after {options.trials} trials "
                f"{summary['after_volume'][0]:.3f} for {summary['after_epochs'][0]:.0f}  "
                f"epochs {summary['epochs']:6.0f}  "
                f"×{speed} ({low}–{high})  "
                f"found {summary['found']:.0%}  trials {summary['trials']:.0f}"
            )
    if options.json:
        content = {
            "what": "searches replayed on tables of architectures",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "repetitions": options.repetitions,
            "top": options.top,
            "trials": options.trials,
            "tables": results,
        }
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
