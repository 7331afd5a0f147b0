"""The parts of `gpu_check.sh` that no other benchmark covers; each writes one JSON file.

    python benchmarks/gpu_check_parts.py graphs --data DIR --json FILE [--dry]

tests    the tests that need a GPU: counts, and the names of failures
fused    the fused form of each attention against its plain form, with gradients, in float64
graphs   captured steps against eager ones: difference of the weights, and speed
bf16     CIFAR-10 accuracy in bf16 and float32, three paired seeds, five epochs
packing  epochs per second of 1, 2 and 4 workers on one GPU
epochs   seconds of a CIFAR-10 epoch (ResNet-18, small stem) without and with each attention
study    a search on CIFAR-10 for the time that is left, resumed by the next call; with as many
         workers as the part `packing` found best, if its result is there
tables   the tabular benchmarks, `tables/*.toml`, and a sample of each that trains for longer, in
         turn; each continues where the last call stopped

All results state the GPU, versions, precision and recipe. `--dry` runs on a CPU with a few images
of an embedded data set, to test the parts themselves.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attentune.benchmarks.gpu_check_searches import ROOT, ResumableSearch, time_search, train_table
from attentune.benchmarks.network_training import (
    load_on_device,
    train_network,
    with_light_augmentation,
)
from attentune.benchmarks.tabular_benchmark import missing_trials
from attentune.runners.calibration.workers_per_gpu import measure_workers_per_gpu
from attentune.runners.data import inspect_data
from attentune.runners.data.sources.embedded import EMBEDDED
from attentune.runners.devices import resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.kernels.dispatch import disable_kernels

Result = dict[str, Any]
COMMON_ATTENTIONS = ("none", "se", "eca", "cbam", "ca")
"""Attentions with four timed epochs; all others have one."""
SMALL_BACKBONE = "mobilenetv3_small_050"
NUM_TABLE_PROCESSES = 14
"""Processes that train a table; its network is so small that many can share a GPU."""
TABLE_SEEDS = 3
SAMPLE_SIZE, SAMPLE_EPOCHS_FACTOR = 15, 2.5
"""Number of architectures of a table that train for longer, and factor of their epochs."""
RECIPE = {"batch_size": 512, "stem": "small", "lr": 8e-3, "epochs": 9}


class GPUBench:
    """Device, data and recipe of all parts, with shorter settings for a dry run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.dry = options, bool(options.dry)
        self.device = resolve_device("cpu" if self.dry else "cuda")
        self.backbone = "test_resnet" if self.dry else "resnet18"
        name = "digits" if self.dry else str(options.data)
        settings: dict[str, Any] = {**RECIPE, "precision": "float32" if self.dry else "bf16"}
        if self.dry:
            settings |= {"batch_size": 32, "train_limit": 128, "epochs": 2, "stem": "native"}
        size = min(32, inspect_data(name).image_size)
        self.recipe = with_light_augmentation(Recipe.of(data=name, image_size=size, **settings))

    @property
    def seconds(self) -> float:
        """Seconds for a search, without the time for its start and end."""
        return 30 if self.dry else max(30, self.options.seconds - 30)

    def train(self, text: str, seed: int, **changes: Any) -> Result:
        """Train a network; accuracy, epoch times, kind of steps (eager or captured) and weights."""
        recipe = self.recipe.model_copy(update=changes)
        run = train_network(text, seed, recipe, load_on_device(self.recipe, self.device))
        weights = torch.cat([p.detach().flatten() for p in run.outcome.model.parameters()])
        return {
            "accuracy": run.accuracy,
            "seconds": [round(report.seconds, 4) for report in run.curve],
            "steps": run.outcome.steps,
            "weights": weights,
        }


def run_gpu_tests(bench: GPUBench) -> Result:
    """The suite's tests that need a GPU."""
    folders = ["tests/runners", "tests/spaces"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        *folders,
    ]
    if not bench.dry:
        command += ["-n", "8"]  # Compiling kernels takes most of the time.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
    failures = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if not bench.dry and (failures or not counts.get("passed")):
        print(done.stdout[-4000:], done.stderr[-2000:])
    return {"exit": done.returncode, "counts": counts, "failures": failures}


