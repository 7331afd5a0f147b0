"""The interface of worker pools, in which trials run. The coordinator uses only this interface.

To add a kind of pool, implement `Pool` and give it a name in `POOLS`, from which `--pool` takes its
values. `tests/runners/workers/test_pool.py` has the contract. This module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ...errors import UsageError, did_you_mean
from ..events import Decision, Event
from ..results import Job
from .local_pool import LocalPool


class Pool(Protocol):
    """Workers that run one trial each at a time.

    A worker that ends in the middle of a trial is reported as `WorkerDied` and replaced.
    """

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
    """Makes a pool with one worker for each of the devices (`cpu`, `cuda:0`, …)."""

    def __call__(self, devices: Sequence[str], /) -> Pool:
        """A pool whose workers are starting."""


POOLS: Mapping[str, PoolFactory] = {"local": LocalPool}


def make_pool(name: str, devices: Sequence[str]) -> Pool:
    """A pool of the kind `name`, a key of `POOLS`, with a worker for each device.

    Raises:
        UsageError: there is no such kind of pool.
    """
    if name not in POOLS:
        raise UsageError(f"unknown pool {name!r}{did_you_mean(name, POOLS)}")
    return POOLS[name](devices)
