"""Worker pools: where trials run. The coordinator knows a pool by this protocol alone.

A new kind of pool implements `Pool`, gets a name in `POOLS`, and then passes the contract in
`tests/runners/workers/test_pool.py`. `--pool` offers the names of `POOLS`. This module imports no
torch.
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
        """How many jobs could start now."""

    def start(self, job: Job) -> None:
        """Give a job to an idle worker; ValueError if there is none."""

    def reply(self, number: int, decision: Decision) -> None:
        """Send the decision that a trial waits for after an `EpochDone`.

        Nothing happens if the trial's worker is gone.
        """

    def events(self, timeout: float) -> list[Event]:
        """What has happened since the last call, those of one trial in order.

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
