"""Compare images per second of fine-tuning at photographs' sizes with bare loops and with timm's.

    python benchmarks/finetune.py --json benchmarks/results/finetune.json
    python benchmarks/finetune.py --sizes 224 --backbones resnet18 --device cuda --loader-workers 8

ours        the loop of a trial, with the augmentation of a search on photographs, in the precision
            and memory format that calibration chooses
read ahead  the same with images that may not be kept in memory: a thread reads them from the cache
bare        what an expert writes: images decoded beforehand, as uint8 on the device; batches
            gathered there, normalised and mirrored, forward pass, loss, backward pass, fused
            optimizer; in whichever of {float32, bf16} × {contiguous, channels last} is fastest
timm        the loop of timm's training script with its defaults, from JPEG files
            (`timm_baseline.py`); on a CPU with one thread it decodes in the same process

Blocks of steps are timed in turns (`interleaved_timing.py`), in one process. Before each block,
loops that prepare batches while others are timed take a few steps without a clock (`--untimed`).
The photographs are generated (`generated_photographs.py`), or those of `--photographs`. A row is
written when it is measured, and rows that the result file already has are not measured again.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import itertools
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from attentune.benchmarks.generated_photographs import write_photographs
from attentune.benchmarks.interleaved_timing import (
    TimedRun,
    format_summary,
    ratios,
    summarise_rounds,
    time_rounds,
    timed_steps,
)
from attentune.benchmarks.loop import EPOCHS, TARGET_RATIO, describe_variant, waiting_for
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.timm_baseline import timm_steps
from attentune.runners.calibration.precision import Variant, probe_precision
from attentune.runners.data import Dataset, load_data
from attentune.runners.devices import keep_freed_memory, resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.train import prepare_training
from attentune.search.setup.augmentation import PRESETS
from attentune.spaces.architecture import parse
from attentune.spaces.networks.build import build_network
from torch import nn

BACKBONES = ("resnet18", "mobilenetv3_small_100")
SIZES = (96, 160, 224)
CPU_BATCH_SIZE, GPU_BATCH_SIZE = 32, 128
GPU_LOADER_WORKERS = 4
"""The default of timm's script."""
GPU_UNTIMED_STEPS = 2 * GPU_LOADER_WORKERS
"""Batches that timm's loader has prepared, two for each of its processes."""
COMPARED = (("ours", "bare"), ("read ahead", "bare"), ("ours", "timm"))
SETTINGS = ("backbone", "image_size", "batch_size", "threads", "augmentation", "photographs")
"""What a row of the result is the measurement of."""


