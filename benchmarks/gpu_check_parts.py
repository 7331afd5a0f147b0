"""The parts of `gpu_check.sh` that no other benchmark covers, each to one JSON file.

    python benchmarks/gpu_check_parts.py graphs --data DIR --json FILE [--dry]

tests    the test suite's GPU tests: counts, and the failures' names
fused    every attention's fused form against its eager one, gradients in float64
graphs   captured steps against eager ones: how far the weights differ, and how much faster they are
bf16     CIFAR-10 accuracy in bf16 and float32, three paired seeds, five epochs
packing  epochs a second of 1, 2 and 4 workers on one GPU
epochs   seconds of a CIFAR-10 epoch (ResNet-18, small stem) bare and with each attention
study    a real search on CIFAR-10, for the seconds that are left; resumed by the next call. It
         takes as many workers as the part `packing` found best, if its answer is there
tables   the tabular benchmarks, `tables/*.toml`, and a sample of each that trains for longer, one
         after another and on where the last call left them

With `--dry` on a CPU and a few pictures of an embedded data set: a test of the parts themselves.
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
from attentune.benchmarks.gpu_check_searches import ROOT, Search, timed, trained_table
from attentune.benchmarks.network_training import load_on_device, train_network
from attentune.benchmarks.tabular_benchmark import missing_trials
from attentune.runners.calibration.workers_per_gpu import measure_workers_per_gpu
from attentune.runners.data import inspect_data
from attentune.runners.data.embedded import EMBEDDED
from attentune.runners.devices import resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.kernels.dispatch import disable_kernels

Result = dict[str, Any]
COMMON = ("none", "se", "eca", "cbam", "ca")
"""Attentions whose epochs are timed four times; the others' once."""
SMALL = "mobilenetv3_small_050"
TOGETHER = 14
"""Processes that train a table: its network is so small that they share a GPU well."""
SEEDS = 3
SAMPLE, LONGER = 15, 2.5
"""Of a table, so many architectures train so many times as long: do ranks stay?"""
RECIPE = {"batch_size": 512, "stem": "small", "lr": 8e-3, "epochs": 9}


class GPUBench:
    """What the parts share: the device, the data, a recipe, and short settings for a dry run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.dry = options, bool(options.dry)
        self.device = resolve_device("cpu" if self.dry else "cuda")
        self.backbone = "test_resnet" if self.dry else "resnet18"
        name = "digits" if self.dry else str(options.data)
        source = inspect_data(name)
        settings: dict[str, Any] = {**RECIPE, "precision": "float32" if self.dry else "bf16"}
        if self.dry:
            settings |= {"batch_size": 32, "train_limit": 128, "epochs": 2, "stem": "native"}
        size = min(32, source.image_size)
        self.recipe = Recipe.of(
            data=name, image_size=size, flip=source.flip, crop=source.crop, **settings
        )

    @property
    def seconds(self) -> float:
        """For a search, without what it takes to begin and to end."""
        return 30 if self.dry else max(30, self.options.seconds - 30)

    def train(self, text: str, seed: int, **changes: Any) -> Result:
        """One training: final accuracy, seconds of its epochs, how its steps ran, its weights."""
        recipe = self.recipe.model_copy(update=changes)
        run = train_network(text, seed, recipe, load_on_device(self.recipe, self.device))
        weights = torch.cat([p.detach().flatten() for p in run.outcome.model.parameters()])
        return {
            "accuracy": run.accuracy,
            "seconds": [round(report.seconds, 4) for report in run.curve],
            "steps": run.outcome.steps,
            "weights": weights,
        }


def tests(bench: GPUBench) -> Result:
    """The suite's tests that need a GPU."""
    where = ["tests/runners", "tests/spaces"]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *where]
    if not bench.dry:
        command += ["-n", "8"]  # compiling kernels is what takes the time
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = (done.stdout.strip().splitlines() or [""])[-1]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
    failures = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if not bench.dry and (failures or not counts.get("passed")):
        print(done.stdout[-4000:], done.stderr[-2000:])
    return {"exit": done.returncode, "counts": counts, "failures": failures}


