"""What a worker reports to the coordinator about a trial, in the order in which it happens.

`Started`, `Measured`, then one `EpochDone` for each epoch (each waits for a `Decision`), then
exactly one of `Finished`, `Stopped`, `Rejected`, `Failed`, `Aborted`. If the worker dies, the pool
reports `WorkerDied` in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .results import Costs, EpochReport, Failure, TrialResult


@dataclass(frozen=True)
class Started:
    """A worker has started the trial; `resumed_from` epochs were trained in an earlier run.

    `unusable` says why the checkpoint or the weights that an earlier run has left cannot be used;
    None if there are none or they are used.
    """

    number: int
    worker: str
    resumed_from: int
    unusable: str | None = None


@dataclass(frozen=True)
class Measured:
    """The network is built and its costs are measured; training begins.

    `disturbance` says why the machine was not quiet meanwhile; None if it was.
    """

    number: int
    costs: Costs
    disturbance: str | None = None


class Decision(Enum):
    """What a worker is to do after an epoch."""

    GO_ON = "go on"
    PAUSE = "stop for now, and save what is needed to go on"
    PRUNE = "stop for good"


@dataclass(frozen=True)
class EpochDone:
    """An epoch is over. The worker waits for the `Decision` in `Pool.reply`.

    A checkpoint has been written if that takes little time.
    """

    number: int
    report: EpochReport


@dataclass(frozen=True)
class Finished:
    """All epochs are trained and the weights are kept."""

    number: int
    result: TrialResult


@dataclass(frozen=True)
class Stopped:
    """The trial stopped after an epoch, as decided. If it was paused, its checkpoint is kept.

    What a `TrialResult` has too means the same.
    """

    number: int
    epochs: int
    seconds: float
    device_seconds: float
    environment: Mapping[str, str]
    cpu_load: float | None = None
    gpu_load: float | None = None


@dataclass(frozen=True)
class Rejected:
    """A measured cost is above its limit; nothing was trained."""

    number: int
    costs: Costs
    reason: str


@dataclass(frozen=True)
class Failed:
    """The trial raised an exception; its worker goes on with other trials."""

    number: int
    failure: Failure


@dataclass(frozen=True)
class Aborted:
    """The machine failed, and not the trial: a full disk, for example. The trial can be resumed.

    `reason` is a sentence about what is wrong.
    """

    number: int
    reason: str


@dataclass(frozen=True)
class WorkerDied:
    """The worker's process ended in the middle of the trial.

    Attributes:
        by_trial: whether the trial may have caused it.
        out_of_memory: whether it was ended because the trial used more memory than it may.
    """

    number: int
    reason: str
    by_trial: bool = True
    out_of_memory: bool = False


Event = (
    Started | Measured | EpochDone | Finished | Stopped | Rejected | Failed | Aborted | WorkerDied
)
END_OF_TRIAL = (Finished, Stopped, Rejected, Failed, Aborted, WorkerDied)
"""The events after which a worker is free for another trial."""
