"""Which identity start trains better: the doubled gate, or the module blended in.

    python benchmarks/starts.py --json benchmarks/results/starts.json

Two forms begin as the identity exactly: `doubled` is 2σ(z) with the last layer at zero, the
catalogue's; `blended` is x + a·(attention(x) − x) with the published module and a = 0, one more
parameter, which people's own attention gets. Trains `test_resnet` bare and with either form of each
attention everywhere, on both embedded tasks, several paired seeds each, and gives the differences
blended − doubled with their standard errors. Trials that are in the file already, under the same
recipe, are not run again; `--minutes` stops between trials.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from attentune import register_attention
from attentune.runners.data import load_data
from attentune.runners.environment import environment
from attentune.runners.recipe import Recipe
from attentune.runners.resident import DeviceData
from attentune.runners.train import train
from attentune.spaces.architecture import parse
from attentune.spaces.attentions.catalogue import attention
from attentune.spaces.build import build

BARE = "test_resnet"
ATTENTIONS = {"se": {"r": 4}, "cbam": {"r": 4}, "ca": {"r": 4}, "eca": {}}
TASKS = ("cued-digits", "cluttered-digits")
FORMS = ("doubled", "blended")


def register_blended(name: str) -> None:
    """Make the published form of a catalogue's attention known as `NAME_blended`."""
    entry = attention(name)
    published: Any = entry.load()

    class Published(published):
        def __init__(self, channels: int, **options: Any) -> None:
            super().__init__(channels, **options, start="paper")

    options = [option for option in entry.options if option.name != "start"]
    register_attention(f"{name}_blended", options=options, floor=entry.floor)(Published)


def text(name: str, form: str) -> str:
    called = name if form == "doubled" else f"{name}_blended"
    settings = ",".join(f"{k}={v}" for k, v in {**ATTENTIONS[name], "start": "identity"}.items())
    return f"{BARE}+{called}({settings})@all.residual"


def texts() -> Iterator[str]:
    yield BARE
    yield from (text(name, form) for name in ATTENTIONS for form in FORMS)


def run(
    architecture: str, seed: int, recipe: Recipe, data: DeviceData, classes: int
) -> list[float]:
    """Validation accuracy after every epoch."""
    model = build(
        parse(architecture),
        num_classes=classes,
        image_size=recipe.image_size,
        stem=recipe.stem,
        seed=seed,
    )
    curve: list[float] = []
    train(model, data, recipe, seed=seed, on_epoch=lambda r, _: not curve.append(r.accuracy))
    return curve


def summary(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an attention and task: gains over the bare net, and blended − doubled, in points."""
    final = {(t["data"], t["architecture"], t["seed"]): 100 * t["curve"][-1] for t in trials}
    rows = []
    for task in TASKS:
        for name in ATTENTIONS:
            doubled, blended = (text(name, form) for form in FORMS)
            seeds = [
                s
                for s in sorted({t["seed"] for t in trials})
                if all((task, a, s) in final for a in (BARE, doubled, blended))
            ]
            if not seeds:
                continue
            row: dict[str, Any] = {"data": task, "attention": name, "seeds": len(seeds)}
            pairs = {"doubled": (doubled, BARE), "blended": (blended, BARE)}
            for key, (a, b) in {**pairs, "blended − doubled": (blended, doubled)}.items():
                row[key] = _mean([final[task, a, s] - final[task, b, s] for s in seeds])
            rows.append(row)
    return rows


def _mean(values: list[float]) -> dict[str, float | None]:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return {
        "mean": round(statistics.mean(values), 2),
        "standard_error": None if error is None else round(error, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in ATTENTIONS:
        register_blended(name)
    ends = time.monotonic() + 60 * options.minutes
    recipes = {
        task: Recipe.of(data=task, image_size=36, epochs=options.epochs, stem="native")
        for task in TASKS
    }
    described = {task: recipe.model_dump(mode="json") for task, recipe in recipes.items()}
    found = json.loads(options.json.read_text()) if options.json.exists() else {}
    trials = found["trials"] if found.get("recipes") == described else []
    done = {(t["data"], t["architecture"], t["seed"]) for t in trials}
    loaded = {task: load_data(recipe) for task, recipe in recipes.items()}
    on_device = {task: DeviceData.of(data, torch.device("cpu")) for task, data in loaded.items()}
    todo = [(s, task, a) for s in range(options.seeds) for task in TASKS for a in texts()]
    for seed, task, architecture in todo:
        if (task, architecture, seed) in done or time.monotonic() > ends:
            continue
        recipe, classes = recipes[task], len(loaded[task].classes)
        curve = run(architecture, seed, recipe, on_device[task], classes)
        trials.append({"data": task, "architecture": architecture, "seed": seed, "curve": curve})
        result = {
            "what": "gain over the bare backbone and blended − doubled: final validation accuracy, "
            "points, paired by seed",
            "environment": environment(torch.device("cpu"), recipe.precision),
            "recipes": described,
            "summary": summary(trials),
            "trials": trials,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(task, architecture, seed, f"{100 * curve[-1]:.1f} %", flush=True)
    for row in summary(trials):
        print(row)


if __name__ == "__main__":
    main()
