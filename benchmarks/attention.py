"""Time each attention: in its fused form, in its plain form, and as timm's module.

    python benchmarks/attention.py --json benchmarks/results/attention.json
    python benchmarks/attention.py --attentions se cbam --maps resnet18 --variants bf16.contiguous

Maps are those at the end of the residual branches of a ResNet-18, and after the depthwise
convolutions of a MobileNetV3 (the widest of each size), for images of 32×32 and the small stem.
A forward pass in evaluation mode (`infer`), and a forward and backward pass in training mode
(`step`), are timed in turns on one thread. `plain` is the same module inside `disable_kernels()`;
`timm` is timm's module with the same hidden width, if there is one. Ratios are above 1 where the
fused form is faster. `passes` counts how often a training step reads or writes the map in memory
outside the cache; it is computed from the operators on the meta device.

Size limits (`spaces/kernels/limits.py`) decide where the fused form is used. With good limits, no
median is below 1 except for noise: `slower` lists medians below `MIN_MEDIAN_RATIO`. The result
states the machine, versions, rounds and quartiles.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from attentune.benchmarks.interleaved_timing import (
    TimedRun,
    format_summary,
    ratios,
    summarise_rounds,
    time_rounds,
)
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.runners.devices import keep_freed_memory, resolve_device
from attentune.runners.environment import describe_environment
from attentune.spaces.attentions.catalogue import ATTENTIONS
from attentune.spaces.attentions.registry import get_attention
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.backbones.timm_compat import import_timm
from attentune.spaces.kernels.dispatch import disable_kernels
from attentune.spaces.kernels.limits import DEFAULTS
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

BACKBONES = {"resnet18": "residual", "mobilenetv3_small_050": "mid"}
PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16}
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
VARIANTS = ("float32.channels_last", "bf16.channels_last", "float32.contiguous")
"""In bf16 there is no fused form for contiguous maps."""

MIN_MEDIAN_RATIO = 0.93
"""A smaller median ratio is more than noise."""
MAX_CACHED_BYTES = 2 * DEFAULTS.chunk_bytes
"""Storages up to this size are assumed to stay in the CPU's cache."""

Shape = tuple[int, int, int]


# --- modules --------------------------------------------------------------------------------------


def make_timm_module(name: str, channels: int) -> nn.Module | None:
    """timm's module of this name with the same hidden width; None if timm has none."""
    layers = import_timm().layers
    width = get_attention(name).width
    make: dict[str, Callable[[], nn.Module]] = {
        "se": lambda: layers.SEModule(channels, rd_channels=width(channels, 16), bias=False),
        "eca": lambda: layers.EcaModule(channels),
        "ese": lambda: layers.EffectiveSEModule(channels, gate_layer="sigmoid"),
        "cbam": lambda: layers.cbam.CbamModule(channels, rd_channels=width(channels, 16)),
        "channel": lambda: layers.cbam.ChannelAttn(channels, rd_channels=width(channels, 16)),
        "spatial": lambda: layers.cbam.SpatialAttn(7),
        "ca": lambda: layers.coord_attn.CoordAttn(channels, rd_channels=width(channels, 32)),
        "ela": lambda: layers.coord_attn.EfficientLocalAttn(channels),
        "ge": lambda: layers.GatherExcite(channels, use_mlp=False),
        "gc": lambda: layers.GlobalContext(
            channels, fuse_add=True, fuse_scale=False, rd_channels=width(channels, 16)
        ),
        "nl": lambda: layers.NonLocalAttn(channels, rd_channels=width(channels, 2)),
    }
    try:
        return make[name]() if name in make else None
    except (AttributeError, TypeError):  # This version of timm does not have it.
        return None


class TimedModule:
    """A module with its input map and the gradient of its output."""

    def __init__(
        self, module: nn.Module, shape: tuple[int, ...], variant: tuple[str, str], device: Any
    ) -> None:
        precision, layout = variant
        form, dtype = LAYOUTS[layout], PRECISIONS[precision]
        self.module = module.to(device, memory_format=form)  # type: ignore[call-overload]
        self.bf16 = precision == "bf16"
        self.device = torch.device(device)
        self.x = torch.randn(shape, device=device).to(dtype).contiguous(memory_format=form)
        self.x.requires_grad_()
        self.grad = torch.randn_like(self.x, requires_grad=False)

    def forward(self) -> Tensor:
        device = self.device.type
        with torch.autocast(device, torch.bfloat16) if self.bf16 else contextlib.nullcontext():
            y: Tensor = self.module(self.x)
        return y

    def step(self) -> None:
        self.module.train()
        self.x.grad = None
        y = self.forward()
        y.backward(self.grad.to(y.dtype))  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def infer(self) -> None:
        self.module.eval()
        self.forward()

    def make_timed(self, work: Callable[[], None], times: int, plain: bool) -> TimedRun:
        cuda = self.device.type == "cuda"
        wait: Callable[[], None] = torch.cuda.synchronize if cuda else lambda: None

        def run() -> float:
            with disable_kernels() if plain else contextlib.nullcontext():
                wait()
                began = time.perf_counter()
                for _ in range(times):
                    work()
                wait()
                return (time.perf_counter() - began) / times

        return run


# --- traffic --------------------------------------------------------------------------------------


class MemoryTraffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes that operators read and write in storages too large for the cache."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        name = func._schema.name
        if func.is_view or "empty" in name or name.endswith(("detach", "_unsafe_view")):
            return results
        output = (kwargs or {}).get("out")
        self.bytes += sum(map(_traffic_bytes, _tensors([args, {**(kwargs or {}), "out": None}])))
        self.bytes += sum(map(_traffic_bytes, _tensors(results if output is None else output)))
        return results


