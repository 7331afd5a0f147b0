"""What a worker tells the coordinator about a trial, in the order in which it happens.

`Started`, `Measured`, then one `EpochDone` an epoch (each waits for a `Decision`), then
exactly one of `Finished`, `Stopped`, `Rejected`, `Failed` — or `WorkerDied`, which the pool reports
in the worker's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .results import Costs, EpochReport, Failure, TrialResult


@dataclass(frozen=True)
class Started:
    """A worker took the trial; `resumed_from` epochs were already there."""

    number: int
    worker: str
    resumed_from: int


@dataclass(frozen=True)
class Measured:
    """The network is built and priced; training begins."""

    number: int
    costs: Costs


class Decision(Enum):
    """What a worker is to do after an epoch."""

    GO_ON = "go on"
    PAUSE = "stop for now, and save what is needed to go on"
    PRUNE = "stop for good"


@dataclass(frozen=True)
class EpochDone:
    """An epoch is over, and saved if that takes little time. The worker waits for `Pool.reply`."""

    number: int
    report: EpochReport


@dataclass(frozen=True)
class Finished:
    """All epochs are done and the weights are kept."""

    number: int
    result: TrialResult


@dataclass(frozen=True)
class Stopped:
    """The trial was told to stop after an epoch; its checkpoint is there if it is to go on."""

    number: int
    epochs: int
    seconds: float
    device_seconds: float
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Rejected:
    """A measured cost is above a limit; nothing was trained."""

    number: int
    costs: Costs
    reason: str


@dataclass(frozen=True)
class Failed:
    """The trial raised; the worker lives on."""

    number: int
    failure: Failure


@dataclass(frozen=True)
class WorkerDied:
    """The worker's process ended in the middle of the trial."""

    number: int
    reason: str


Event = Started | Measured | EpochDone | Finished | Stopped | Rejected | Failed | WorkerDied
END_OF_TRIAL = (Finished, Stopped, Rejected, Failed, WorkerDied)
