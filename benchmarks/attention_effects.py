"""Compare attentions on the embedded tasks, with a short recipe.

    python benchmarks/attention_effects.py --data cued-digits --json benchmarks/results/FILE

`test_resnet` is trained without attention and with each attention in all blocks (r = 4, identity
start), with several seeds each, on one thread of a CPU. The result has the differences to the bare
backbone, paired by seed, with their standard errors. Trials that the result file already has, with
the same recipe, are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from attentune.benchmarks.network_training import (
    LoadedData,
    load_on_device,
    train_network,
    with_light_augmentation,
)
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe

BARE = "test_resnet"
ARCHITECTURES = [
    BARE,
    *(
        f"{BARE}+{attention}@all.residual"
        for attention in (
            "se(r=4,start=identity)",
            "eca(start=identity)",
            "cbam(r=4,start=identity)",
            "ca(r=4,start=identity)",
        )
    ),
]


def train_trial(text: str, seed: int, recipe: Recipe, loaded: LoadedData) -> dict[str, Any]:
    began = time.process_time()
    curve = train_network(text, seed, recipe, loaded).accuracies
    seconds = time.process_time() - began
    return {"architecture": text, "seed": seed, "curve": curve, "cpu_seconds": round(seconds, 2)}


def summarise_trials(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    final = {(t["architecture"], t["seed"]): 100 * t["curve"][-1] for t in trials}
    rows = []
    for text in dict.fromkeys(t["architecture"] for t in trials):
        seeds = sorted(seed for name, seed in final if name == text)
        accuracies = [final[text, seed] for seed in seeds]
        gains = [final[text, s] - final[BARE, s] for s in seeds if (BARE, s) in final]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else None
        rows.append(
            {
                "architecture": text,
                "seeds": len(seeds),
                "accuracy": round(statistics.mean(accuracies), 2),
                "accuracy_deviation": round(statistics.stdev(accuracies), 2) if seeds[1:] else None,
                "gain": round(statistics.mean(gains), 2) if gains else None,
                "gain_standard_error": None if error is None else round(error, 2),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="cued-digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = with_light_augmentation(
        Recipe.of(
            data=options.data,
            image_size=36,
            train_limit=6000,
            epochs=options.epochs,
            batch_size=64,
            lr=6e-3,
        )
    )
    loaded = load_on_device(recipe, torch.device("cpu"))
    previous = json.loads(options.json.read_text()) if options.json.exists() else {}
    same_recipe = previous.get("recipe") == recipe.model_dump(mode="json")
    trials = previous["trials"] if same_recipe else []
    done = {(t["architecture"], t["seed"]) for t in trials}
    for seed in range(options.seeds):
        for text in ARCHITECTURES:
            if (text, seed) in done:
                continue
            trials.append(train_trial(text, seed, recipe, loaded))
            result = {
                "what": "final validation accuracy and paired gain over the bare backbone, points",
                "environment": describe_environment(torch.device("cpu"), recipe.precision),
                "recipe": recipe.model_dump(mode="json"),
                "summary": summarise_trials(trials),
                "trials": trials,
            }
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(result, indent=1) + "\n")
            print(text, seed, f"{100 * trials[-1]['curve'][-1]:.1f} %", flush=True)
    for row in summarise_trials(trials):
        print(row)


if __name__ == "__main__":
    main()
