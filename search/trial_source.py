"""The source of a coordinator's trials: a protocol, and the values that it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from ..runners.results import Costs, EpochReport, Job
from ..spaces.architecture import Architecture
from ..studies.estimator.study_model import StudyModel
from ..studies.records import EpochRecord, StudyRecord, TrialRecord, TrialStart
from ..studies.stored_config import ExpectedGain


@dataclass(frozen=True)
class Proposal:
    """A trial to run.

    Attributes:
        number: its number in the study; in a search also Optuna's.
        role: what it is for, one of the roles in `studies.records`.
        costs: parameters and MACs; None if they are not known yet.
        recorded_epochs: epochs that were recorded in earlier runs.
    """

    number: int
    architecture: Architecture
    seed: int
    role: str
    costs: Costs | None
    recorded_epochs: int = 0


class TrialSource(Protocol):
    """Decides which trials run, and is told their results.

    A search has a `Proposer`; a confirmation has a `ConfirmationSource`.

    Attributes:
        verb: the command that continues the study, `resume` or `confirm`.
    """

    verb: str

    @property
    def model(self) -> StudyModel:
        """The model of the study, for the estimates that are shown while it runs."""

    def recover(self) -> list[TrialRecord]:
        """Repair what an earlier crash may have left; return all recorded trials, by number."""

    def next_trial(self) -> Proposal:
        """The next trial to run."""

    def job(self, job: Job) -> Job:
        """A job with the recipe and the data of its trial, if they are not the study's."""

    def write_pending(self) -> None:
        """Write to the database what has been proposed since the last call.

        The coordinator calls it while the workers are busy, so that no worker waits for a disk.
        """

    def expected_gain(self) -> ExpectedGain | None:
        """What more trials will add, as last forecast; None if that is unknown."""

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Trial `number` has finished an epoch."""

    def ask_ahead(self, job: Job, score: float) -> None:
        """A trial is about to end with this score.

        The next proposal can be computed now, while the trial's worker writes its result.
        """

    def on_trial_end(self, trial: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""

    def reject(self, number: int, architecture: Architecture, costs: Costs, reason: str, /) -> None:
        """A measured cost of trial `number` exceeds its limit, so it is not trained."""


class CostLookup(Protocol):
    """Says what architectures cost, without building them; a `CostModel` is one."""

    def price(self, architecture: Architecture, /) -> Costs:
        """Parameters and MACs."""


class TrialWriter(Protocol):
    """Records that trials begin; a `TrialRepository` is one."""

    def start_all(self, study: StudyRecord, trials: Sequence[TrialStart], /) -> None:
        """Record in one transaction that trials begin."""


class TrialReader(Protocol):
    """Reads the trials of a search; a `TrialRepository` is one."""

    def read(self, study: StudyRecord, /) -> list[TrialRecord]:
        """All trials of the search, by number."""


class EpochReader(Protocol):
    """Reads the epochs of a search; an `EpochRepository` is one."""

    def read(self, study: StudyRecord, /) -> list[EpochRecord]:
        """All epochs of the search, in the order in which they were recorded."""


class SearchReader(Protocol):
    """Reads what a search has recorded; a `Store` is one."""

    @property
    def trials(self) -> TrialReader:
        """Its trials."""

    @property
    def epochs(self) -> EpochReader:
        """Its epochs."""


@dataclass(frozen=True)
class RecordedSearch:
    """The recorded trials and epochs of a search.

    Reading a large study is slow, so each is read once, when it is first used.
    """

    store: SearchReader
    record: StudyRecord

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """All trials, by number."""
        return self.store.trials.read(self.record)

    @cached_property
    def epochs(self) -> list[EpochRecord]:
        """All epochs, in the order in which they were recorded."""
        return self.store.epochs.read(self.record)


def record_starts(trials: TrialWriter, study: StudyRecord, proposals: list[Proposal]) -> None:
    """Record that trials begin.

    Args:
        trials: where to record it.
        study: the study they belong to.
        proposals: the trials; they are removed from the list once they are recorded.
    """
    if not proposals:
        return
    starts = [TrialStart(p.number, p.architecture, p.seed, p.role, p.costs) for p in proposals]
    trials.start_all(study, starts)
    proposals.clear()