@dataclass(frozen=True)
class FineTuning:
    """One network on photographs of one size, trained by all loops.

    Attributes:
        backbone: a timm model.
        data: the decoded photographs.
        folder: their files.
        recipe: of the trial, in the precision and layout that calibration has chosen.
        variants: precisions and layouts that the bare loop tries.
        device: where to train.
        loader_workers: processes of timm's loader.
    """

    backbone: str
    data: Dataset
    folder: Path
    recipe: Recipe
    variants: list[Variant]
    device: torch.device
    loader_workers: int

    def network(self) -> nn.Module:
        model = build_network(
            parse(self.backbone),
            num_classes=len(self.data.classes),
            stem=self.recipe.stem,
            image_size=self.recipe.image_size,
            seed=0,
        )
        return model.to(self.device)

    def train(self, budget: float | None = None) -> Iterator[float]:
        """The loop of a trial, with a budget of bytes for images on the device."""
        data = DeviceData.of(self.data, self.device, budget)
        training = prepare_training(self.network(), data, self.recipe, seed=0)
        return itertools.chain.from_iterable(map(training.train_steps, range(EPOCHS)))

    def train_bare(self, variant: Variant, images: torch.Tensor) -> Iterator[float]:
        """What an expert writes, with uint8 images (N, H, W, 3) on the device."""
        precision, channels_last = variant
        layout = torch.channels_last if channels_last else torch.contiguous_format
        model = self.network().to(memory_format=layout).train()  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        for batch, labels in self.bare_batches(images, layout):
            with torch.autocast(self.device.type, dtype, enabled=precision != "float32"):
                logits = model(batch)
            loss = scaler.scale(F.cross_entropy(logits.float(), labels))
            loss.backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            yield 0.0

    def bare_batches(
        self, images: torch.Tensor, layout: torch.memory_format
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Normalised batches, half of their images mirrored."""
        labels = torch.from_numpy(self.data.train.labels).to(self.device)
        size, device = self.recipe.batch_size, self.device
        mean, std = (
            255 * torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (self.data.mean, self.data.std)
        )
        while True:
            order = torch.randperm(len(images), device=device)
            for rows in torch.split(order[: len(order) // size * size], size):
                batch = images.index_select(0, rows).permute(0, 3, 1, 2)
                batch = batch.contiguous(memory_format=layout).float().sub_(mean).div_(std)
                mirrored = torch.rand(size, 1, 1, 1, device=device) < 0.5
                yield torch.where(mirrored, batch.flip(3), batch), labels[rows]

    def best_bare(self) -> tuple[Iterator[float], Variant]:
        """The fastest of the variants."""
        images = torch.from_numpy(np.array(self.data.train.images)).to(self.device)
        loops = {variant: self.train_bare(variant, images) for variant in self.variants}
        runs = {
            str(variant): timed_steps(loop, 1, waiting_for(self.device), untimed=1)
            for variant, loop in loops.items()
        }
        times = time_rounds(runs, 3)
        best = min(loops, key=lambda variant: min(times[str(variant)]))
        return loops[best], best

    def train_with_timm(self) -> Iterator[float]:
        """The loop of timm's script."""
        return timm_steps(
            self.backbone,
            self.folder,
            image_size=self.recipe.image_size,
            batch_size=self.recipe.batch_size,
            device=self.device,
            loader_workers=self.loader_workers,
        )


def measure_finetuning(
    task: FineTuning, options: argparse.Namespace, monitor: LoadMonitor
) -> dict[str, Any]:
    """Images per second of all loops, and their ratios."""
    bare, variant = task.best_bare()
    loops = {
        "ours": task.train(),
        "read ahead": task.train(budget=0.0),
        "bare": bare,
        "timm": task.train_with_timm(),
    }
    wait, untimed = waiting_for(task.device), options.untimed
    single = {name: timed_steps(loop, 1, wait) for name, loop in loops.items()}
    for run_once in single.values():  # The first steps are slower.
        run_once()
    steps = max(1, round(options.block / min(run_once() for run_once in single.values())))
    monitor.sample()
    runs: dict[str, TimedRun] = {
        name: timed_steps(loop, steps, wait, untimed=untimed) for name, loop in loops.items()
    }
    times = time_rounds(runs, options.rounds, monitor.sample)
    images = steps * task.recipe.batch_size
    return {
        "ours": describe_variant((task.recipe.precision, task.recipe.channels_last)),
        "bare": describe_variant(variant),
        "timm": f"float32 contiguous, {task.loader_workers} loader processes",
        "steps_a_turn": steps,
        "untimed_steps": untimed,
        "images_per_second": {
            name: summarise_rounds([images / t for t in seconds], 1)
            for name, seconds in times.items()
        },
        **{
            f"{name} / {other}": summarise_rounds(ratios(times[other], times[name]))
            for name, other in COMPARED
        },
    }


def finetuning_recipe(folder: Path, size: int, device: torch.device, augmentation: str) -> Recipe:
    """How a search would train on photographs of this size."""
    return Recipe.of(
        data=str(folder),
        image_size=size,
        stem="native",
        batch_size=CPU_BATCH_SIZE if device.type == "cpu" else GPU_BATCH_SIZE,
        epochs=EPOCHS,
        flip=augmentation != "none",
        **PRESETS[augmentation],  # type: ignore[index]
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    add_common_options(parser)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--batch-size", type=int, help="default: 32 on a CPU, 128 on a GPU")
    parser.add_argument("--augment", choices=list(PRESETS), default="standard")
    parser.add_argument("--images", type=int, default=1000, help="photographs to generate")
    parser.add_argument("--photographs", type=Path, help="a folder of class folders to use instead")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loader-workers", type=int, help="of timm; default: 0 on a CPU, else 4")
    parser.add_argument("--untimed", type=int, help="default: 0 on a CPU, else 8")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--block", type=float, default=2.0, help="minimum duration of a turn, in seconds"
    )


def measure_row(
    settings: dict[str, Any], folder: Path, options: argparse.Namespace, monitor: LoadMonitor
) -> dict[str, Any]:
    """One row of the result."""
    backbone, device = settings["backbone"], options.device
    recipe = finetuning_recipe(folder, settings["image_size"], device, options.augment)
    recipe = recipe.model_copy(update={"batch_size": settings["batch_size"]})
    data = load_data(recipe)
    probe = probe_precision(backbone, recipe, len(data.classes), device)
    recipe = recipe.model_copy(update=probe.settings)
    task = FineTuning(
        backbone, data, folder, recipe, probe.variants, device, options.loader_workers
    )
    return {**settings, **measure_finetuning(task, options, monitor)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    options = parser.parse_args()
    options.device = device = resolve_device(options.device)
    is_cpu = device.type == "cpu"
    if options.loader_workers is None:
        options.loader_workers = 0 if is_cpu else GPU_LOADER_WORKERS
    if options.untimed is None:
        options.untimed = 0 if is_cpu else GPU_UNTIMED_STEPS
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # It holds for all loops, which share this process.
    folder = options.photographs
    if folder is None:
        folder = Path(tempfile.gettempdir(), f"attentune-photographs-{options.images}")
        write_photographs(folder, options.images)
    rows = read_rows(options.json)
    monitor = LoadMonitor.start(anyway=options.anyway)
    with contextlib.suppress(KeyboardInterrupt):  # Rows measured before an interrupt are kept.
        for backbone, size in itertools.product(options.backbones, options.sizes):
            batch_size = options.batch_size or (CPU_BATCH_SIZE if is_cpu else GPU_BATCH_SIZE)
            photographs = options.images if options.photographs is None else folder.name
            values = (backbone, size, batch_size, options.threads, options.augment, photographs)
            settings = dict(zip(SETTINGS, values, strict=True))
            if any(all(row[key] == settings[key] for key in SETTINGS) for row in rows):
                continue
            row = measure_row(settings, folder, options, monitor)
            print_row(row)
            rows.append({**row, "busy": monitor.finish()})
            write_result(options.json, rows, monitor, device)


def read_rows(file: Path | None) -> list[dict[str, Any]]:
    """The rows of an earlier call."""
    if file is None or not file.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["rows"]
    return rows


def write_result(
    file: Path | None, rows: list[dict[str, Any]], monitor: LoadMonitor, device: torch.device
) -> None:
    result = {
        "what": "images per second of fine-tuning, and ratios within a round",
        "busy": any(row["busy"] for row in rows),
        "others_cores": round(monitor.cores, 3),
        "target": {"ours / bare": TARGET_RATIO, "read ahead / bare": TARGET_RATIO},
        "environment": describe_environment(device, "see rows"),
        "rows": rows,
    }
    if file is not None:
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
        draft.replace(file)


def print_row(row: dict[str, Any]) -> None:
    words = [f"{row['backbone']} at {row['image_size']}:"]
    words += [f"{a} / {b} {format_summary(row[f'{a} / {b}'], 3)}" for a, b in COMPARED]
    for name, speed in row["images_per_second"].items():
        words.append(f"{name} {speed['median']:.1f}/s")
    print("  ".join(words), flush=True)


if __name__ == "__main__":
    main()
