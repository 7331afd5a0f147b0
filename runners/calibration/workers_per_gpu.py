"""Measure how many workers should share a GPU.

A small network leaves most of a GPU idle, so two workers train more images per second than one. A
large network fills the GPU, and a second worker only uses memory. The bare backbone trains in 1,
then 2, then 4 workers at once, each for one warm-up epoch and one timed epoch.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...errors import MachineError
from ...spaces.architecture import Architecture
from ..events import Aborted, Decision, EpochDone, Failed, Finished, Stopped, WorkerDied
from ..recipe import Recipe
from ..results import Job
from ..workers.local_pool import LocalPool
from ..workers.pool import Pool

WORKER_COUNTS = (1, 2, 4)
MIN_GAIN_OF_MORE_WORKERS = 1.1
"""More workers are used only if they multiply the throughput by at least this."""
EPOCHS = 3
"""The first warms up, the second is timed, and the third keeps the GPU busy for slower workers. A
single worker's third epoch is timed, too."""
MAX_DIFFERENCE_QUIET = 0.1
"""If two equal epochs of a single worker differ by more, relatively, other processes use the GPU or
the processor."""


@dataclass(frozen=True)
class WorkersPerGPU:
    """The best number of workers, and epochs per second of all workers for each number tried.

    `disturbance` says why that could not be measured, so that there is one worker; None if it was.
    """

    workers: int
    throughput: dict[int, float]
    disturbance: str | None = None

    def __str__(self) -> str:
        if self.disturbance is not None:
            return f"{self.workers} worker a GPU"
        single = self.throughput[1]
        ratios = ", ".join(f"{n}: ×{rate / single:.2f}" for n, rate in self.throughput.items())
        return f"{self.workers} workers a GPU (throughput of {ratios})"


def measure_workers_per_gpu(backbone: str, recipe: Recipe, device: str) -> WorkersPerGPU:
    """Try 1, 2 and 4 workers on one GPU, until more workers do not raise the throughput.

    A number with which a worker fails, for example because memory runs out, is not used.

    Args:
        backbone: a timm model.
        recipe: how to train; `EPOCHS` replaces its number of epochs.
        device: the GPU, such as `cuda:0`.

    Raises:
        MachineError: the disk is full, for example.
    """
    best, throughput = 1, {}
    for workers in WORKER_COUNTS:
        seconds = _time_epochs(backbone, recipe, [device] * workers)
        if workers == 1 and (reason := _describe_disturbance(seconds)) is not None:
            return WorkersPerGPU(1, {}, reason)
        rate = sum(1 / times[1] for times in seconds if len(times) > 1)
        throughput[workers] = rate
        if workers > 1 and rate < MIN_GAIN_OF_MORE_WORKERS * throughput[best]:
            break
        best = workers
    return WorkersPerGPU(best, throughput)


def _describe_disturbance(seconds: list[list[float]]) -> str | None:
    """Why the epochs of a single worker say nothing of its throughput; None if they do."""
    if not seconds:
        return "training with a single worker failed"
    _, second, third = seconds[0]
    difference = abs(third - second) / min(second, third)
    if difference > MAX_DIFFERENCE_QUIET:
        return f"equal epochs differed by {100 * difference:.0f} %"
    return None


def _time_epochs(backbone: str, recipe: Recipe, devices: list[str]) -> list[list[float]]:
    """Seconds of the epochs of each worker, at least of two; empty if one of them fails."""
    short = recipe.model_copy(update={"epochs": EPOCHS})
    needed = 2 if len(devices) > 1 else EPOCHS
    seconds: dict[int, list[float]] = {number: [] for number in range(len(devices))}
    with tempfile.TemporaryDirectory(prefix="attentune-packing-") as folder:
        pool: Pool = LocalPool(devices)
        try:
            for number in seconds:
                job_folder = Path(folder, str(number))
                pool.start(Job(number, Architecture(backbone), short, number, job_folder))
            running = set(seconds)
            while running:
                for event in pool.events(timeout=1.0):
                    match event:
                        case EpochDone(number, report):
                            seconds[number].append(report.seconds)
                            all_timed = all(len(times) >= needed for times in seconds.values())
                            pool.reply(number, Decision.PRUNE if all_timed else Decision.GO_ON)
                        case Finished(number) | Stopped(number):
                            running.discard(number)
                        case Aborted(_, reason):
                            raise MachineError(f"{reason}, while workers per GPU were measured")
                        case Failed() | WorkerDied():
                            return []
        finally:
            pool.close()
    return list(seconds.values())
