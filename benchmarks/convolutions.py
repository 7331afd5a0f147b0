"""Compare this project's convolutions of small maps on a CPU with torch's.

    python benchmarks/convolutions.py --json benchmarks/results/convolutions.json

networks   training steps of whole networks on images of 32×32, as in a trial, with torch's
           convolutions and with those of `spaces/kernels/small_convolutions.py`
layers     a single convolution, forward and backward, of maps of 1×1 to 16×16, where this
           project's form is used: depthwise with kernels of 3 to 9, pointwise with the widths of
           mobile networks

Both are timed in turns on one thread in float32. Ratios are `torch / ours`, above 1 where ours is
faster; `slower` lists layers whose median is below `MIN_MEDIAN_RATIO`. The result states the
machine, versions, rounds and quartiles.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from attentune.benchmarks.interleaved_timing import (
    TimedRun,
    format_summary,
    ratios,
    summarise_rounds,
    time_rounds,
)
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.benchmarks.network_training import build_seeded_network, load_on_device
from attentune.runners.devices import keep_freed_memory
from attentune.runners.environment import describe_environment
from attentune.runners.recipe import Recipe
from attentune.runners.training.fast_ops import PatchedFunctions
from attentune.runners.training.optimizer import flatten_parameters, make_optimizer
from attentune.runners.training.prepare_network import disable_inplace_activations
from attentune.runners.training.steps import EagerStep
from attentune.spaces.backbones.discover import choose_stem
from attentune.spaces.kernels import small_convolutions as ours
from torch import nn

BACKBONES = (
    "mobilenetv3_small_050",
    "mobilenetv2_050",
    "efficientnet_b0",
    "ghostnet_050",
    "convnext_atto",
)
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
KERNELS, SIDES, STRIDES = (3, 5, 7, 9), range(1, 9), (1, 2)
BATCH_SIZE, CHANNELS = 64, 96
WIDTHS = ((8, 40), (16, 64), (40, 16), (24, 144), (144, 24), (288, 48), (128, 512), (1152, 192))
MAPS = ((64, 1), (16, 2), (64, 2), (16, 4), (64, 4), (128, 4), (16, 8), (32, 8), (8, 16))
"""(batch size, side of the map)."""
TORCH_GRAD_FN = "ConvolutionBackward0"
MIN_MEDIAN_RATIO = 0.93
"""A smaller median ratio is more than noise."""
CPU = torch.device("cpu")


def measure_network(backbone: str, layout: str, options: argparse.Namespace) -> dict[str, Any]:
    """A training step of a network, with torch's convolutions and with ours."""
    recipe = Recipe.of(
        data=options.data,
        image_size=options.image_size,
        stem=choose_stem(backbone, options.image_size),
        batch_size=options.batch_size,
        channels_last=layout == "channels_last",
        train_limit=2000,
        epochs=1,
    )
    loaded = load_on_device(recipe, CPU)
    split = loaded.data.train
    images = torch.as_tensor(split.images[: recipe.batch_size])
    labels = torch.as_tensor(split.labels[: recipe.batch_size])

    def make_run(fast: bool) -> TimedRun:
        model = build_seeded_network(backbone, 0, recipe, loaded).to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
        disable_inplace_activations(model)
        optimizer = make_optimizer(flatten_parameters(model), recipe)
        step = EagerStep(model.train(), optimizer, loaded.data, recipe)
        if not fast:
            step.fast_ops = nullcontext()
        return make_timed(lambda: step(images, labels))

    times = measure_runs({"torch": make_run(False), "ours": make_run(True)}, options.rounds)
    return {"backbone": backbone, "layout": layout, "batch_size": recipe.batch_size, **times}


def list_convolutions() -> Iterator[tuple[str, dict[str, Any], tuple[int, int, int]]]:
    """Kind and settings of a convolution, and (batch size, side, channels) of its map."""
    for kernel, side, stride in itertools.product(KERNELS, SIDES, STRIDES):
        settings = {"kernel_size": kernel, "stride": stride, "padding": kernel // 2}
        settings |= {"out_channels": CHANNELS, "groups": CHANNELS}
        yield f"depthwise {kernel}×{kernel}", settings, (BATCH_SIZE, side, CHANNELS)
    for (in_channels, out_channels), (count, side) in itertools.product(WIDTHS, MAPS):
        settings = {"kernel_size": 1, "out_channels": out_channels}
        yield "pointwise", settings, (count, side, in_channels)


def measure_layer(
    kind: str, settings: dict[str, Any], shape: tuple[int, int, int], layout: str, rounds: int
) -> dict[str, Any]:
    """Time a convolution, forward and backward; empty if torch's is used."""
    count, side, channels = shape
    conv = nn.Conv2d(channels, bias=False, **settings).to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    x = torch.randn(count, channels, side, side).to(memory_format=LAYOUTS[layout])
    x.requires_grad_()
    with PatchedFunctions({F.conv2d: ours.conv2d}):
        y = conv(x)
    if y.grad_fn is None or y.grad_fn.name() == TORCH_GRAD_FN:
        return {}
    grad = torch.randn_like(y)

    def work(context: AbstractContextManager[object]) -> None:
        with context:
            y = conv(x)
        torch.autograd.grad(y, (x, conv.weight), grad)

    times = measure_runs(
        {
            "torch": make_timed(lambda: work(nullcontext())),
            "ours": make_timed(lambda: work(PatchedFunctions({F.conv2d: ours.conv2d}))),
        },
        rounds,
    )
    return {
        "kind": kind,
        "map": [count, channels, side, side],
        **settings,
        "layout": layout,
    } | times


def make_timed(work: Any) -> TimedRun:
    """A function that runs `work` and returns its duration in seconds."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return run


def measure_runs(runs: dict[str, TimedRun], rounds: int) -> dict[str, Any]:
    """Milliseconds of both, and their ratio within a round."""
    for run in runs.values():  # The first run is slower.
        run()
    times = time_rounds(runs, rounds)
    milliseconds = {
        name: summarise_rounds([1e3 * t for t in seconds], 3) for name, seconds in times.items()
    }
    return {
        "milliseconds": milliseconds,
        "torch / ours": summarise_rounds(ratios(times["torch"], times["ours"])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--data", default="cued-digits")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    monitor = LoadMonitor.start(anyway=options.anyway)
    networks, layers = [], []
    for backbone, layout in itertools.product(options.backbones, LAYOUTS):
        row = measure_network(backbone, layout, options)
        monitor.sample()
        networks.append(row)
        print(backbone, layout, "torch / ours", format_summary(row["torch / ours"]), flush=True)
    for (kind, settings, shape), layout in itertools.product(list_convolutions(), LAYOUTS):
        if row := measure_layer(kind, settings, shape, layout, options.rounds):
            layers.append(row)
            monitor.sample()
    result = {
        "what": "training with torch's convolutions over small maps, and with ours",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "environment": describe_environment(CPU, "float32"),
        "image_size": options.image_size,
        "networks": networks,
        "layers": layers,
        "slower": [row for row in layers if row["torch / ours"]["median"] < MIN_MEDIAN_RATIO],
    }
    print(f"layers: {len(layers)}, slower than torch's: {len(result['slower'])}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
