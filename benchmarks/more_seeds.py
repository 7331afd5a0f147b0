"""Complete a table's seeds on another machine than the one that made it.

    python benchmarks/more_seeds.py benchmarks/tables/cued_digits.json --seeds 3 --device cpu

Trains every architecture of the table's space that has fewer seeds, and writes each curve into the
table as it comes, so that it can be stopped at any time. Results of two kinds of machines are not
mixed in a study, since what all trials of a seed share differs between them; `tabular.Table` takes
that difference out. Such seeds are named under `elsewhere`, and this machine in `environments`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from attentune.benchmarks.record_table import written
from attentune.benchmarks.tables import resnet6  # noqa: F401  registers it with timm
from attentune.runners.data import load_data
from attentune.runners.devices import hold_memory
from attentune.runners.environment import environment
from attentune.runners.recipe import Recipe
from attentune.runners.resident import DeviceData
from attentune.runners.results import EpochReport
from attentune.runners.train import Save, train
from attentune.spaces.architecture import parse
from attentune.spaces.build import build

Task = tuple[dict[str, Any], str, int, str]


@lru_cache(maxsize=1)
def _data(recipe: Recipe, device: torch.device) -> tuple[DeviceData, int]:
    dataset = load_data(recipe)
    return DeviceData.of(dataset, device), len(dataset.classes)


def trained(task: Task) -> tuple[str, int, list[EpochReport], str]:
    """One trial: its curve, and how its steps were computed."""
    fields, text, seed, device_name = task
    device = torch.device(device_name)
    torch.set_num_threads(1)
    hold_memory()
    recipe = Recipe.of(**fields)
    data, classes = _data(recipe, device)
    model = build(
        parse(text),
        num_classes=classes,
        image_size=recipe.image_size,
        stem=recipe.stem,
        seed=seed,
    ).to(device)
    curve: list[EpochReport] = []

    def noted(report: EpochReport, _save: Save) -> bool:
        curve.append(report)
        return True

    outcome = train(model, data, recipe, seed=seed, on_epoch=noted)
    return text, seed, curve, outcome.steps


def missing(table: dict[str, Any], seeds: int, device: str) -> list[Task]:
    """What to train; baselines outside of the space, which have one seed, are left as they are."""
    return [
        (table["recipe"], row["architecture"], seed, device)
        for row in table["architectures"]
        if len(row["seeds"]) > 1
        for seed in range(seeds)
        if seed not in row["seeds"]
    ]


def add(table: dict[str, Any], text: str, seed: int, curve: list[EpochReport]) -> None:
    """Put a trial into the table."""
    row = next(row for row in table["architectures"] if row["architecture"] == text)
    row["seeds"].append(seed)
    row.setdefault("elsewhere", []).append(seed)
    row["accuracy"].append([round(report.accuracy, 4) for report in curve])
    row["train_loss"].append([round(report.train_loss, 4) for report in curve])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    table = json.loads(options.table.read_text("utf-8"))
    tasks = missing(table, options.seeds, options.device)
    print(f"{len(tasks)} trials to go", flush=True)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for text, seed, curve, steps in pool.imap_unordered(trained, tasks):
            add(table, text, seed, curve)
            here = environment(torch.device(options.device), "float32") | {"steps": steps}
            if here not in table["environments"]:
                table["environments"].append(here)
            options.table.write_text(written(table), "utf-8")
            print(text, seed, curve[-1].accuracy, flush=True)


if __name__ == "__main__":
    main()
