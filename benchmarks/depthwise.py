"""What our weight gradient of depthwise convolutions over small maps gains on a CPU.

    python benchmarks/depthwise.py --json benchmarks/results/depthwise.json

`steps`: training steps of whole networks on pictures of 32 × 32, as a trial takes them, with
torch's gradient and with ours (`runners/depthwise.py`), in turns, on one thread. `gradients`: that
gradient alone, for kernels of 3 to 9 over maps of 1 to 8 places a side, wherever ours is taken.
Ratios are `torch's / ours`, above 1 where ours is faster; `slower` lists medians below the limit.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import itertools
import json
import time
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from attentune.benchmarks.quiet import Watch, add_options
from attentune.benchmarks.training import load, network
from attentune.benchmarks.turns import Contestant, ratios, rounds_of, shown, spread
from attentune.runners import depthwise
from attentune.runners.devices import hold_memory
from attentune.runners.environment import environment
from attentune.runners.optimize import make_optimizer
from attentune.runners.recipe import Recipe
from attentune.runners.steps import EagerStep
from attentune.spaces.build import choose_stem
from torch import Tensor, nn

BACKBONES = (
    "mobilenetv3_small_050",
    "mobilenetv2_050",
    "efficientnet_b0",
    "ghostnet_050",
    "convnext_atto",
)
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
KERNELS, SIDES, STRIDES = (3, 5, 7, 9), range(1, 9), (1, 2)
BATCH, CHANNELS = 64, 96
LIMIT = 0.93
"""Below it a median ratio is more than noise."""
CPU = torch.device("cpu")


def steps(backbone: str, layout: str, options: argparse.Namespace) -> dict[str, Any]:
    """A network's training step, with torch's gradient and with ours."""
    recipe = Recipe.of(
        data=options.data,
        image_size=options.image_size,
        stem=choose_stem(backbone, options.image_size),
        batch_size=options.batch_size,
        channels_last=layout == "channels_last",
        train_limit=2000,
        epochs=1,
    )
    loaded = load(recipe, CPU)
    pictures = loaded.data.train
    images = torch.as_tensor(pictures.images[: recipe.batch_size])
    labels = torch.as_tensor(pictures.labels[: recipe.batch_size])

    def contestant(ours: bool) -> Contestant:
        model = network(backbone, 0, recipe, loaded).to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
        step = EagerStep(model.train(), make_optimizer(model, recipe, CPU), loaded.data, recipe)
        if not ours:
            step.quick = nullcontext()
        return timed(lambda: step(images, labels))

    times = measured({"torch": contestant(False), "ours": contestant(True)}, options.rounds)
    return {"backbone": backbone, "layout": layout, "batch_size": recipe.batch_size, **times}


def gradient(kernel: int, side: int, stride: int, layout: str, rounds: int) -> dict[str, Any]:
    """The weight gradient alone; nothing where torch's is taken."""
    conv = nn.Conv2d(
        CHANNELS, CHANNELS, kernel, stride, kernel // 2, groups=CHANNELS, bias=False
    ).to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    x = torch.randn(BATCH, CHANNELS, side, side).to(memory_format=LAYOUTS[layout])
    if not depthwise.covers(x, conv.weight, CHANNELS):
        return {}
    given = (x, conv.weight, None, stride, kernel // 2, 1, CHANNELS)
    found: dict[str, Tensor] = {"torch": F.conv2d(*given), "ours": depthwise.conv2d(*given)}
    grad = torch.randn_like(found["torch"])

    def contestant(name: str) -> Contestant:
        return timed(lambda: torch.autograd.grad(found[name], conv.weight, grad, retain_graph=True))

    times = measured({name: contestant(name) for name in found}, rounds)
    where = {"kernel": kernel, "map": [BATCH, CHANNELS, side, side], "stride": stride}
    return {**where, "layout": layout, **times}


def timed(work: Any) -> Contestant:
    """The seconds of doing it."""

    def run() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return run


def measured(contestants: dict[str, Contestant], rounds: int) -> dict[str, Any]:
    """Milliseconds of both, and the ratio within a round."""
    for contestant in contestants.values():  # the first is slower
        contestant()
    times = rounds_of(contestants, rounds)
    found = {name: spread([1e3 * t for t in seconds], 3) for name, seconds in times.items()}
    return {"milliseconds": found, "torch / ours": spread(ratios(times["torch"], times["ours"]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_options(parser)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES))
    parser.add_argument("--data", default="cued-digits")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    hold_memory()
    watch = Watch.begin(anyway=options.anyway)
    whole, alone = [], []
    for backbone, layout in itertools.product(options.backbones, LAYOUTS):
        row = steps(backbone, layout, options)
        watch.lap()
        whole.append(row)
        print(backbone, layout, "torch / ours", shown(row["torch / ours"]), flush=True)
    for kernel, side, stride, layout in itertools.product(KERNELS, SIDES, STRIDES, LAYOUTS):
        if row := gradient(kernel, side, stride, layout, options.rounds):
            alone.append(row)
            watch.lap()
    result = {
        "what": "training with torch's weight gradient of depthwise convolutions, and with ours",
        "busy": watch.end(),
        "others_cores": round(watch.cores, 3),
        "environment": environment(CPU, "float32"),
        "image_size": options.image_size,
        "steps": whole,
        "gradients": alone,
        "slower": [row for row in alone if row["torch / ours"]["median"] < LIMIT],
    }
    print(f"gradients: {len(alone)}, slower than torch's: {len(result['slower'])}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
