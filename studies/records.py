"""What the database answers: frozen values without any tie to it.

Units as everywhere: accuracy is a fraction, latency in ms, memory in MiB, durations in seconds,
moments aware and in UTC.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from ..errors import UsageError
from ..runners.results import Costs, EpochReport, Failure
from ..spaces.architecture import Architecture, Insertion, parse_recorded
from .stored_config import StoredConfig

State = Literal["running", "complete", "pruned", "failed"]
STATES: tuple[State, ...] = ("complete", "pruned", "failed", "running")

BASELINE = "baseline"
SEARCH = "search"
CONFIRM = "confirm"
"""Roles of a trial. A confirming trial is judged on other data, so analysis of the search leaves
it out; other roles may be added freely."""

FIRST_CONFIRMING = 1_000_000
"""Numbers of confirming trials begin here, since Optuna counts the search's from 0."""

COSTS = ("params", "macs", "latency_ms", "latency_ratio", "memory_mib")

_OTHER = "x"  # a backbone, to read an insertion by itself
_NAME = re.compile(r"\w[\w .\-+=@,]*")


@lru_cache(maxsize=20_000)
def recorded_architecture(text: str) -> Architecture:
    """`spaces.architecture.recorded`, quick for many: a study has few different insertions."""
    backbone, *insertions = text.split("+")
    if "(" in backbone:
        return parse_recorded(text)
    return Architecture(backbone, tuple(map(recorded_insertion, insertions)))


@lru_cache(maxsize=20_000)
def recorded_insertion(text: str) -> Insertion:
    """One insertion of a recorded text, without its `+`."""
    return parse_recorded(f"{_OTHER}+{text}").insertions[0]


def check_study_name(name: str) -> str:
    """The name, if a study may be called so; else UsageError with what is allowed."""
    if len(name) <= 100 and name == name.strip() and _NAME.fullmatch(name):
        return name
    shown = (
        "an empty text" if not name.strip() else repr(name if len(name) < 40 else name[:39] + "…")
    )
    raise UsageError(
        f"a study cannot be called {shown}: a name has 1 to 100 letters, digits, spaces and "
        f". _ - + = @ , and begins with a letter or a digit."
    )


def digest_of(facts: Mapping[str, str]) -> str:
    """The name under which equal facts are kept once."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class StudyRecord:
    """One study. `folder` is the name of its folder of artifacts."""

    id: int
    name: str
    folder: str
    created_at: datetime
    version: str
    backbone: str
    objectives: tuple[str, ...]
    config: StoredConfig
    seed: int


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: Optuna's trial number in the study.
        architecture, key: canonical text, and its hash.
        epochs: how many are done.
        accuracy: of a complete trial; of a pruned one what its last epoch had; else None.
        environment: digest of what it ran on; `TrialRepository.read_environments` has the facts.
        note: why it was pruned.
    """

    number: int
    architecture: str
    key: str
    seed: int
    role: str
    state: State
    epochs: int
    accuracy: float | None
    params: int | None
    macs: int | None
    latency_ms: float | None
    latency_ratio: float | None
    memory_mib: float | None
    seconds: float | None
    device_seconds: float | None
    peak_memory_mib: float | None
    worker: str | None
    note: str | None
    environment: str | None
    started_at: datetime
    finished_at: datetime | None
    failure: Failure | None = None

    @property
    def parsed(self) -> Architecture:
        """The architecture as a value, for looking at: nothing need be installed for it."""
        return recorded_architecture(self.architecture)

    @property
    def counted(self) -> Costs | None:
        """Parameters and MACs; None if they were never recorded."""
        if self.params is None or self.macs is None:
            return None
        return Costs(self.params, self.macs)

    @property
    def values(self) -> dict[str, float]:
        """Accuracy and costs by key, only those that are known."""
        fields = {name: getattr(self, name) for name in ("accuracy", *COSTS)}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of trial `number`. `id` only grows, so it serves as a live reader's bookmark."""

    id: int
    number: int
    report: EpochReport


@dataclass(frozen=True)
class RejectionRecord:
    """An architecture that a cost limit turned away; `number` is Optuna's trial, if it had one."""

    architecture: str
    key: str
    reason: str
    number: int | None
    rejected_at: datetime


@dataclass(frozen=True)
class Lease:
    """The right to run a study. `age` is the time since its last heartbeat, in seconds."""

    study_id: int
    study: str
    token: str
    host: str
    pid: int
    age: float = 0.0


@dataclass(frozen=True)
class StudySummary:
    """What has become of a study so far.

    Attributes:
        counts: trials of the search by their state.
        last_activity: when a trial last began or ended, or else when the study was created.
    """

    study: StudyRecord
    counts: Mapping[State, int]
    last_activity: datetime
