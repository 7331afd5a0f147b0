"""Compare how well signals of early epochs predict the final accuracy, as a pruner needs it.

    python benchmarks/rungs.py --json benchmarks/results/rungs.json

Several architectures are trained on both embedded tasks and two backbones, with several seeds each
and the default recipe. After each epoch, the validation accuracy of the raw and of the averaged
weights and the mean training loss are recorded. The same is done without a schedule (schedule-free
AdamW, arXiv 2405.15682, if the package `schedulefree` is installed), and with complete schedules of
fewer epochs. The result has Spearman's correlation of each signal with the accuracy at the end of
the full schedule, over all trials of a task and backbone; and, as an upper bound, the correlation
of the final accuracies of one seed with those of the others.

Trials that the result file already has are not repeated.
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
    with_light_augmentation,
)
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
"""Backbones, with the position at which attention is inserted."""
ATTENTIONS = ("se(r=4,start=identity)", "cbam(r=4,start=identity)", "ca(r=4,start=identity)",
              "eca(start=identity)", "ca(r=4)", "eca")  # fmt: skip
SHORT_SCHEDULES = (3,)
"""Numbers of epochs of the complete short schedules."""
SCHEDULE_FREE = "schedule-free"
SECONDS_BETWEEN_WRITES = 10.0
"""Seconds between two writes of the result file."""
NUM_STATISTICS_BATCHES = 20
"""Number of batches from which batch norm statistics are recomputed."""
MIN_TRIALS = 6
"""A correlation is computed from at least this many trials."""


def list_architectures(backbone: str) -> list[str]:
    """The bare backbone, each attention in all blocks, and two of them in some stages only."""
    position = BACKBONES[backbone]
    everywhere = [f"{backbone}+{name}@all.{position}" for name in ATTENTIONS]
    parts = [
        f"{backbone}+{ATTENTIONS[0]}@s3-s4.{position}",
        f"{backbone}+{ATTENTIONS[1]}@s2.{position}",
    ]
    return [backbone, *everywhere, *parts]


def record_signals(task: tuple[str, str, int, str, dict[str, Any], str]) -> dict[str, Any]:
    """Train one trial, and record its signals.

    Args:
        task: data set, architecture, seed, kind (`full`, `schedule-free`, or the number of epochs
            of a short schedule), fields of the recipe, and device.
    """
    data_name, text, seed, kind, fields, device_name = task
    device = torch.device(device_name)
    torch.set_num_threads(1)
    keep_freed_memory()
    recipe = Recipe.of(**fields)
    loaded = load_on_device(recipe, device)
    if kind == SCHEDULE_FREE:
        # The optimizer counts steps in Python, which does not work in a captured step.
        changes = {"schedule": "constant", "ema": 0.0, "decay": 0.0, "cuda_graph": False}
        recipe = recipe.model_copy(update=changes)
    elif kind != "full":
        recipe = recipe.model_copy(update={"epochs": int(kind)})
    trial: dict[str, Any] = {"data": data_name, "architecture": text, "seed": seed, "kind": kind}
    if kind == SCHEDULE_FREE:
        signals = {"accuracy": _train_schedule_free(text, seed, recipe, loaded)}
    else:
        raw: list[float] = []

        def record_raw_accuracy(_report: EpochReport, save: SaveCheckpoint) -> None:
            if kind == "full":
                raw.append(evaluate(save.training.model, loaded.data, recipe).accuracy)

        run = train_network(text, seed, recipe, loaded, record_raw_accuracy)
        losses = [report.train_loss for report in run.curve]
        signals = {"ema": run.accuracies, "raw": raw, "loss": losses}
    return {**trial, "signals": {k: [round(x, 5) for x in v] for k, v in signals.items()}}


def _train_schedule_free(text: str, seed: int, recipe: Recipe, loaded: LoadedData) -> list[float]:
    """Validation accuracy after each epoch, with the averaged weights of the method."""
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
    run.optimizer = TrainingOptimizer(optimizer, run.optimizer.groups)
    accuracies = []
    for epoch in range(recipe.epochs):
        optimizer.train()
        for _ in run.train_steps(epoch):
            pass
        optimizer.eval()
        _refresh_statistics(run.model, data, recipe)
        accuracies.append(evaluate(run.model, data, recipe).accuracy)
    return accuracies


@torch.no_grad()
def _refresh_statistics(model: nn.Module, data: DeviceData, recipe: Recipe) -> None:
    """Recompute the batch norm statistics for the averaged weights."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    for start in range(NUM_STATISTICS_BATCHES):
        first = start * recipe.batch_size
        index = torch.arange(first, first + recipe.batch_size, device=data.train.labels.device)
        model(data.normalised(data.train.take(index % len(data.train))))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def summarise_trials(trials: Sequence[dict[str, Any]], epochs: int) -> dict[str, Any]:
    """Correlations of all signals with final accuracies, by task and backbone."""
    correlations = {}
    for data, backbone in itertools.product(TASKS, BACKBONES):
        group = [
            t for t in trials if t["data"] == data and t["architecture"].split("+")[0] == backbone
        ]
        full = [t for t in group if t["kind"] == "full"]
        ends = {_identify(t): t["signals"]["ema"][-1] for t in full}
        if len(ends) < MIN_TRIALS:
            continue
        rows: dict[str, Any] = {"trials": len(ends), "ceiling": _ceiling(ends)}
        for signal in ("raw", "ema", "loss"):
            sign = -1 if signal == "loss" else 1
            rows[signal] = [
                _correlate({_identify(t): sign * t["signals"][signal][e] for t in full}, ends)
                for e in range(epochs - 1)
            ]
        schedule_free = [t for t in group if t["kind"] == SCHEDULE_FREE]
        rows[SCHEDULE_FREE] = [
            _correlate({_identify(t): t["signals"]["accuracy"][e] for t in schedule_free}, ends)
            for e in range(epochs - 1 if schedule_free else 0)
        ]
        rows["finished"] = {
            str(short): _correlate(
                {_identify(t): t["signals"]["ema"][-1] for t in group if t["kind"] == str(short)},
                ends,
            )
            for short in SHORT_SCHEDULES
        }
        correlations[f"{data} {backbone}"] = rows
    return correlations