def compare_fused(bench: GPUBench) -> Result:
    """Fused form of each attention on the device against its plain form, there and on the CPU:
    outputs and gradients in float64, largest difference relative to the largest value."""
    rows: Result = {}
    for name, entry in ATTENTIONS.items():
        torch.manual_seed(0)
        module = entry.load()(64).double().train()
        draw = torch.Generator().manual_seed(1)
        x = torch.randn(8, 64, 32, 32, dtype=torch.float64, generator=draw)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
        fused = run_both_passes(copy.deepcopy(module), x, bench.device)
        with disable_kernels():
            plain = run_both_passes(copy.deepcopy(module), x, bench.device)
            cpu = run_both_passes(module, x, torch.device("cpu"))
        rows[name] = {
            "plain": relative_difference(fused, plain),
            "cpu": relative_difference(fused, cpu),
        }
    worst = {form: max(row[form] for row in rows.values()) for form in ("plain", "cpu")}
    # On CUDA torch's hard swish uses 1/6 in float32, and so differs from its own form on a CPU.
    return {
        "largest_relative_difference": rows,
        "ok": worst["plain"] < 1e-10 and worst["cpu"] < 1e-7,
    }


def run_both_passes(
    module: torch.nn.Module, x: torch.Tensor, device: torch.device
) -> list[torch.Tensor]:
    """Output, and gradients of the map and of all weights, on the CPU."""
    placed, x_placed = module.to(device), x.to(device, copy=True).requires_grad_()
    y = placed(x_placed)
    y.square().sum().backward()
    grads = [p.grad for p in (x_placed, *placed.parameters())]
    return [t.detach().cpu() for t in (y, *grads) if t is not None]


