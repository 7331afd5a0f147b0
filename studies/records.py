"""Records: frozen copies of what the database holds, independent of it.

Accuracy is a fraction, latency is in ms, memory in MiB, durations in seconds. Times are
timezone-aware and in UTC.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Literal

from ..errors import ArchitectureError, StoreError, UsageError
from ..runners.results import Costs, EpochReport, Failure
from ..sanitize import MAX_FACT_LENGTH, MAX_NAME_LENGTH, clean_text
from ..spaces.architecture import (
    BACKBONE,
    MAX_INSERTIONS,
    MAX_TEXT_LENGTH,
    Architecture,
    Insertion,
    Place,
    parse_recorded,
)
from .alternatives import AlternativeKind, alternative_kind
from .objectives import Objective, metric_objective, objective, objectives_of
from .stored_config import StoredConfig

State = Literal["running", "complete", "pruned", "failed"]
STATES: tuple[State, ...] = ("complete", "pruned", "failed", "running")

BASELINE = "baseline"
SEARCH = "search"
CONFIRM = "confirm"
"""Roles of a trial. A confirming trial is evaluated on the test split, so the analysis of a search
leaves it out. It also leaves out the trials of alternatives, which have the roles of
`alternatives.ALTERNATIVE_ROLES`. Further roles may be added."""

FIRST_CONFIRMING_NUMBER = 1_000_000
"""The number of the first confirming trial. Optuna counts the trials of the search from 0."""
FIRST_ALTERNATIVE_NUMBER = 2_000_000
FIRST_CONFIRMING_ALTERNATIVE_NUMBER = 3_000_000
"""The numbers of the first trials of alternatives, on validation data and on the test split."""


COST_KEYS = ("params", "macs", "latency_ms", "latency_ratio", "memory_mib")
COST_ERROR_KEYS = ("latency_ms_error", "latency_ratio_error")
"""The standard errors of those costs that are measured; the other costs are exact."""
LOADS = ("cpu_load", "gpu_load")
"""What a trial records of how busy its machine and its device were, fractions."""

MAX_FACTS = 200

_ANY_BACKBONE = "x"  # To parse an insertion without an architecture.
_NAME = re.compile(r"\w[\w .\-+=@,]*")


@lru_cache(maxsize=20_000)
def recorded_architecture(text: str) -> Architecture:
    """Parse a recorded text as `spaces.architecture.parse_recorded` does, but faster.

    The insertions are cached, because all architectures of a study consist of a few of them.

    Raises:
        StoreError: the text is no architecture; the database was damaged or changed.
    """
    try:
        head, *insertions = text.split("+", MAX_INSERTIONS + 1)
        backbone, bracket, setting = head.partition("(")
        simple = len(text) <= MAX_TEXT_LENGTH and len(insertions) <= MAX_INSERTIONS
        if simple and BACKBONE.fullmatch(backbone):
            removed = _recorded_removal(bracket + setting) if bracket else ()
            return Architecture(backbone, tuple(map(recorded_insertion, insertions)), removed)
        return parse_recorded(text)
    except ArchitectureError as error:
        reason = str(error).partition("\n")[0]
        raise StoreError(f"the database holds a text that is no architecture: {reason}.") from error


@lru_cache(maxsize=20_000)
def _recorded_removal(text: str) -> tuple[Place, ...]:
    """Parse the removal of own attention in a recorded text, with its brackets."""
    return parse_recorded(f"{_ANY_BACKBONE}{text}").removed


@lru_cache(maxsize=20_000)
def recorded_insertion(text: str) -> Insertion:
    """Parse one insertion of a recorded text, without its `+`."""
    return parse_recorded(f"{_ANY_BACKBONE}+{text}").insertions[0]


def split_changes(text: str) -> list[str]:
    """The texts of an architecture's insertions, after that of its removal if it has one."""
    head, *insertions = text.split("+")
    _, bracket, setting = head.partition("(")
    return [bracket + setting, *insertions] if bracket else insertions


def recorded_change(text: str) -> Insertion:
    """Parse a text of `split_changes`; a removal becomes that of `Architecture.changes`."""
    if not text.startswith("("):
        return recorded_insertion(text)
    return Architecture(_ANY_BACKBONE, (), _recorded_removal(text)).changes[0]


def check_study_name(name: str) -> str:
    """Return the name of a study unchanged; UsageError if it is not allowed."""
    if len(name) <= 100 and name == name.strip() and _NAME.fullmatch(name):
        return name
    shown = (
        "an empty text" if not name.strip() else repr(name if len(name) < 40 else name[:39] + "…")
    )
    raise UsageError(
        f"a study cannot be called {shown}: a name has 1 to 100 letters, digits, spaces and "
        f". _ - + = @ , and begins with a letter or a digit."
    )


def is_confirming(role: str) -> bool:
    """Whether a trial with this role is evaluated on the test split."""
    return role.partition(":")[0] == CONFIRM


