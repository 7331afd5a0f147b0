"""Check that the intervals of importances hold the truth, on the tables of architectures.

    python benchmarks/importances.py benchmarks/tables/cued_plain.json … --json FILE

A repetition replays a search (`search_replays.py`), and estimates the importance of the attention
in each stage from its trials. The truth follows from the mean accuracies of all architectures of
the table: what an attention adds in a stage is a least-squares fit to them, and the importance is
the share that it explains of the same variance of the same trials. Only the stages of the space are
judged: of others a table knows nothing.

coverage    the share of 95 % intervals that hold the truth
width       of the intervals, mean; a share of the variance
bias        estimate minus truth, mean
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from attentune.benchmarks.search_replays import Replay, load_table
from attentune.benchmarks.tabular_benchmark import TabularBenchmark
from attentune.runners.environment import describe_environment
from attentune.spaces.architecture import Architecture, parse
from attentune.studies.analysis.attention_effects import estimate_attention_effects
from attentune.studies.analysis.importances import StageChoice, estimate_importances
from attentune.studies.analysis.insertion_index import InsertionIndex
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.records import TrialRecord

ATTENTION = "attention"
WAYS = ("random/none", "additive/none")


def attentions_by_stage(architecture: Architecture, stages: int) -> dict[int, str]:
    """The attention in each stage that has one."""
    return {
        stage: insertion.attention
        for insertion in architecture.insertions
        for place in insertion.places
        for stage in (range(place.first, place.last + 1) if place.first else range(1, stages + 1))
    }


@lru_cache(maxsize=1)
def true_effects(path: Path) -> dict[tuple[int, str], float]:
    """What each attention adds in each stage, by least squares over all architectures."""
    table = load_table(path)
    stages = len(table.bound_space.site_map.blocks)
    levels = [attentions_by_stage(parse(text), stages) for text in table.ranked]
    names = sorted({item for level in levels for item in level.items()})
    design = np.array([[1.0, *(level.get(s) == name for s, name in names)] for level in levels])
    truth = np.array([table.rows[text].truth for text in table.ranked])
    effects = np.linalg.lstsq(design, truth, rcond=None)[0][1:]
    return dict(zip(names, effects.tolist(), strict=True))


def true_shares(
    table: TabularBenchmark, path: Path, trials: Sequence[Architecture], variance: float
) -> dict[str, float]:
    """By stage, the share that its attention explains of a variance of these trials."""
    effects = true_effects(path)
    stages = sorted({stage for stage, _ in effects})
    units = {item: number for number, item in enumerate(effects)}
    levels = [attentions_by_stage(a, len(table.bound_space.site_map.blocks)) for a in trials]

    def choice(level: dict[int, str], stage: int) -> StageChoice:
        unit = units.get((stage, level.get(stage, "")))
        return StageChoice() if unit is None else StageChoice((unit,), (level[stage],), (None,))

    exact = np.zeros((len(units), len(units)))
    explained = estimate_importances(
        [[choice(level, stage) for stage in stages] for level in levels],
        [f"s{stage}" for stage in stages],
        np.array(list(effects.values())),
        exact,
        variance,
    )
    return {each.stage: each.share for each in explained}


def judge_search(task: tuple[Path, str, int, int]) -> list[tuple[float, float, float, float]]:
    """Of each stage, the estimate, the ends of its interval, and the truth.

    Args:
        task: path of the table, way, repetition and number of trials.
    """
    path, way, repetition, count = task
    table = load_table(path)
    replay = Replay(table, way, repetition)
    replay.run(count * table.recipe.epochs, count)
    return list(judge_trials(table, path, replay.records))


def judge_trials(
    table: TabularBenchmark, path: Path, records: Sequence[TrialRecord]
) -> Iterator[tuple[float, float, float, float]]:
    """As `judge_search`, of some trials."""
    stages = len(table.bound_space.site_map.blocks)
    model = StudyModel(stages)
    for record in records:
        model.add_trial(record.number, record.parsed, record.seed, record.accuracy)
    architectures = list(dict.fromkeys(record.parsed for record in records))
    index = InsertionIndex(stages).extend([str(each) for each in architectures])
    effects = estimate_attention_effects(
        model,
        model.histories,
        index,
        np.ones(len(architectures), bool),
        Architecture(table.backbone),
    )
    truths = true_shares(table, path, [r.parsed for r in records], effects.variance)
    for each in effects.importances:
        if each.choice == ATTENTION and each.stage in truths:
            yield each.share, each.low, each.high, truths[each.stage]


def summarise(rows: Sequence[tuple[float, float, float, float]]) -> dict[str, Any]:
    """Coverage, width and bias of intervals."""
    share, low, high, truth = np.array(rows).T
    held = (low <= truth) & (truth <= high)
    return {
        "intervals": len(rows),
        "coverage": round(float(held.mean()), 3),
        "width": round(float((high - low).mean()), 3),
        "bias": round(float((share - truth).mean()), 3),
        "truth": round(float(truth.mean()), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--trials", nargs="+", type=int, default=[20, 40, 80])
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for path, way, trials in product(options.tables, WAYS, options.trials):
            tasks = [(path, way, number, trials) for number in range(options.repetitions)]
            judged = [row for part in pool.imap(judge_search, tasks, chunksize=5) for row in part]
            rows.append({"table": path.stem, "way": way, "trials": trials, **summarise(judged)})
            print(rows[-1], flush=True)
    if options.json:
        content = {
            "what": "whether 95 % intervals of importances hold the truth",
            "environment": describe_environment(torch.device("cpu"), "float32"),
            "repetitions": options.repetitions,
            "rows": rows,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
