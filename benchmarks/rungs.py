"""What an early epoch tells about the end: signals for a pruner's rungs, compared.

    python benchmarks/rungs.py --json benchmarks/results/rungs.json

Trains some architectures on every task and backbone, several seeds each, by the default recipe, and
notes after each epoch the validation accuracy of the raw and of the averaged weights and the mean
training loss. The same again without a schedule (schedule-free AdamW, arXiv 2405.15682, if the
package `schedulefree` is installed), and with finished schedules of fewer epochs. Reported is
Spearman's correlation of every signal with the accuracy at the end of the full schedule, over all
trials of a task and backbone; and, as a ceiling, that of one seed's end with another's.

Trials that are in the file already are not trained again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from attentune.benchmarks.network_training import (
    LoadedData,
    build_seeded_network,
    load_on_device,
    train_network,
)
from attentune.runners.data import inspect_data
from attentune.runners.devices import keep_freed_memory, resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.evaluation import evaluate
from attentune.runners.training.optimizer import TrainingOptimizer
from attentune.runners.training.train import SaveCheckpoint, prepare_training
from scipy import stats
from torch import nn

TASKS = ("cued-digits", "cluttered-digits")
BACKBONES = {"test_resnet": "residual", "test_efficientnet(attention=none)": "mid"}
"""With the position where their attention stands."""
ATTENTIONS = ("se(r=4,start=identity)", "cbam(r=4,start=identity)", "ca(r=4,start=identity)",
              "eca(start=identity)", "ca(r=4)", "eca")  # fmt: skip
SHORT = (3,)
"""Epochs of the finished short schedules."""
FREE = "schedule-free"
NOTED_EVERY = 10.0
"""Seconds between two writings of the file."""
REFRESHING = 20
"""Batches from which batch statistics are taken anew."""


def architectures(backbone: str) -> list[str]:
    """The bare backbone, every attention everywhere, and half of them only late or early."""
    place = BACKBONES[backbone]
    everywhere = [f"{backbone}+{name}@all.{place}" for name in ATTENTIONS]
    parts = [f"{backbone}+{ATTENTIONS[0]}@s3-s4.{place}", f"{backbone}+{ATTENTIONS[1]}@s2.{place}"]
    return [backbone, *everywhere, *parts]


def signals_of(task: tuple[str, str, int, str, dict[str, Any], str]) -> dict[str, Any]:
    """One trial: `kind` is `full`, `schedule-free`, or a number of epochs."""
    data_name, text, seed, kind, fields, where = task
    device = torch.device(where)
    torch.set_num_threads(1)
    keep_freed_memory()
    recipe = Recipe.of(**fields)
    loaded = load_on_device(recipe, device)
    if kind == FREE:  # its optimizer counts steps in Python, which no captured step would do
        changes = {"schedule": "constant", "ema": 0.0, "decay": 0.0, "cuda_graph": False}
        recipe = recipe.model_copy(update=changes)
    elif kind != "full":
        recipe = recipe.model_copy(update={"epochs": int(kind)})
    told: dict[str, Any] = {"data": data_name, "architecture": text, "seed": seed, "kind": kind}
    if kind == FREE:
        signals = {"accuracy": _without_schedule(text, seed, recipe, loaded)}
    else:
        raw: list[float] = []

        def noted(_report: EpochReport, save: SaveCheckpoint) -> None:
            if kind == "full":
                raw.append(evaluate(save.training.model, loaded.data, recipe).accuracy)

        run = train_network(text, seed, recipe, loaded, noted)
        losses = [report.train_loss for report in run.curve]
        signals = {"ema": run.accuracies, "raw": raw, "loss": losses}
    return {**told, "signals": {k: [round(x, 5) for x in v] for k, v in signals.items()}}


def _without_schedule(text: str, seed: int, recipe: Recipe, loaded: LoadedData) -> list[float]:
    """Validation accuracy after each epoch, at the average that the method keeps."""
    from schedulefree import AdamWScheduleFree

    data = loaded.data
    run = prepare_training(
        build_seeded_network(text, seed, recipe, loaded), data, recipe, seed=seed
    )
    groups = [
        {"params": group["params"], "weight_decay": group["weight_decay"]}
        for group in run.optimizer.optimizer.param_groups
    ]
    warmup = round(recipe.warmup * run.steps * recipe.epochs)
    optimizer = AdamWScheduleFree(groups, lr=recipe.lr, warmup_steps=warmup)
    run.optimizer = TrainingOptimizer(optimizer, run.optimizer.slices)
    found = []
    for epoch in range(recipe.epochs):
        optimizer.train()
        for _ in run.train_steps(epoch):
            pass
        optimizer.eval()
        _refresh_statistics(run.model, data, recipe)
        found.append(evaluate(run.model, data, recipe).accuracy)
    return found


@torch.no_grad()
def _refresh_statistics(model: nn.Module, data: DeviceData, recipe: Recipe) -> None:
    """Batch statistics at the averaged weights, which no training step has seen."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for start in range(REFRESHING):
        first = start * recipe.batch_size
        index = torch.arange(first, first + recipe.batch_size, device=data.train.labels.device)
        model(data.normalised(data.train.take(index % len(data.train))))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def summary(trials: Sequence[dict[str, Any]], epochs: int) -> dict[str, Any]:
    """Correlations of every signal with the end, by task and backbone."""
    found = {}
    for data, backbone in itertools.product(TASKS, BACKBONES):
        own = [
            t for t in trials if t["data"] == data and t["architecture"].split("+")[0] == backbone
        ]
        full = [t for t in own if t["kind"] == "full"]
        ends = {_name(t): t["signals"]["ema"][-1] for t in full}
        if len(ends) < 6:
            continue
        rows: dict[str, Any] = {"trials": len(ends), "ceiling": _ceiling(ends)}
        for signal in ("raw", "ema", "loss"):
            sign = -1 if signal == "loss" else 1
            rows[signal] = [
                _rho({_name(t): sign * t["signals"][signal][e] for t in full}, ends)
                for e in range(epochs - 1)
            ]
        free = [t for t in own if t["kind"] == FREE]
        rows[FREE] = [
            _rho({_name(t): t["signals"]["accuracy"][e] for t in free}, ends)
            for e in range(epochs - 1 if free else 0)
        ]
        rows["finished"] = {
            str(short): _rho(
                {_name(t): t["signals"]["ema"][-1] for t in own if t["kind"] == str(short)}, ends
            )
            for short in SHORT
        }
        found[f"{data} {backbone}"] = rows
    return found