def clean_facts(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts about an environment as plain clean text, at most `MAX_FACTS` of them."""
    pairs = itertools.islice(facts.items(), MAX_FACTS)
    return {
        clean_text(str(name), MAX_NAME_LENGTH, one_line=True): clean_text(
            str(fact), MAX_FACT_LENGTH
        )
        for name, fact in pairs
    }


def digest_of(facts: Mapping[str, str]) -> str:
    """16 hex digits that identify facts, so that equal facts are stored once."""
    return hashlib.sha256(json.dumps(dict(facts), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class StudyRecord:
    """One study. `folder` is the name of its folder in the folder of artifacts."""

    id: int
    name: str
    folder: str
    created_at: datetime
    version: str
    backbone: str
    objectives: tuple[str, ...]
    config: StoredConfig
    seed: int

    @property
    def metric(self) -> Objective:
        """The metric that is searched for."""
        return metric_objective(map(objective, self.objectives))

    @property
    def further_metrics(self) -> tuple[Objective, ...]:
        """The metrics that are objectives beside it."""
        return tuple(each for each in objectives_of(self.objectives) if each.is_further)


@dataclass(frozen=True)
class TrialStart:
    """A trial that begins.

    Attributes:
        number: in the study.
        architecture: what is trained.
        seed: of the trial.
        role: one of the roles above.
        costs: None if they are not known yet.
        worker: the worker that trains it; None if that is not known yet.
    """

    number: int
    architecture: Architecture
    seed: int
    role: str = SEARCH
    costs: Costs | None = None
    worker: str | None = None


@dataclass(frozen=True)
class TrialRecord:
    """One trial.

    Attributes:
        number: in the study; for a trial of the search, Optuna's number.
        architecture, key: canonical text, and its hash.
        epochs: how many are done.
        accuracy: of a complete trial, or of the last epoch of a pruned one; None otherwise.
        note: why it was pruned.
        metric_score: as in a `TrialResult`; of a pruned trial, that of its last epoch.
        metric: what names the metric that its study searches for.
        further: the values of the study's further metrics that are objectives, by their key.
        cpu_load, gpu_load: as in a `TrialResult`; of a failed trial None.
        environment: digest of what it ran on; `TrialRepository.read_environments` reads the facts.
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
    latency_ms_error: float | None
    latency_ratio_error: float | None
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
    metric_score: float | None = None
    metric: str = "accuracy"
    further: Mapping[str, float] = field(default_factory=dict)
    cpu_load: float | None = None
    gpu_load: float | None = None

    @property
    def score(self) -> float | None:
        """The score of the metric that the study searches for; more is better."""
        return self.accuracy if self.metric == "accuracy" else self.metric_score

    @property
    def parsed(self) -> Architecture:
        """The architecture as a value. Its attentions need not be installed here."""
        return recorded_architecture(self.architecture)

    @property
    def confirms(self) -> bool:
        """Whether it is evaluated on the test split."""
        return is_confirming(self.role)

    @property
    def alternative(self) -> AlternativeKind | None:
        """The kind of the alternative that it trains; None for an architecture of the space."""
        return alternative_kind(self.role)

    @property
    def counted_costs(self) -> Costs | None:
        """Parameters and MACs; None if they were never recorded."""
        if self.params is None or self.macs is None:
            return None
        return Costs(self.params, self.macs)

    @property
    def costs(self) -> Costs | None:
        """All costs that are known; None if they were never recorded."""
        counted = self.counted_costs
        if counted is None:
            return None
        measured = ("latency_ms", "latency_ratio", "memory_mib", *COST_ERROR_KEYS)
        return replace(counted, **{name: getattr(self, name) for name in measured})

    @property
    def values(self) -> dict[str, float]:
        """What is known of the metric that is searched for, the accuracy and the costs, by key.

        Standard errors of costs are among them.
        """
        names = ("accuracy", *COST_KEYS, *COST_ERROR_KEYS)
        fields = {name: getattr(self, name) for name in names}
        if self.metric_score is not None:
            searched = objective(self.metric)
            fields = {searched.key: searched.value_of(self.metric_score), **self.further, **fields}
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of trial `number`. `id` only grows, so a live reader can ask for newer ones."""

    id: int
    number: int
    report: EpochReport


@dataclass(frozen=True)
class RejectionRecord:
    """An architecture that was rejected before training, by a cost limit or because an attention
    cannot be used; `number` is that of its trial, if it has one."""

    architecture: str
    key: str
    reason: str
    number: int | None
    rejected_at: datetime

    @property
    def exceeds_limit(self) -> bool:
        """Whether the reason is a cost limit; see `Costs.exceeded_limit`."""
        return " above the limit of " in self.reason


@dataclass(frozen=True)
class Lease:
    """The right to run a study.

    Attributes:
        heartbeat: the last one, in seconds since 1970 by the database's clock.
        age: seconds since then by the same clock; negative if the clocks of two hosts differ.
        boot_id, pid_namespace, process_start: as in a `ProcessIdentity`.
    """

    study_id: int
    study: str
    token: str
    host: str
    pid: int
    heartbeat: float
    age: float = 0.0
    boot_id: str | None = None
    pid_namespace: str | None = None
    process_start: float | None = None


@dataclass(frozen=True)
class StudySummary:
    """A study with its counts of trials and its last activity.

    Attributes:
        counts: trials of the search by their state.
        last_activity: when a trial last began or ended, or else when the study was created.
    """

    study: StudyRecord
    counts: Mapping[State, int]
    last_activity: datetime
