"""How many workers share a GPU: as many as raise the throughput, measured.

A small network leaves most of a GPU idle, and two workers on one train more pictures a second than
one; a large one fills it, and a second worker only takes memory. So the bare backbone trains in 1,
then 2, then 4 workers at once, each for an epoch after one to warm up.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from ...spaces.architecture import Architecture
from ..events import Decision, EpochDone, Failed, Finished, Stopped, WorkerDied
from ..recipe import Recipe
from ..results import Job
from ..workers.local_pool import LocalPool
from ..workers.pool import Pool

CHOICES = (1, 2, 4)
WORTH_IT = 1.1
"""More workers are taken only if they raise the throughput by so much."""


@dataclass(frozen=True)
class WorkersPerGPU:
    """Workers a GPU, and the epochs a second of all workers together for every number tried."""

    workers: int
    throughput: dict[int, float]

    def __str__(self) -> str:
        one = self.throughput[1]
        tried = ", ".join(f"{n}: ×{rate / one:.2f}" for n, rate in self.throughput.items())
        return f"{self.workers} workers a GPU (throughput of {tried})"


def measure_workers_per_gpu(backbone: str, recipe: Recipe, device: str) -> WorkersPerGPU:
    """Try 1, 2 and 4 workers on `device` (such as `cuda:0`) until more do not help.

    A number at which a worker fails, for want of memory say, is not taken.
    """
    best, throughput = 1, {}
    for workers in CHOICES:
        rate = _epochs_a_second(backbone, recipe, [device] * workers)
        throughput[workers] = rate
        if workers > 1 and rate < WORTH_IT * throughput[best]:
            break
        best = workers
    return WorkersPerGPU(best, throughput)


def _epochs_a_second(backbone: str, recipe: Recipe, devices: list[str]) -> float:
    """Of all workers together, in their second epoch; 0 if one of them fails."""
    short = recipe.model_copy(update={"epochs": 3})
    seconds: dict[int, list[float]] = {number: [] for number in range(len(devices))}
    with tempfile.TemporaryDirectory(prefix="attentune-packing-") as folder:
        pool: Pool = LocalPool(devices)
        try:
            for number in seconds:
                where = Path(folder, str(number))
                pool.start(Job(number, Architecture(backbone), short, number, where))
            running = set(seconds)
            while running:
                for event in pool.events(timeout=1.0):
                    match event:
                        case EpochDone(number, report):
                            seconds[number].append(report.seconds)
                            # The first warms up; while the last ones run, others may have ended.
                            enough = all(len(s) > 1 for s in seconds.values())
                            pool.reply(number, Decision.PRUNE if enough else Decision.GO_ON)
                        case Finished(number) | Stopped(number):
                            running.discard(number)
                        case Failed() | WorkerDied():
                            return 0.0
        finally:
            pool.close()
    return sum(1 / times[1] for times in seconds.values() if len(times) > 1)