def relative_difference(actual: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """The largest difference of two lists of tensors, each relative to its largest value."""
    pairs = zip(actual, expected, strict=True)
    # The gradient of a bias before a batch norm is zero except for rounding errors, which must not
    # be compared with themselves.
    floor = 1e-3 * max(float(b.abs().max()) for b in expected)
    return max(float((a - b).abs().max()) / max(floor, float(b.abs().max())) for a, b in pairs)


def compare_graphs(bench: GPUBench) -> Result:
    """Captured steps against eager ones."""
    rows: Result = {}
    for attention in ("", "+se(r=16)@all.residual", "+cbam(r=16)@all.residual"):
        text = f"{bench.backbone}{attention}"
        captured = bench.train(text, 0, epochs=2, lr=1e-3)
        eager = bench.train(text, 0, epochs=2, lr=1e-3, cuda_graph=False)
        again = bench.train(text, 0, epochs=2, lr=1e-3, cuda_graph=False)
        rows[text] = {
            "steps": captured["steps"],
            "difference": float((captured["weights"] - eager["weights"]).abs().max()),
            "eager_difference": float((again["weights"] - eager["weights"]).abs().max()),
            "speed": round(eager["seconds"][-1] / captured["seconds"][-1], 3),
        }
    return {"captured_against_eager": rows}


def compare_bf16(bench: GPUBench) -> Result:
    """Final accuracy by precision, with three paired seeds."""
    rows: dict[str, list[float]] = {"float32": [], "bf16": []}
    for seed in range(3):
        for precision, accuracies in rows.items():
            changes = {} if bench.dry else {"epochs": 5}
            run = bench.train(bench.backbone, seed, precision=precision, **changes)
            accuracies.append(run["accuracy"])
    differences = [b - f for b, f in zip(rows["bf16"], rows["float32"], strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return {
        "accuracy": rows,
        "bf16_minus_float32": {"mean": statistics.mean(differences), "standard_error": error},
    }


def measure_packing(bench: GPUBench) -> Result:
    """Workers on one GPU, for a network that fills it and for a small one."""
    device = "cpu" if bench.dry else "cuda:0"
    rows = {}
    for backbone in (bench.backbone,) if bench.dry else (bench.backbone, SMALL_BACKBONE):
        measured = measure_workers_per_gpu(backbone, bench.recipe, device)
        rows[backbone] = {"workers": measured.workers, "epochs_a_second": measured.throughput}
    return {"backbones": rows}


def time_epochs(bench: GPUBench) -> Result:
    """Seconds of an epoch, evaluation included, without the first epoch."""
    rows: Result = {}
    deadline = time.perf_counter() + bench.options.seconds
    for name in (
        *COMMON_ATTENTIONS,
        *(name for name in ATTENTIONS if name not in COMMON_ATTENTIONS),
    ):
        text = bench.backbone
        if time.perf_counter() > deadline:
            rows[name] = {"error": "no time was left"}
            continue
        if name != "none":  # An attention that replaces a convolution exists at `mid` only.
            text += f"+{name}@all.{'mid' if ATTENTIONS[name].positions else 'residual'}"
        try:
            run = bench.train(text, 0, epochs=5 if name in COMMON_ATTENTIONS else 2)
        except Exception as error:  # An attention that does not run here is a result, too.
            rows[name] = {"error": f"{type(error).__name__}: {error}"}
            continue
        later = run["seconds"][1:]
        rows[name] = {
            "median": statistics.median(later),
            "least": min(later),
            "most": max(later),
            "steps": run["steps"],
        }
    return {"seconds_an_epoch": rows}


def run_study(bench: GPUBench) -> Result:
    """A search that continues where the last call stopped."""
    recipe, folder = bench.recipe, bench.options.json.parent
    words = ["--backbone", bench.backbone, "--data", recipe.data, "--space", "quick"]
    words += ["--epochs", str(recipe.epochs), "--batch-size", str(recipe.batch_size)]
    words += ["--stem", recipe.stem, "--image-size", str(recipe.image_size)]
    words += ["--device", bench.device.type, "--trials", "2" if bench.dry else "1000"]
    words += ["--lr", str(recipe.lr), "--precision", recipe.precision, "--init", recipe.init]
    if bench.dry:
        words += ["--train-limit", "128"]
    if workers := best_workers_per_gpu(folder / "packing.json", bench.backbone):
        words += ["--workers-per-gpu", str(workers)]
    return time_search(ResumableSearch(folder, "study"), words, bench.seconds)


def train_tables(bench: GPUBench) -> Result:
    """All architectures of all tables, three seeds each, and a sample that trains for longer."""
    folder, deadline = bench.options.json.parent, time.monotonic() + bench.seconds
    words = [
        "--device",
        bench.device.type,
        "--processes",
        "1" if bench.dry else str(NUM_TABLE_PROCESSES),
    ]
    if bench.dry:
        words += ["--sample", "1", "--seeds", "1", "--epochs", "1", "--train-limit", "300"]
    progress: Result = {}
    for config, settings in list_unfinished_tables():
        epochs = round(SAMPLE_EPOCHS_FACTOR * settings["epochs"])
        sample = ["--sample", str(SAMPLE_SIZE), "--epochs", str(epochs)]
        data = [] if settings["data"] in EMBEDDED else ["--data", bench.recipe.data]
        for name, options in ((config.stem, []), (f"{config.stem}_longer", sample)):
            arguments = [*options, *data, *words]
            seconds = max(10.0, deadline - time.monotonic())
            progress[name], complete = train_table(
                config, folder / f"{name}_table.json", arguments, seconds
            )
            if not complete:
                raise SystemExit(f"{name} is not complete yet: {progress[name]}; call again")
    return {"tables": progress}


def list_unfinished_tables() -> list[tuple[Path, dict[str, Any]]]:
    """Settings files of the tables that are not completely trained, with their content."""
    unfinished = []
    for path in sorted((ROOT / "benchmarks" / "tables").glob("*.toml"), reverse=True):
        settings = tomllib.loads(path.read_text("utf-8"))
        if "epochs" in settings and not _is_complete(
            path.with_suffix(".json")
        ):  # A space has none.
            unfinished.append((path, settings))
    return unfinished


def _is_complete(table: Path) -> bool:
    """Whether all architectures of the space have all seeds."""
    if not table.exists():
        return False
    return not missing_trials(json.loads(table.read_text("utf-8"))["architectures"], TABLE_SEEDS)


def best_workers_per_gpu(path: Path, backbone: str) -> int:
    """The number of workers per GPU that was measured to be best; 0 without a measurement."""
    if not path.exists():
        return 0
    measured = json.loads(path.read_text(encoding="utf-8"))["backbones"].get(backbone, {})
    return int(measured.get("workers", 0))


PARTS: dict[str, Callable[[GPUBench], Result]] = {
    "tests": run_gpu_tests,
    "fused": compare_fused,
    "graphs": compare_graphs,
    "bf16": compare_bf16,
    "packing": measure_packing,
    "epochs": time_epochs,
    "study": run_study,
    "tables": train_tables,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument(
        "--seconds", type=int, default=300, help="time for the parts study and tables"
    )
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    options.json = options.json.resolve()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    if options.dry:
        torch.set_num_threads(1)
    bench = GPUBench(options)
    part_result = PARTS[options.part](bench)
    precision = bench.recipe.precision
    result = {
        "what": (PARTS[options.part].__doc__ or "").strip(),
        "environment": describe_environment(bench.device, precision),
        "recipe": {**bench.recipe.model_dump(mode="json"), "data": Path(bench.recipe.data).name},
        "dry": bench.dry,
        **part_result,
    }
    draft = options.json.with_suffix(".draft")
    draft.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(options.json)


if __name__ == "__main__":
    main()