def _name(trial: dict[str, Any]) -> tuple[str, int]:
    return trial["architecture"], trial["seed"]


def _order(trial: dict[str, Any]) -> tuple[Any, ...]:
    return trial["seed"], trial["data"], trial["architecture"], trial["kind"]


def _rho(signal: dict[tuple[str, int], float], ends: dict[tuple[str, int], float]) -> float | None:
    both = [name for name in signal if name in ends]
    if len(both) < 6:
        return None
    found = stats.spearmanr([signal[n] for n in both], [ends[n] for n in both]).statistic
    return None if np.isnan(found) else round(float(found), 2)


def _ceiling(ends: dict[tuple[str, int], float]) -> float | None:
    """How well the ends of other seeds tell the end of one."""
    texts = {text for text, _ in ends}
    others = {
        (text, seed): float(np.mean([ends[t, s] for t, s in ends if t == text and s != seed]))
        for text, seed in ends
        if sum(t == text for t, _ in ends) > 1
    }
    return _rho(others, ends) if len(texts) > 2 else None


def missing(options: argparse.Namespace, done: Iterable[dict[str, Any]]) -> list[Any]:
    """What is still to be trained, whole seeds first."""
    known = {(t["data"], *_name(t), t["kind"]) for t in done}
    kinds = ["full", *(["schedule-free"] if options.schedule_free else []), *map(str, SHORT)]
    wanted = []
    for seed, data, backbone in itertools.product(range(options.seeds), TASKS, BACKBONES):
        fields = {
            "data": data,
            "image_size": 36,
            "epochs": options.epochs,
            "crop": inspect_data(data).crop,
        }
        for text, kind in itertools.product(architectures(backbone), kinds):
            if (data, text, seed, kind) not in known:
                wanted.append((data, text, seed, kind, fields, options.device))
    return wanted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--schedule-free", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of all processes")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    device = resolve_device(options.device)
    found = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    trials = list(found.get("trials", []))
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        wanted = missing(options, trials)
        noted = time.monotonic()
        for number, trial in enumerate(pool.imap_unordered(signals_of, wanted), 1):
            trials.append(trial)
            print(trial["data"], trial["architecture"], trial["seed"], trial["kind"], flush=True)
            if number < len(wanted) and time.monotonic() < noted + NOTED_EVERY:
                continue
            result = {
                "environment": describe_environment(device, "float32"),
                "epochs": options.epochs,
                "correlations": summary(trials, options.epochs),
                "trials": sorted(trials, key=_order),
            }
            options.json.write_text(json.dumps(result, indent=None) + "\n", "utf-8")
            noted = time.monotonic()
    print(json.dumps(summary(trials, options.epochs), indent=1))


if __name__ == "__main__":
    main()
