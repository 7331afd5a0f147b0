"""Trials per hour of whole searches, against the same trials made with Optuna or Ray Tune.

    python benchmarks/trials.py --json benchmarks/results/trials.json
    python benchmarks/trials.py --data ../cifar10 --backbones resnet18 --trials 20

ours     `attentune search` in its own process, two workers on a CPU: start-up, calibration,
         proposals, training, evaluation, checkpoints, database
optuna   the same architectures with the same images, split, epochs, batch size, optimizer, learning
         rate and schedule in the loop of `pytorch_baseline.py`, one trial after another on all
         cores, with Optuna's study in an SQLite file
ray      that loop under Ray Tune, two trials at a time; left out where Ray is not installed

Speed counts only at equal accuracy: if our final accuracy, paired by architecture, is lower by more
than two standard errors of the difference, the comparison is void. Images are decoded beforehand in
all cases. The result states the machine, versions, rounds and spread.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from attentune.benchmarks.interleaved_timing import format_summary, summarise_rounds
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.pytorch_baseline import Settings
from attentune.runners.data import prepare_data
from attentune.runners.devices import resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.studies.database.store import Store

TARGET = 4.0
PICTURES = {"resnet18": 500, "mobilenetv3_small_050": 2500}
"""A fifth of them is held out; for other backbones, `PICTURES_ELSE`."""
PICTURES_ELSE = 1000
USUAL = Path(__file__).with_name("pytorch_baseline.py")

Accuracies = dict[str, float]
Run = tuple[float, Accuracies]
"""Wall seconds, and final accuracy by `NUMBER ARCHITECTURE`."""


def ours(backbone: str, options: argparse.Namespace, monitor: LoadMonitor) -> tuple[Run, Recipe]:
    """A search, and the recipe that it trained with."""
    flags = {
        "backbone": backbone,
        "data": options.data,
        "train-limit": pictures(backbone, options),
        "trials": options.trials,
        "epochs": options.epochs,
        "batch-size": options.batch_size,
        "image-size": options.image_size,
        "lr": options.lr,
        "sampler": "random",
        "pruner": "none",
        "granularity": "network",
        "device": options.device,
    }
    if options.device.type == "cpu":
        flags["workers"] = options.workers
    words = [f"--{name}={value}" for name, value in flags.items()]
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "ours.db"
        command = [sys.executable, "-m", "attentune", "search", "ours", f"--db={database}", *words]
        seconds = timed(command, monitor)
        with Store.open(database, read_only=True) as store:
            record = store.studies.get("ours")
            trials = store.trials.read(record)
    found = {f"{trial.number} {trial.architecture}": trial.accuracy for trial in trials}
    if any(accuracy is None for accuracy in found.values()):
        raise SystemExit(f"not measured: a trial of {backbone} failed")
    recipe = record.config.recipe
    return (seconds, {name: float(value or 0.0) for name, value in found.items()}), recipe


def usual(way: str, settings: Settings, monitor: LoadMonitor) -> Run:
    """The same trials in one of the usual ways."""
    with tempfile.TemporaryDirectory() as folder:
        given, result = Path(folder) / "settings.json", Path(folder) / "result.json"
        given.write_text(json.dumps(asdict(settings)))
        seconds = timed([sys.executable, str(USUAL), way, str(given), str(result)], monitor)
        return seconds, json.loads(result.read_text())


def timed(command: Sequence[str], monitor: LoadMonitor) -> float:
    """Seconds that a program takes; SystemExit with what it said if it fails."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=1.0)
                except subprocess.TimeoutExpired:
                    monitor.sample()
        finally:
            process.kill()
            process.wait()
        seconds = time.perf_counter() - began
        monitor.sample()
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{said.read()[-4000:]}")
    return seconds


def pictures(backbone: str, options: argparse.Namespace) -> int:
    return int(options.pictures or PICTURES.get(backbone, PICTURES_ELSE))


def compare(ours: Accuracies, theirs: Accuracies) -> dict[str, Any]:
    """Our accuracy less theirs, in points, paired by trial; `void` if ours is really lower."""
    pairs = [(ours[name], theirs[name]) for name in ours]
    differences = [100 * (a - b) for a, b in pairs]
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(pairs) > 1 else 0.0
    result: dict[str, Any] = {
        "accuracy": round(100 * statistics.mean(theirs.values()), 2),
        "ours_minus_theirs": round(mean, 2),
        "standard_error": round(error, 2),
    }
    if mean < -2 * error:
        result["void"] = (
            f"our accuracy is {-mean:.1f} points lower, more than twice its standard error of "
            f"{error:.1f}"
        )
    return result