def fused(bench: GPUBench) -> Result:
    """Every attention's fused form on the device against its plain one, there and on the CPU:
    outputs and gradients in float64, the largest difference in parts of the largest value."""
    rows: Result = {}
    for name, entry in ATTENTIONS.items():
        torch.manual_seed(0)
        module = entry.load()(64).double().train()
        draw = torch.Generator().manual_seed(1)
        x = torch.randn(8, 64, 32, 32, dtype=torch.float64, generator=draw)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
        ours = both_ways(copy.deepcopy(module), x, bench.device)
        with disable_kernels():
            there = both_ways(copy.deepcopy(module), x, bench.device)
            here = both_ways(module, x, torch.device("cpu"))
        rows[name] = {"plain": apart(ours, there), "cpu": apart(ours, here)}
    worst = {way: max(row[way] for row in rows.values()) for way in ("plain", "cpu")}
    # torch's hard swish has 1/6 in float32 on CUDA, and differs by that from its own on a CPU.
    return {
        "largest_relative_difference": rows,
        "ok": worst["plain"] < 1e-10 and worst["cpu"] < 1e-7,
    }


def both_ways(module: torch.nn.Module, x: torch.Tensor, device: torch.device) -> list[torch.Tensor]:
    """Output, and gradients of the map and of every weight."""
    placed, given = module.to(device), x.to(device, copy=True).requires_grad_()
    y = placed(given)
    y.square().sum().backward()
    grads = [p.grad for p in (given, *placed.parameters())]
    return [t.detach().cpu() for t in (y, *grads) if t is not None]


