"""The interface of worker pools, in which trials run. The coordinator uses only this interface.

To add a kind of pool, implement `Pool` and give it a name in `POOLS`, from which `--pool` takes its
values. `tests/runners/workers/test_pool.py` has the contract. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import UsageError, did_you_mean
from ..events import Decision, Event
from ..results import Job


@dataclass(frozen=True)
class PoolSettings:
    """Which workers a pool is to have.

    Attributes:
        device: where they train: `cpu`, `cuda` for all GPUs, `cuda:1` for one of them, or `mps`.
        workers: how many; None: one for each core, or `workers_per_gpu` for each GPU.
        workers_per_gpu: that share one GPU.
        ray_address: of the cluster, for a pool on Ray; see `RunPlan`.
        shared: folders and URLs that all workers, on whatever machine, read and write.
        files: that all workers read, and whose content has to be the same for all.
        data_keys: of the prepared data that trials will use; see `Job`.
        gpus_per_trial: on which each trial is trained; with more than one, `workers_per_gpu` does
            not apply. On a CPU, the number of processes of each trial.
    """

    device: str
    workers: int | None = None
    workers_per_gpu: int = 1
    ray_address: str = "auto"
    shared: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    data_keys: tuple[str, ...] = ()
    gpus_per_trial: int = 1


class Pool(Protocol):
    """Workers that run one trial each at a time.

    A worker that ends in the middle of a trial is reported as `WorkerDied` and replaced.
    """

    @property
    def size(self) -> int:
        """The number of workers, those that are starting included."""

    @property
    def idle(self) -> int:
        """The number of jobs that could start now."""

    def start(self, job: Job) -> None:
        """Give a job to an idle worker; ValueError if there is none."""

    def reply(self, number: int, decision: Decision) -> None:
        """Send the decision that a trial waits for after an `EpochDone`.

        Does nothing if the trial's worker has died.
        """

    def events(self, timeout: float) -> list[Event]:
        """The events since the last call, those of one trial in order.

        Waits up to `timeout` seconds for the first event.
        """

    def kill(self, number: int) -> None:
        """End a trial and its worker at once; no event of the trial follows."""

    def close(self) -> None:
        """End all workers. A trial that runs can be resumed from its last checkpoint."""


class PoolFactory(Protocol):
    """Makes a pool."""

    def __call__(self, settings: PoolSettings, /) -> Pool:
        """A pool whose workers are starting."""


def make_local_pool(settings: PoolSettings) -> Pool:
    """Worker processes on this machine."""
    import torch

    from ..devices import device_groups, worker_devices
    from .local_pool import LocalPool

    device = torch.device(settings.device)
    if settings.gpus_per_trial > 1:
        return LocalPool(device_groups(device, settings.workers, settings.gpus_per_trial))
    return LocalPool(worker_devices(device, settings.workers, settings.workers_per_gpu))


def make_ray_pool(settings: PoolSettings) -> Pool:
    """Ray actors on the nodes of a cluster."""
    from .ray_pool import RayPool

    return RayPool(settings)


POOLS: Mapping[str, PoolFactory] = {"local": make_local_pool, "ray": make_ray_pool}


def check_pool(name: str, settings: PoolSettings) -> None:
    """Check that `make_pool` could make a pool, before anything slow begins; raises as it does."""
    if name == "ray":
        from .ray_pool import check_ray_pool

        check_ray_pool(settings)


def make_pool(name: str, settings: PoolSettings) -> Pool:
    """A pool of the kind `name`, a key of `POOLS`.

    Raises:
        UsageError: there is no such kind of pool, or it cannot have such workers.
        MachineError: its workers cannot run trials.
    """
    if name not in POOLS:
        raise UsageError(f"unknown pool {name!r}{did_you_mean(name, POOLS)}")
    return POOLS[name](settings)
