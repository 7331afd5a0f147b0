"""Compare images per second of the training loop, the best bare loop and a plain PyTorch loop.

    python benchmarks/loop.py --json benchmarks/results/loop.json
    python benchmarks/loop.py --data ../cifar10 --threads 1 2

ours    the loop of a trial: images on the device, augmentation, schedule, optimizer, averaged
        weights, in the precision and memory format that calibration chooses
bare    the same network on one normalised batch on the device: forward pass, loss, backward pass,
        fused optimizer, nothing else, in eager mode, in whichever of {float32, bf16} × {contiguous,
        channels last} is fastest
usual   PIL images, torchvision's transforms, a DataLoader, float32 (`pytorch_baseline.py`)

Blocks of steps are timed in turns (`interleaved_timing.py`), in one process with one seed and one
batch size. `ours / bare` is the fraction of the possible speed, `ours / usual` the speed-up for a
user. The result states the machine, versions, precision, threads, rounds and quartiles.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from attentune.benchmarks import pytorch_baseline
from attentune.benchmarks.interleaved_timing import (
    TimedRun,
    format_summary,
    ratios,
    summarise_rounds,
    time_rounds,
    timed_steps,
)
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.network_training import with_light_augmentation
from attentune.runners.calibration.precision import PrecisionProbe, Variant, probe_precision
from attentune.runners.data import Dataset, inspect_data, load_data
from attentune.runners.devices import keep_freed_memory, resolve_device
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.train import prepare_training
from attentune.spaces.architecture import parse
from attentune.spaces.backbones.discover import choose_stem, find_sites
from attentune.spaces.networks.build import build_network
from torch import nn

BACKBONES = ("resnet18", "mobilenetv3_small_050")
ATTENTIONS = ("none", "se", "cbam")
MAX_RATIO = 16
"""Reduction ratio of the attentions; smaller where the narrowest block has fewer channels."""
TARGET_RATIO = 0.95
EPOCHS = 1000
"""So many that no schedule and no loop ends during the measurement."""


class TrainingLoops:
    """The three loops of one network, each ready to continue."""

    def __init__(
        self, text: str, data: Dataset, recipe: Recipe, device: torch.device, probe: PrecisionProbe
    ) -> None:
        self.text, self.data, self.device = text, data, device
        self.recipe = recipe.model_copy(update=probe.settings)
        self.variants = probe.variants
        self.bare = self.variants[0]

    def single_steps(self, block: int) -> dict[str, TimedRun]:
        """Runs of `block` steps, by name of the loop."""
        loops = {
            "ours": self.ours(),
            "bare": self.best_bare(),
            "usual": self.usual(),
        }
        return {name: self.timed(loop, block) for name, loop in loops.items()}

    def model(self) -> nn.Module:
        return build_network(
            parse(self.text),
            num_classes=len(self.data.classes),
            stem=self.recipe.stem,
            image_size=self.recipe.image_size,
            seed=0,
        ).to(self.device)

    def ours(self) -> Iterator[float]:
        data = DeviceData.of(self.data, self.device)
        training = prepare_training(self.model(), data, self.recipe, seed=0)
        return itertools.chain.from_iterable(map(training.train_steps, range(EPOCHS)))

    def usual(self) -> Iterator[float]:
        loader, _ = pytorch_baseline.make_loaders(self.data, self.recipe, workers=0)
        model = self.model()
        optimizer = pytorch_baseline.make_optimizer(model, self.recipe)
        while True:
            yield from pytorch_baseline.train_steps(model, loader, optimizer, self.device)

    def best_bare(self) -> Iterator[float]:
        """The fastest of the variants that calibration measured to be about as fast as the best."""
        loops = {str(variant): self.bare_loop(variant) for variant in self.variants}
        runs = {name: self.timed(loop, 1) for name, loop in loops.items()}
        for run_once in runs.values():
            run_once()
        times = time_rounds(runs, 3)
        best = min(times, key=lambda name: min(times[name]))
        self.bare = next(variant for variant in self.variants if str(variant) == best)
        return loops[best]

    def bare_loop(self, variant: Variant) -> Iterator[float]:
        precision, channels_last = variant
        layout = torch.channels_last if channels_last else torch.contiguous_format
        model = self.model().to(memory_format=layout).train()  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        side, count = self.recipe.image_size, self.recipe.batch_size
        images = torch.randn(count, 3, side, side, device=self.device)
        images = images.contiguous(memory_format=layout)
        labels = torch.randint(len(self.data.classes), (count,), device=self.device)
        bf16 = precision == "bf16"
        while True:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                logits = model(images)
            F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            yield 0.0

    def timed(self, loop: Iterator[float], block: int) -> TimedRun:
        return timed_steps(loop, block, waiting_for(self.device))


def waiting_for(device: torch.device) -> Callable[[], None]:
    """A function that waits until the device has computed all that is queued."""
    return torch.cuda.synchronize if device.type == "cuda" else lambda: None


def measure(
    loops: TrainingLoops, options: argparse.Namespace, monitor: LoadMonitor
) -> dict[str, Any]:
    """One row of the result."""
    runs = loops.single_steps(1)
    for run_once in runs.values():  # The first steps are slower.
        run_once()
    block = max(1, round(options.block / min(run_once() for run_once in runs.values())))
    monitor.sample()
    blocks = {name: _repeated(run, block) for name, run in runs.items()}
    times = time_rounds(blocks, options.rounds, monitor.sample)
    recipe = loops.recipe
    images_per_turn = block * recipe.batch_size
    return {
        "architecture": loops.text,
        "threads": torch.get_num_threads(),
        "image_size": recipe.image_size,
        "stem": recipe.stem,
        "batch_size": recipe.batch_size,
        "steps_a_turn": block,
        "ours": describe_variant((recipe.precision, recipe.channels_last)),
        "bare": describe_variant(loops.bare),
        "usual": "float32 contiguous",
        "pictures_per_second": {
            name: summarise_rounds([images_per_turn / t for t in seconds], 1)
            for name, seconds in times.items()
        },
        "ours / bare": summarise_rounds(ratios(times["bare"], times["ours"])),
        "ours / usual": summarise_rounds(ratios(times["usual"], times["ours"])),
    }


def _repeated(run: TimedRun, times: int) -> TimedRun:
    return lambda: sum(run() for _ in range(times))


def describe_variant(variant: Variant) -> str:
    return f"{variant[0]} {'channels_last' if variant[1] else 'contiguous'}"


def insert_everywhere(attention: str, backbone: str, recipe: Recipe) -> str:
    """The architecture with this attention, or `none`, at the end of all residual branches."""
    if attention == "none":
        return backbone
    sites = find_sites(backbone, image_size=recipe.image_size, stem=recipe.stem).sites
    narrowest = min(site.channels for site in sites if site.position == "residual")
    return f"{backbone}+{attention}(r={min(MAX_RATIO, narrowest)})@all.residual"


def recipe_for(backbone: str, options: argparse.Namespace) -> Recipe:
    """The default recipe for these images."""
    size = options.image_size or inspect_data(options.data).image_size
    return with_light_augmentation(
        Recipe.of(
            data=options.data,
            image_size=size,
            stem=choose_stem(backbone, size),
            batch_size=options.batch_size,
            epochs=EPOCHS,
            train_limit=options.images,
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--attentions", nargs="+", default=list(ATTENTIONS))
    parser.add_argument("--data", default="cued-digits")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument(
        "--block", type=float, default=0.3, help="minimum duration of a turn, in seconds"
    )
    options = parser.parse_args()
    device = resolve_device(options.device)
    keep_freed_memory()  # It holds for all three loops, which share this process.
    monitor = LoadMonitor.start(anyway=options.anyway)
    rows: list[dict[str, Any]] = []
    with contextlib.suppress(KeyboardInterrupt):  # Rows measured before an interrupt are kept.
        for threads, backbone in itertools.product(options.threads, options.backbones):
            torch.set_num_threads(threads)
            recipe = recipe_for(backbone, options)
            data = load_data(recipe)
            probe = probe_precision(backbone, recipe, len(data.classes), device)
            for attention in options.attentions:
                loops = TrainingLoops(
                    insert_everywhere(attention, backbone, recipe), data, recipe, device, probe
                )
                rows.append(measure(loops, options, monitor))
                print_row(rows[-1])
    if not rows:
        raise SystemExit("interrupted before anything was measured")
    result = {
        "what": "images per second of the training loop, and ratios within a round",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "target": {"ours / bare": TARGET_RATIO},
        "environment": describe_environment(device, "see rows"),
        "data": data.name,
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def print_row(row: dict[str, Any]) -> None:
    words = [f"{row['architecture']}, {row['threads']} thread(s):"]
    for key in ("ours / bare", "ours / usual"):
        words.append(f"{key} {format_summary(row[key], 3)}")
    for name, speed in row["pictures_per_second"].items():
        words.append(f"{name} {speed['median']:.0f}/s ({row[name]})")
    print("  ".join(words), flush=True)


if __name__ == "__main__":
    main()