def apart(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    pairs = zip(found, expected, strict=True)
    # A bias before a batch norm has no gradient: what is left of it is rounding of the others.
    nothing = 1e-3 * max(float(b.abs().max()) for b in expected)
    return max(float((a - b).abs().max()) / max(nothing, float(b.abs().max())) for a, b in pairs)


def graphs(bench: GPUBench) -> Result:
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


def bf16(bench: GPUBench) -> Result:
    """Final accuracy by precision, three paired seeds."""
    rows: dict[str, list[float]] = {"float32": [], "bf16": []}
    for seed in range(3):
        for precision, found in rows.items():
            changes = {} if bench.dry else {"epochs": 5}
            run = bench.train(bench.backbone, seed, precision=precision, **changes)
            found.append(run["accuracy"])
    differences = [b - f for b, f in zip(rows["bf16"], rows["float32"], strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    return {
        "accuracy": rows,
        "bf16_minus_float32": {"mean": statistics.mean(differences), "standard_error": error},
    }


def packing(bench: GPUBench) -> Result:
    """Workers on one GPU, of a network that fills it and of a small one."""
    device = "cpu" if bench.dry else "cuda:0"
    rows = {}
    for backbone in (bench.backbone,) if bench.dry else (bench.backbone, SMALL):
        found = measure_workers_per_gpu(backbone, bench.recipe, device)
        rows[backbone] = {"workers": found.workers, "epochs_a_second": found.throughput}
    return {"backbones": rows}


def epochs(bench: GPUBench) -> Result:
    """Seconds of an epoch, evaluation included, the first left out."""
    rows: Result = {}
    ends = time.perf_counter() + bench.options.seconds
    for name in (*COMMON, *(name for name in ATTENTIONS if name not in COMMON)):
        text = bench.backbone
        if time.perf_counter() > ends:
            rows[name] = {"error": "no time was left"}
            continue
        if name != "none":  # one that takes a convolution's place needs a position that has one
            text += f"+{name}@all.{'mid' if ATTENTIONS[name].positions else 'residual'}"
        try:
            run = bench.train(text, 0, epochs=5 if name in COMMON else 2)
        except Exception as error:  # a result too: which attention does not run here
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


def study(bench: GPUBench) -> Result:
    """A search that goes on where the last call left it."""
    recipe, folder = bench.recipe, bench.options.json.parent
    words = ["--backbone", bench.backbone, "--data", recipe.data, "--space", "quick"]
    words += ["--epochs", str(recipe.epochs), "--batch-size", str(recipe.batch_size)]
    words += ["--stem", recipe.stem, "--image-size", str(recipe.image_size)]
    words += ["--device", bench.device.type, "--trials", "2" if bench.dry else "1000"]
    words += ["--lr", str(recipe.lr), "--precision", recipe.precision]
    if bench.dry:
        words += ["--train-limit", "128"]
    if packed := workers_of(folder / "packing.json", bench.backbone):
        words += ["--workers-per-gpu", str(packed)]
    return timed(Search(folder, "study"), words, bench.seconds)


def tables(bench: GPUBench) -> Result:
    """Every architecture of every table, three seeds each, and a sample that trains for longer."""
    folder, ends = bench.options.json.parent, time.monotonic() + bench.seconds
    words = ["--device", bench.device.type, "--processes", "1" if bench.dry else str(TOGETHER)]
    if bench.dry:
        words += ["--sample", "1", "--seeds", "1", "--epochs", "1", "--train-limit", "300"]
    found: Result = {}
    for config, settings in untrained():
        epochs = round(LONGER * settings["epochs"])
        sample = ["--sample", str(SAMPLE), "--epochs", str(epochs)]
        own = [] if settings["data"] in EMBEDDED else ["--data", bench.recipe.data]
        for name, more in ((config.stem, []), (f"{config.stem}_longer", sample)):
            asked = [*more, *own, *words]
            left = max(10.0, ends - time.monotonic())
            found[name], whole = trained_table(config, folder / f"{name}_table.json", asked, left)
            if not whole:
                raise SystemExit(f"{name} is not whole yet: {found[name]}; call again")
    return {"tables": found}


def untrained() -> list[tuple[Path, dict[str, Any]]]:
    """The settings of the tables that nobody has trained to their end yet, by their file."""
    found = []
    for path in sorted((ROOT / "benchmarks" / "tables").glob("*.toml"), reverse=True):
        settings = tomllib.loads(path.read_text("utf-8"))
        if "epochs" in settings and not _whole(path.with_suffix(".json")):  # else it is a space
            found.append((path, settings))
    return found


def _whole(table: Path) -> bool:
    """Whether every architecture of its space has all its seeds."""
    if not table.exists():
        return False
    return not missing_trials(json.loads(table.read_text("utf-8"))["architectures"], SEEDS)


def workers_of(path: Path, backbone: str) -> int:
    """The workers a GPU that were measured to be best; 0 if nothing was measured."""
    if not path.exists():
        return 0
    found = json.loads(path.read_text())["backbones"].get(backbone, {})
    return int(found.get("workers", 0))


PARTS: dict[str, Callable[[GPUBench], Result]] = {
    part.__name__: part
    for part in (
        tests,
        fused,
        graphs,
        bf16,
        packing,
        epochs,
        study,
        tables,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=300, help="for study and tables")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    options.json = options.json.resolve()
    options.json.parent.mkdir(parents=True, exist_ok=True)
    if options.dry:
        torch.set_num_threads(1)
    bench = GPUBench(options)
    found = PARTS[options.part](bench)
    precision = bench.recipe.precision
    result = {
        "what": (PARTS[options.part].__doc__ or "").strip(),
        "environment": describe_environment(bench.device, precision),
        "recipe": {**bench.recipe.model_dump(mode="json"), "data": Path(bench.recipe.data).name},
        "dry": bench.dry,
        **found,
    }
    draft = options.json.with_suffix(".draft")
    draft.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(options.json)


if __name__ == "__main__":
    main()