def _tensors(nested: Any) -> Iterator[Tensor]:
    if isinstance(nested, Tensor):
        yield nested
    elif isinstance(nested, list | tuple):
        for item in nested:
            yield from _tensors(item)
    elif isinstance(nested, dict):
        yield from _tensors(list(nested.values()))


def _traffic_bytes(tensor: Tensor) -> int:
    """Bytes that reading or writing a tensor moves; an expanded axis exists in memory once."""
    if tensor.untyped_storage().nbytes() <= MAX_CACHED_BYTES:
        return 0
    sides = zip(tensor.shape, tensor.stride(), strict=True)
    return tensor.element_size() * int(
        torch.tensor([side for side, stride in sides if stride]).prod()
    )


def count_passes(name: str, shape: tuple[int, ...], variant: tuple[str, str], plain: bool) -> float:
    """How many times a training step reads or writes the map."""
    timed = TimedModule(get_attention(name).load()(shape[1]), shape, variant, "meta")
    with disable_kernels() if plain else contextlib.nullcontext(), MemoryTraffic() as traffic:
        timed.bf16 = False  # The meta device has no autocast, and the map has the dtype already.
        timed.module.to(timed.x.dtype)
        timed.step()
    return float(traffic.bytes / (timed.x.numel() * timed.x.element_size()))


# --- measuring ------------------------------------------------------------------------------------


def measure(
    name: str, shape: tuple[int, ...], variant: tuple[str, str], options: argparse.Namespace
) -> dict[str, Any]:
    """One row of the result."""
    ours = TimedModule(get_attention(name).load()(shape[1]), shape, variant, options.device)
    row: dict[str, Any] = {"attention": name, "map": list(shape), "variant": " ".join(variant)}
    modules = {"ours": (ours, False), "plain": (ours, True)}
    timm_module = make_timm_module(name, shape[1])
    if timm_module is not None:
        modules["timm"] = (TimedModule(timm_module, shape, variant, options.device), False)
    for label in ("step", "infer"):
        runs = {}
        for form, (timed, plain) in modules.items():
            work = getattr(timed, label)
            run_once = timed.make_timed(work, 1, plain)
            run_once()
            times = max(1, round(options.block / max(1e-6, min(run_once(), run_once()))))
            runs[form] = timed.make_timed(work, times, plain)
        times_of = time_rounds(runs, options.rounds, options.monitor.sample)
        row[label] = {"ms": round(1e3 * statistics.median(times_of["ours"]), 3)}
        for form in list(runs)[1:]:
            row[label][f"{form} / ours"] = summarise_rounds(
                ratios(times_of[form], times_of["ours"])
            )
    return row


def list_maps(backbone: str, image_size: int) -> list[Shape]:
    """(C, H, W) at one position of its blocks, the widest of each size."""
    sites = find_sites(backbone, image_size=image_size, stem="small").sites
    widest: dict[int, Shape] = {}
    for s in sites:
        if s.position == BACKBONES[backbone]:
            shape = (s.channels, s.height, s.width)
            widest[s.height] = max(shape, widest.get(s.height, shape))
    return [widest[side] for side in sorted(widest, reverse=True)]


def measure_rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    variants = [tuple(variant.split(".")) for variant in options.variants]
    for backbone, name in itertools.product(options.maps, options.attentions):
        for shape, variant in itertools.product(list_maps(backbone, options.image_size), variants):
            row = measure(name, (options.batch_size, *shape), variant, options)
            row["backbone"] = backbone
            if shape == list_maps(backbone, options.image_size)[0]:
                traffic = (
                    count_passes(name, (options.batch_size, *shape), variant, p)
                    for p in (True, False)
                )
                row["passes"] = dict(
                    zip(("plain", "ours"), (round(m, 1) for m in traffic), strict=True)
                )
            print_row(row)
            yield row


def print_row(row: dict[str, Any]) -> None:
    words = [f"{row['attention']:8s} {'×'.join(map(str, row['map'])):14s} {row['variant']:22s}"]
    for label in ("step", "infer"):
        timing = row[label]
        words.append(f"{label} {timing['ms']:8.2f} ms")
        words += [f"{name} {format_summary(timing[name])}" for name in timing if name != "ms"]
    if "passes" in row:
        words.append("passes {plain} → {ours}".format(**row["passes"]))
    print("  ".join(words), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_common_options(parser)
    parser.add_argument("--attentions", nargs="+", default=list(ATTENTIONS), choices=ATTENTIONS)
    parser.add_argument("--maps", nargs="+", default=list(BACKBONES), choices=BACKBONES)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="TYPE.LAYOUT")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", type=resolve_device, default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--block", type=float, default=0.01, help="minimum duration of a turn, in seconds"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # As in a worker.
    options.monitor = monitor = LoadMonitor.start(anyway=options.anyway)
    rows = list(measure_rows(options))
    slower = [
        {"attention": r["attention"], "map": r["map"], "variant": r["variant"], "in": label}
        for r in rows
        for label in ("step", "infer")
        if r[label]["plain / ours"]["median"] < MIN_MEDIAN_RATIO
    ]
    result = {
        "what": "time of an attention alone: plain form and timm's over ours, ratios in a round",
        "busy": monitor.finish(),
        "others_cores": round(monitor.cores, 3),
        "environment": describe_environment(options.device, "see rows"),
        "limit": MIN_MEDIAN_RATIO,
        "slower": slower,
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
