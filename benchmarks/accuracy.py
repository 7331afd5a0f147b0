"""Check that the training loop reaches the accuracy of a plain float32 loop in as many epochs.

    python benchmarks/accuracy.py --data ../cifar10 --json benchmarks/results/accuracy.json

Bare backbones are trained on the same images with the same optimizer, learning rate, schedule and
number of epochs, several seeds each: in the loop of a trial, with the precision and memory format
that calibration chooses and with averaged weights; and in a plain PyTorch loop
(`pytorch_baseline.py`). The mean accuracy of the first may be lower by at most two standard errors
of the difference. Runs that the result file already has, with the same recipe, are not repeated.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from attentune.benchmarks.network_training import (
    load_on_device,
    train_network,
    with_light_augmentation,
)
from attentune.benchmarks.pytorch_baseline import BaselineSettings
from attentune.runners.calibration.precision import probe_precision
from attentune.runners.data import inspect_data, load_data
from attentune.runners.devices import resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.spaces.backbones.discover import choose_stem

Runs = list[dict[str, Any]]


def summarise_runs(runs: Runs) -> Runs:
    """A row for each backbone that both loops have trained."""
    loops: dict[str, set[str]] = {}
    for run in runs:
        loops.setdefault(run["backbone"], set()).add(run["way"])
    return [compare_loops(runs, name) for name, ways in loops.items() if len(ways) > 1]


def compare_loops(runs: Runs, backbone: str) -> dict[str, Any]:
    """Means and standard deviations of both loops, and their difference, in points."""
    accuracies = {
        way: [100 * r["accuracy"] for r in runs if (r["backbone"], r["way"]) == (backbone, way)]
        for way in ("ours", "usual")
    }
    row: dict[str, Any] = {"backbone": backbone, "seeds": min(map(len, accuracies.values()))}
    for way, values in accuracies.items():
        row[way] = round(statistics.mean(values), 2)
        row[f"{way}_deviation"] = round(statistics.stdev(values), 2) if values[1:] else None
    if row["seeds"] > 1:
        error = sum(statistics.variance(v) / len(v) for v in accuracies.values()) ** 0.5
        difference = row["ours"] - row["usual"]
        row["difference"] = round(difference, 2)
        row["standard_error"] = round(error, 2)
        row["as_good"] = difference >= -2 * error
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="cued-digits")
    parser.add_argument("--backbones", nargs="+", default=["test_resnet", "mobilenetv3_small_050"])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    device, source = resolve_device(options.device), inspect_data(options.data)
    previous = json.loads(options.json.read_text()) if options.json.exists() else {}
    recipes, runs = {}, list(previous.get("runs", []))
    for backbone in options.backbones:
        size = min(32, source.image_size)
        recipe = with_light_augmentation(
            Recipe.of(
                data=options.data,
                image_size=size,
                stem=choose_stem(backbone, size),
                train_limit=options.images,
                epochs=options.epochs,
            )
        )
        probe = probe_precision(backbone, recipe, len(load_data(recipe).classes), device)
        recipes[backbone] = recipe.model_copy(update=probe.settings)
    settings = {name: recipe.model_dump(mode="json") for name, recipe in recipes.items()}
    if previous.get("recipes") != settings:
        runs = []
    done = {(run["backbone"], run["way"], run["seed"]) for run in runs}
    for seed in range(options.seeds):
        for backbone, recipe in recipes.items():
            baseline = BaselineSettings([backbone], recipe.model_dump(mode="json"), str(device))
            for way in ("ours", "usual"):
                if (backbone, way, seed) in done:
                    continue
                if way == "ours":
                    loaded = load_on_device(recipe, device)
                    accuracy = train_network(backbone, seed, recipe, loaded).accuracy
                else:
                    accuracy = baseline.run(backbone, seed, lambda *_: None)
                runs.append({"backbone": backbone, "way": way, "seed": seed, "accuracy": accuracy})
                result = {
                    "what": "final validation accuracy, points, same epochs; standard error of the "
                    "difference of the means",
                    "environment": describe_environment(
                        device, "as in the recipes, float32 where usual"
                    ),
                    "recipes": settings,
                    "summary": summarise_runs(runs),
                    "runs": runs,
                }
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
                print(backbone, way, seed, f"{accuracy:.1%}", flush=True)
    for row in summarise_runs(runs):
        print(row)


if __name__ == "__main__":
    main()
