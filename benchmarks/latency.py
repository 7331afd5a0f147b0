"""Compare the standard errors of measured latencies with the scatter of repetitions, under load.

    python benchmarks/latency.py --json benchmarks/results/latency.json

`attentune measure` times each network ten times, each time in a process of its own: on an idle
machine, and while other processes keep every core busy with convolutions. All ten are the same
network, so they should differ from their mean by no more than their own standard errors: by one
error in two of three cases, and by two in 19 of 20. The first condition needs an idle machine. The
result states the machine, versions, every measurement and the load.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from attentune.benchmarks.machine_load import LoadMonitor, add_common_options
from attentune.runners.cores import usable_cores
from attentune.runners.environment import describe_environment

NETWORKS = (
    ("test_resnet", 64),
    ("test_resnet+se@all.residual", 64),
    ("mobilenetv3_small_050+eca@all.residual", 96),
    ("resnet18+se@all.residual", 64),
)
"""(architecture, image size in pixels)."""
BUSY_LOOP = """
import torch
torch.set_num_threads(1)
convolution, image = torch.nn.Conv2d(64, 64, 3), torch.randn(4, 64, 56, 56)
with torch.inference_mode():
    while True:
        convolution(image)
"""
QUANTITIES = ("latency_ms", "latency_ratio")


@contextmanager
def busy_cores(processes: int) -> Iterator[None]:
    """Keep cores busy with so many processes of one thread each."""
    command = [sys.executable, "-c", BUSY_LOOP]
    load = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for process in load:
            process.kill()
            process.wait()


def measure_once(text: str, image_size: int, device: str) -> dict[str, Any]:
    """What `attentune measure --json` prints."""
    words = [text, "--image-size", str(image_size), "--num-classes", "10", "--device", device]
    command = [sys.executable, "-m", "attentune", "measure", *words, "--json"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    measured: dict[str, Any] = json.loads(output)
    return measured


def summarise_repetitions(values: Sequence[float], errors: Sequence[float]) -> dict[str, float]:
    """How the scatter of repeated measurements compares with their own standard errors.

    Args:
        values: of one quantity of one network, at least two.
        errors: the standard error of each; zero where a value is exact by definition.
    """
    mean = statistics.fmean(values)
    deviations = [abs(value - mean) for value in values]
    multiples = [d / e if e else 0.0 for d, e in zip(deviations, errors, strict=True)]
    return {
        "mean": mean,
        "scatter": statistics.stdev(values),
        "standard_error": statistics.fmean(errors),
        "within_one_error": statistics.fmean(multiple <= 1 for multiple in multiples),
        "within_two_errors": statistics.fmean(multiple <= 2 for multiple in multiples),
        "largest_multiple": max(multiples),
    }


def measure_repeatedly(
    text: str, image_size: int, load: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Measure one network several times.

    Args:
        text: the architecture.
        image_size: side of the image, pixels.
        load: processes that keep cores busy meanwhile.
        options: of this script: `repetitions`, `device`.
    """
    with busy_cores(load):
        measured = [
            measure_once(text, image_size, options.device) for _ in range(options.repetitions)
        ]
    summaries = {
        name: summarise_repetitions(
            [m[name] for m in measured], [m[f"{name}_error"] for m in measured]
        )
        for name in QUANTITIES
    }
    row = {"architecture": text, "image_size": image_size, "load": load, **summaries}
    ratio, milliseconds = summaries["latency_ratio"], summaries["latency_ms"]
    print(
        f"{text} under {load} busy processes: "
        f"{ratio['mean']:.3f} ± {ratio['standard_error']:.3f} × the bare backbone, scatter "
        f"{ratio['scatter']:.3f}; {milliseconds['mean']:.3g} ± "
        f"{milliseconds['standard_error']:.2g} ms, scatter {milliseconds['scatter']:.2g}; "
        f"within two errors {100 * ratio['within_two_errors']:.0f} % and "
        f"{100 * milliseconds['within_two_errors']:.0f} %",
        flush=True,
    )
    return {**row, "measurements": measured}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--networks", type=int, default=len(NETWORKS), help="the first so many")
    parser.add_argument("--device", default="cpu")
    add_common_options(parser)
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    monitor = LoadMonitor.start(anyway=options.anyway)
    networks = NETWORKS[: options.networks]
    rows = []
    for text, image_size in networks:
        rows.append(measure_repeatedly(text, image_size, 0, options))
        monitor.sample()
    busy = monitor.finish()
    cores = usable_cores()
    rows += [measure_repeatedly(*network, cores, options) for network in networks]
    result = {
        "what": "repeated measurements of latency, with their standard errors",
        "busy": busy,
        "others_cores": round(monitor.cores, 3),
        "cores": cores,
        "environment": describe_environment(torch.device(options.device), "float32"),
        "repetitions": options.repetitions,
        "rows": rows,
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