def _identify(trial: dict[str, Any]) -> tuple[str, int]:
    return trial["architecture"], trial["seed"]


def _sort_key(trial: dict[str, Any]) -> tuple[Any, ...]:
    return trial["seed"], trial["data"], trial["architecture"], trial["kind"]


def _correlate(
    signal: dict[tuple[str, int], float], ends: dict[tuple[str, int], float]
) -> float | None:
    trials = [trial for trial in signal if trial in ends]
    if len(trials) < MIN_TRIALS:
        return None
    rho = stats.spearmanr([signal[t] for t in trials], [ends[t] for t in trials]).statistic
    return None if np.isnan(rho) else round(float(rho), 2)


def _ceiling(ends: dict[tuple[str, int], float]) -> float | None:
    """The correlation of final accuracies with the mean of the other seeds."""
    texts = {text for text, _ in ends}
    other_seeds = {
        (text, seed): float(np.mean([ends[t, s] for t, s in ends if t == text and s != seed]))
        for text, seed in ends
        if sum(t == text for t, _ in ends) > 1
    }
    return _correlate(other_seeds, ends) if len(texts) > 2 else None


def list_missing(options: argparse.Namespace, done: Iterable[dict[str, Any]]) -> list[Any]:
    """The tasks that are still to be trained, ordered by seed."""
    trained = {(t["data"], *_identify(t), t["kind"]) for t in done}
    kinds = [
        "full",
        *(["schedule-free"] if options.schedule_free else []),
        *map(str, SHORT_SCHEDULES),
    ]
    tasks = []
    for seed, data, backbone in itertools.product(range(options.seeds), TASKS, BACKBONES):
        recipe = with_light_augmentation(Recipe.of(data=data, image_size=36))
        fields = {
            "data": data,
            "image_size": recipe.image_size,
            "epochs": options.epochs,
            "crop": recipe.crop,
        }
        for text, kind in itertools.product(list_architectures(backbone), kinds):
            if (data, text, seed, kind) not in trained:
                tasks.append((data, text, seed, kind, fields, options.device))
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--schedule-free", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="device of all processes")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    device = resolve_device(options.device)
    previous = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    trials = list(previous.get("trials", []))
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        tasks = list_missing(options, trials)
        written_at = time.monotonic()
        for number, trial in enumerate(pool.imap_unordered(record_signals, tasks), 1):
            trials.append(trial)
            print(trial["data"], trial["architecture"], trial["seed"], trial["kind"], flush=True)
            if number < len(tasks) and time.monotonic() < written_at + SECONDS_BETWEEN_WRITES:
                continue
            result = {
                "environment": describe_environment(device, "float32"),
                "epochs": options.epochs,
                "correlations": summarise_trials(trials, options.epochs),
                "trials": sorted(trials, key=_sort_key),
            }
            options.json.write_text(json.dumps(result, indent=None) + "\n", "utf-8")
            written_at = time.monotonic()
    print(json.dumps(summarise_trials(trials, options.epochs), indent=1))


if __name__ == "__main__":
    main()
