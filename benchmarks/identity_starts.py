"""Compare forms of attentions that start as the identity by how well they train.

    python benchmarks/identity_starts.py --json benchmarks/results/starts.json

Three forms are exactly the identity before training: `doubled` is 2σ(z) with a last layer of zeros;
`gates` is 1 + a·(σ(z) − 1) with a = 0, one more parameter; `blended` is x + a·(attention(x) − x)
with the published module and a = 0, which plug-ins use and which reads and writes the map once
more. The catalogue uses `doubled`, except for coordinate attention, whose two gates multiply.

`test_resnet` is trained without attention and with each form in all blocks, on both embedded tasks,
with several paired seeds. The result has gains and differences to `doubled`, with their standard
errors. Trials that the result file already has, with the same recipe, are not repeated; `--minutes`
limits the time; `--attentions`, `--forms` and `--tasks` choose a part.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from attentune import register_attention
from attentune.benchmarks.network_training import load_on_device, train_network
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.spaces.attentions.ca import CoordinateAttention
from attentune.spaces.attentions.gates import SigmoidGate, zero_parameters
from attentune.spaces.attentions.registry import get_attention

BARE = "test_resnet"
ATTENTIONS = {"se": {"r": 4}, "cbam": {"r": 4}, "ca": {"r": 4}, "eca": {}}
TASKS = ("cued-digits", "cluttered-digits")
FORMS = {
    **dict.fromkeys(ATTENTIONS, ("doubled", "blended")),
    "ca": ("doubled", "blended", "gates"),
}
CATALOGUE = {"ca": "gates"}
"""The form that an attention has in the catalogue, if it is not `doubled`."""


def register_blended(name: str) -> None:
    """Register the published form of a catalogue's attention as `NAME_blended`."""
    entry = get_attention(name)
    published: Any = entry.load()

    class Published(published):  # type: ignore[misc]
        def __init__(self, channels: int, **options: Any) -> None:
            super().__init__(channels, **options, start="paper")

    options = [option for option in entry.options if option.name != "start"]
    register_attention(f"{name}_blended", options=options, floor=entry.floor)(Published)


class DoubledCoordinates(CoordinateAttention):
    """Coordinate attention with doubled gates behind layers of zeros."""

    def __init__(self, channels: int, reduction_ratio: int = 32, start: str = "identity") -> None:
        super().__init__(channels, reduction_ratio)
        assert start == "identity"
        self.gate = SigmoidGate("identity")  # type: ignore[assignment]
        zero_parameters(self.conv_h)
        zero_parameters(self.conv_w)


def architecture_text(name: str, form: str) -> str:
    registered_name = name if form == CATALOGUE.get(name, "doubled") else f"{name}_{form}"
    settings = ",".join(f"{k}={v}" for k, v in {**ATTENTIONS[name], "start": "identity"}.items())
    return f"{BARE}+{registered_name}({settings})@all.residual"


def list_architectures(names: Iterable[str], forms: Container[str]) -> Iterator[str]:
    yield BARE
    yield from (
        architecture_text(name, form) for name in names for form in FORMS[name] if form in forms
    )


def summarise_trials(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per attention, form and task: the gain over the bare backbone and over `doubled`."""
    final = {(t["data"], t["architecture"], t["seed"]): 100 * t["curve"][-1] for t in trials}

    def paired_difference(task: str, text: str, reference: str) -> dict[str, float | None]:
        seeds = sorted({t["seed"] for t in trials})
        pairs = [((task, text, s), (task, reference, s)) for s in seeds]
        return _mean([final[a] - final[b] for a, b in pairs if a in final and b in final])

    rows = []
    for task, name in itertools.product(TASKS, ATTENTIONS):
        for form in FORMS[name]:
            architecture, doubled = (architecture_text(name, f) for f in (form, "doubled"))
            row: dict[str, Any] = {"data": task, "attention": name, "form": form}
            row["gain"] = paired_difference(task, architecture, BARE)
            if form != "doubled":
                row["against doubled"] = paired_difference(task, architecture, doubled)
            if row["gain"]["seeds"]:
                rows.append(row)
    return rows


def _mean(values: list[float]) -> dict[str, float | None]:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return {
        "mean": round(statistics.mean(values), 2) if values else None,
        "standard_error": None if error is None else round(error, 2),
        "seeds": len(values),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--attentions", nargs="+", choices=ATTENTIONS, default=list(ATTENTIONS))
    parser.add_argument("--forms", nargs="+", default=("doubled", "blended", "gates"))
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in ATTENTIONS:
        register_blended(name)
    coordinates = [o for o in get_attention("ca").options if o.name in ("r", "start")]
    register_attention("ca_doubled", options=coordinates, floor=8)(DoubledCoordinates)
    deadline = time.monotonic() + 60 * options.minutes
    recipes = {
        task: Recipe.of(data=task, image_size=36, epochs=options.epochs, stem="native")
        for task in TASKS
    }
    recipe_fields = {task: recipe.model_dump(mode="json") for task, recipe in recipes.items()}
    previous = json.loads(options.json.read_text()) if options.json.exists() else {}
    trials = previous["trials"] if previous.get("recipes") == recipe_fields else []
    done = {(t["data"], t["architecture"], t["seed"]) for t in trials}
    loaded = {task: load_on_device(recipe, torch.device("cpu")) for task, recipe in recipes.items()}
    todo = [
        (s, task, a)
        for s in range(options.seeds)
        for task in options.tasks
        for a in list_architectures(options.attentions, options.forms)
    ]
    for seed, task, architecture in todo:
        if (task, architecture, seed) in done or time.monotonic() > deadline:
            continue
        recipe = recipes[task]
        curve = train_network(architecture, seed, recipe, loaded[task]).accuracies
        trials.append({"data": task, "architecture": architecture, "seed": seed, "curve": curve})
        result = {
            "what": "gain over the bare backbone and over doubled gates: final validation "
            "accuracy, points, paired by seed",
            "environment": describe_environment(torch.device("cpu"), recipe.precision),
            "recipes": recipe_fields,
            "summary": summarise_trials(trials),
            "trials": trials,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(task, architecture, seed, f"{100 * curve[-1]:.1f} %", flush=True)
    for row in summarise_trials(trials):
        print(row)


if __name__ == "__main__":
    main()