def measure(backbone: str, options: argparse.Namespace, monitor: LoadMonitor) -> dict[str, Any]:
    """One row of the result. Rounds go forth and back: A B C, C B A."""
    decode(backbone, options)
    first, recipe = ours(backbone, options, monitor)
    texts = [name.partition(" ")[2] for name in first[1]]
    described, loaders = recipe.model_dump(mode="json"), options.loader_workers
    settings = Settings(texts, described, str(options.device), loaders)
    runs: dict[str, list[Run]] = {"ours": [first], **{way: [] for way in options.ways}}
    for number in range(options.rounds):
        back = number % 2 == 1
        if number and not back:
            runs["ours"].append(ours(backbone, options, monitor)[0])
        for way in reversed(options.ways) if back else options.ways:
            runs[way].append(usual(way, settings, monitor))
        if back:
            runs["ours"].append(ours(backbone, options, monitor)[0])
    return row(backbone, settings, runs)


def row(backbone: str, settings: Settings, runs: Mapping[str, list[Run]]) -> dict[str, Any]:
    """What came out."""
    recipe, first = Recipe.of(**settings.recipe), runs["ours"][0][1]
    count = len(settings.architectures)
    result: dict[str, Any] = {
        "backbone": backbone,
        "trials": count,
        "epochs": recipe.epochs,
        "pictures": recipe.train_limit,
        "image_size": recipe.image_size,
        "stem": recipe.stem,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer,
        "lr": recipe.lr,
        "schedule": recipe.schedule,
        "ours": f"{recipe.precision} {'channels_last' if recipe.channels_last else 'contiguous'}",
        "accuracy": round(100 * statistics.mean(first.values()), 2),
        "seconds": {way: [round(run[0], 2) for run in done] for way, done in runs.items()},
        "trials_per_hour": {
            way: summarise_rounds([3600 * count / run[0] for run in done], 1)
            for way, done in runs.items()
        },
        "against": {},
        "architectures": settings.architectures,
    }
    for way, done in runs.items():
        if way != "ours":
            pairs = zip(done, runs["ours"], strict=True)
            times = [theirs[0] / mine[0] for theirs, mine in pairs]
            result["against"][way] = {
                "ratio": summarise_rounds(times, 2),
                **compare(first, done[0][1]),
            }
    return result


def decode(backbone: str, options: argparse.Namespace) -> None:
    """Decode the pictures into the cache, so that nobody pays for it."""
    limit = pictures(backbone, options)
    recipe = Recipe.of(data=options.data, image_size=options.image_size, train_limit=limit)
    prepare_data(recipe)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--backbones", nargs="+", default=list(PICTURES))
    parser.add_argument("--data", default="digits")
    parser.add_argument("--pictures", type=int, help="of the training split, validation included")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--loader-workers", type=int, default=0, help="of the usual DataLoader")
    parser.add_argument("--ways", nargs="+", default=["optuna", "ray"])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    options.device = resolve_device(options.device)
    missing = ""
    if "ray" in options.ways and importlib.util.find_spec("ray") is None:
        options.ways.remove("ray")
        missing = "Ray is not installed here: its column is left out (pip install 'ray[tune]')"
        print(missing)
    monitor = LoadMonitor.start(anyway=options.anyway)
    rows = []
    for backbone in options.backbones:
        rows.append(measure(backbone, options, monitor))
        print_row(rows[-1])
    facts = describe_environment(options.device, "see rows")
    facts["threads"] = f"ours and ray: 1 a worker; optuna: {torch.get_num_threads()}"
    if "ray" in options.ways:
        facts["ray"] = metadata.version("ray")
    result = {
        "what": "trials per hour of wall time, and ratios to ours",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "target": {"ratio to optuna": TARGET},
        "left_out": missing,
        "environment": facts,
        "data": Path(options.data).name,
        "workers": options.workers,
        "loader_workers": options.loader_workers,
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


def print_row(row: dict[str, Any]) -> None:
    speed = row["trials_per_hour"]
    print(f"{row['backbone']}: ours {speed['ours']['median']:.0f} trials/h, {row['accuracy']} %")
    for way, found in row["against"].items():
        print(
            f"    {way}: {speed[way]['median']:.0f} trials/h, {found['accuracy']} %; ours is "
            f"{format_summary(found['ratio'])}× as fast; accuracy "
            f"{found['ours_minus_theirs']:+.1f} ± {found['standard_error']:.1f} points"
            + (f"; VOID: {found['void']}" if "void" in found else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
