"""Compare trials per hour of whole searches with the same trials run by Optuna or Ray Tune.

    python benchmarks/trials.py --json benchmarks/results/trials.json
    python benchmarks/trials.py --data ../cifar10 --backbones resnet18 --trials 20

ours     `attentune search` in its own process, two workers on a CPU: start-up, calibration,
         proposals, training, evaluation, checkpoints, database
optuna   the same architectures with the same images, split, epochs, batch size, optimizer, learning
         rate and schedule in the loop of `pytorch_baseline.py`, in sequence on all cores, with
         Optuna's study in an SQLite file
ray      that loop under Ray Tune, two trials at a time; left out if Ray is not installed

Speed counts only at equal accuracy: if our final accuracy, paired by architecture, is lower by more
than two standard errors of the difference, the comparison is void. Images are decoded beforehand in
all cases. The result states the machine, versions, rounds and quartiles.
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
from attentune.benchmarks.pytorch_baseline import BaselineSettings
from attentune.runners.data import prepare_data
from attentune.runners.devices import resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.studies.database.store import Store

TARGET_RATIO = 4.0
NUM_IMAGES = {"resnet18": 500, "mobilenetv3_small_050": 2500}
"""Images by backbone; a fifth of them is held out for validation."""
DEFAULT_NUM_IMAGES = 1000
"""Images for other backbones."""
BASELINE_PROGRAM = Path(__file__).with_name("pytorch_baseline.py")

Accuracies = dict[str, float]
Run = tuple[float, Accuracies]
"""Wall seconds, and final accuracy by `NUMBER ARCHITECTURE`."""


def run_attentune(
    backbone: str, options: argparse.Namespace, monitor: LoadMonitor
) -> tuple[Run, Recipe]:
    """Run `attentune search`; its result, and the recipe that it trained with."""
    flags = {
        "backbone": backbone,
        "data": options.data,
        "train-limit": num_images(backbone, options),
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
        seconds = time_command(command, monitor)
        with Store.open(database, read_only=True) as store:
            record = store.studies.get("ours")
            trials = store.trials.read(record)
    accuracies = {f"{trial.number} {trial.architecture}": trial.accuracy for trial in trials}
    if any(accuracy is None for accuracy in accuracies.values()):
        raise SystemExit(f"not measured: a trial of {backbone} failed")
    recipe = record.config.recipe
    return (seconds, {name: float(value or 0.0) for name, value in accuracies.items()}), recipe


def run_baseline(way: str, settings: BaselineSettings, monitor: LoadMonitor) -> Run:
    """Run the same trials with `optuna` or `ray`."""
    with tempfile.TemporaryDirectory() as folder:
        input_file, result = Path(folder) / "settings.json", Path(folder) / "result.json"
        input_file.write_text(json.dumps(asdict(settings)))
        seconds = time_command(
            [sys.executable, str(BASELINE_PROGRAM), way, str(input_file), str(result)], monitor
        )
        return seconds, json.loads(result.read_text())


def time_command(command: Sequence[str], monitor: LoadMonitor) -> float:
    """Seconds that a program takes; SystemExit with its output if it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
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
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read()[-4000:]}")
    return seconds


def num_images(backbone: str, options: argparse.Namespace) -> int:
    return int(options.images or NUM_IMAGES.get(backbone, DEFAULT_NUM_IMAGES))


def compare(ours: Accuracies, baseline: Accuracies) -> dict[str, Any]:
    """Our accuracy less the baseline's in points, paired by trial; `void` if clearly lower."""
    pairs = [(ours[name], baseline[name]) for name in ours]
    differences = [100 * (a - b) for a, b in pairs]
    mean = statistics.mean(differences)
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(pairs) > 1 else 0.0
    result: dict[str, Any] = {
        "accuracy": round(100 * statistics.mean(baseline.values()), 2),
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
    """One row of the result. Rounds alternate in order: A B C, C B A."""
    decode(backbone, options)
    first, recipe = run_attentune(backbone, options, monitor)
    texts = [name.partition(" ")[2] for name in first[1]]
    settings = BaselineSettings(
        texts, recipe.model_dump(mode="json"), str(options.device), options.loader_workers
    )
    runs: dict[str, list[Run]] = {"ours": [first], **{way: [] for way in options.ways}}
    for number in range(options.rounds):
        reverse = number % 2 == 1
        if number and not reverse:
            runs["ours"].append(run_attentune(backbone, options, monitor)[0])
        for way in reversed(options.ways) if reverse else options.ways:
            runs[way].append(run_baseline(way, settings, monitor))
        if reverse:
            runs["ours"].append(run_attentune(backbone, options, monitor)[0])
    return make_row(backbone, settings, runs)


def make_row(
    backbone: str, settings: BaselineSettings, runs: Mapping[str, list[Run]]
) -> dict[str, Any]:
    """One row of the result."""
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
        "seconds": {way: [round(run[0], 2) for run in results] for way, results in runs.items()},
        "trials_per_hour": {
            way: summarise_rounds([3600 * count / run[0] for run in results], 1)
            for way, results in runs.items()
        },
        "against": {},
        "architectures": settings.architectures,
    }
    for way, results in runs.items():
        if way != "ours":
            pairs = zip(results, runs["ours"], strict=True)
            seconds_ratios = [baseline[0] / ours[0] for baseline, ours in pairs]
            result["against"][way] = {
                "ratio": summarise_rounds(seconds_ratios, 2),
                **compare(first, results[0][1]),
            }
    return result


def decode(backbone: str, options: argparse.Namespace) -> None:
    """Decode the images into the cache, outside the measured time."""
    limit = num_images(backbone, options)
    recipe = Recipe.of(data=options.data, image_size=options.image_size, train_limit=limit)
    prepare_data(recipe)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--backbones", nargs="+", default=list(NUM_IMAGES))
    parser.add_argument("--data", default="digits")
    parser.add_argument(
        "--images", type=int, help="images of the training split, validation included"
    )
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--loader-workers", type=int, default=0, help="workers of the baseline's DataLoader"
    )
    parser.add_argument("--ways", nargs="+", default=["optuna", "ray"])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    options.device = resolve_device(options.device)
    left_out = ""
    if "ray" in options.ways and importlib.util.find_spec("ray") is None:
        options.ways.remove("ray")
        left_out = "Ray is not installed here: its column is left out (pip install 'ray[tune]')"
        print(left_out)
    monitor = LoadMonitor.start(anyway=options.anyway)
    rows = []
    for backbone in options.backbones:
        rows.append(measure(backbone, options, monitor))
        print_row(rows[-1])
    environment = describe_environment(options.device, "see rows")
    environment["threads"] = f"ours and ray: 1 a worker; optuna: {torch.get_num_threads()}"
    if "ray" in options.ways:
        environment["ray"] = metadata.version("ray")
    result = {
        "what": "trials per hour of wall time, and ratios to ours",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "target": {"ratio to optuna": TARGET_RATIO},
        "left_out": left_out,
        "environment": environment,
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
    for way, comparison in row["against"].items():
        print(
            f"    {way}: {speed[way]['median']:.0f} trials/h, {comparison['accuracy']} %; ours is "
            f"{format_summary(comparison['ratio'])}× as fast; accuracy "
            f"{comparison['ours_minus_theirs']:+.1f} ± {comparison['standard_error']:.1f} points"
            + (f"; VOID: {comparison['void']}" if "void" in comparison else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
