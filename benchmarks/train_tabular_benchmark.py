"""Train a tabular benchmark: all architectures of a small space, several seeds each.

    python benchmarks/train_tabular_benchmark.py benchmarks/tables/cued_plain.toml --processes 2
    python benchmarks/train_tabular_benchmark.py CONFIG --sample 15 --epochs 30 --table longer.json

The first command writes `cued_plain.json` beside its settings, the second trains a sample of it for
longer (`long_training_ranks.py` compares the two). The loop is that of a trial. Each trial is
written when it ends, all trials of one seed before those of the next, so that training can be
stopped at any time and continued later. Several kinds of machines may take part: trials on another
kind than the first are listed under `elsewhere`, because seed effects differ between kinds of
machines; `TabularBenchmark` removes this difference.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from attentune.benchmarks.empty_probe_cache import EmptyProbeCache
from attentune.benchmarks.network_training import load_on_device, train_network
from attentune.benchmarks.tabular_benchmark import missing_trials
from attentune.runners.costs import CostModel
from attentune.runners.devices import keep_freed_memory
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport
from attentune.search.run.baselines import study_baselines
from attentune.search.setup.request import read_request
from attentune.search.setup.resolve import resolve_request
from attentune.spaces.search_space.bound_space import bind_space
from attentune.spaces.search_space.space import Space

Result = dict[str, Any]
Task = tuple[dict[str, Any], str, int, str]
"""Fields of a recipe, an architecture, a seed and a device."""
Trial = tuple[str, int, list[EpochReport], str]
"""An architecture, a seed, the learning curve, and how steps were run (eager or captured)."""


def make_table(config: Path, changes: Mapping[str, Any]) -> Result:
    """A table for these settings, without trials."""
    study = resolve_request(read_request(changes, config), EmptyProbeCache())
    recipe = study.recipe
    costs = CostModel(study.backbone, recipe, study.num_classes)
    bound_space = bind_space(study.space, costs.site_map)
    inside = dict.fromkeys(bound_space.architecture_at(i) for i in range(bound_space.count()))
    rows = []
    for architecture in dict.fromkeys([*inside, *study_baselines(study.backbone, bound_space)]):
        price = costs.price(architecture)
        row = {"architecture": str(architecture), "params": price.params, "macs": price.macs}
        row |= {} if architecture in inside else {"outside": True}
        rows.append(row | {"seeds": [], "seconds": None, "accuracy": [], "train_loss": []})
    fields = recipe.model_dump(mode="json")
    return {
        "what": "accuracy (fraction, averaged weights) and mean training loss after every epoch",
        "backbone": study.backbone,
        "space": study.space.model_dump(mode="json"),
        "recipe": {**fields, "data": Path(fields["data"]).name},
        "environments": [],
        "architectures": rows,
    }


def sample_rows(table: Result, count: int) -> list[Result]:
    """A random sample of the rows in the space, always the same."""
    inside = [row for row in table["architectures"] if not row.get("outside")]
    rows = sorted(inside, key=lambda row: str(row["architecture"]))
    return random.Random(0).sample(rows, count)


def train_trial(task: Task) -> Trial:
    """Train one trial."""
    fields, text, seed, device_name = task
    device = torch.device(device_name)
    torch.set_num_threads(1)
    if device.type == "cpu":
        keep_freed_memory()
    recipe = Recipe.of(**fields)
    run = train_network(text, seed, recipe, load_on_device(recipe, device))
    return text, seed, run.curve, run.outcome.steps


def train_all(tasks: Sequence[Task], processes: int) -> Iterator[Trial]:
    """Train all tasks, and yield trials as they end. With one process, train in this process."""
    if processes == 1:
        yield from map(train_trial, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(train_trial, tasks)


def add_trial(
    table: Result, text: str, seed: int, curve: Sequence[EpochReport], environment: Result
) -> None:
    """Add a trial to the table, in place."""
    if environment not in table["environments"]:
        table["environments"].append(environment)
    row = next(row for row in table["architectures"] if row["architecture"] == text)
    if environment["device"] != table["environments"][0]["device"]:
        row.setdefault("elsewhere", []).append(seed)
    elif row["seconds"] is None:
        row["seconds"] = round(statistics.median(report.seconds for report in curve), 2)
    row["seeds"].append(seed)
    row["accuracy"].append([round(report.accuracy, 4) for report in curve])
    row["train_loss"].append([round(report.train_loss, 4) for report in curve])


def format_table(table: Result) -> str:
    """The content of a table's file, with one line per architecture."""
    head = {**table, "architectures": "ROWS"}
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in table["architectures"])
    text = json.dumps(head, indent=1, ensure_ascii=False)
    return text.replace('"ROWS"', f"[\n{lines}\n ]") + "\n"


def write_table(table: Result, path: Path) -> None:
    """Write a table atomically."""
    part = path.with_suffix(".part")
    part.write_text(format_table(table), "utf-8")
    part.replace(path)


def open_table(path: Path, config: Path, changes: Mapping[str, Any]) -> Result:
    """The table in a file, or a new one; SystemExit if the file has other settings."""
    new = make_table(config, changes)
    if not path.exists():
        return new
    table: Result = json.loads(path.read_text("utf-8"))
    # Fields that recipes and spaces got later have defaults that mean what was done before.
    settings = {
        **table,
        "recipe": Recipe.of(**table["recipe"]).model_dump(mode="json"),
        "space": Space.of(**table["space"]).model_dump(mode="json"),
    }
    for name in ("backbone", "space", "recipe"):
        if settings[name] != new[name]:
            raise SystemExit(
                f"{path} was trained with another {name} than {config} has; move it away, or give "
                "another file with --table"
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path, help="settings, as for `attentune search --config`")
    parser.add_argument("--table", type=Path, help="file of the table; default: CONFIG with .json")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--sample", type=int, help="train a random sample of this many architectures"
    )
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--train-limit", type=int)
    parser.add_argument("--data")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="stop after this time, when a trial ends"
    )
    options = parser.parse_args()
    path = options.table or options.config.with_suffix(".json")
    requested = {
        name: getattr(options, name) for name in ("epochs", "data", "train_limit", "device")
    }
    changes = {name: value for name, value in requested.items() if value is not None}
    table = open_table(path, options.config, changes)
    recipe = {**table["recipe"], "data": options.data or table["recipe"]["data"]}
    rows = sample_rows(table, options.sample) if options.sample else table["architectures"]
    tasks = [(recipe, *trial, options.device) for trial in missing_trials(rows, options.seeds)]
    print(f"trials to train: {len(tasks)}", flush=True)
    environment = describe_environment(torch.device(options.device), recipe["precision"])
    deadline = time.monotonic() + options.seconds
    for text, seed, curve, steps in train_all(tasks, options.processes):
        add_trial(table, text, seed, curve, environment | {"steps": steps})
        write_table(table, path)
        print(text, seed, curve[-1].accuracy, flush=True)
        if time.monotonic() > deadline:
            break
    remaining = len(missing_trials(rows, options.seeds))
    if remaining:
        raise SystemExit(f"trials still to train: {remaining}; call again")


if __name__ == "__main__":
    main()
