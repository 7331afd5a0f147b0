"""What is to be trained next, as the coordinator sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..runners.results import Costs, EpochReport, Job
from ..spaces.architecture import Architecture
from ..studies.records import StudyRecord, TrialRecord


@dataclass(frozen=True)
class Proposal:
    """A trial to run. `number` is Optuna's in a search; `costs` are parameters and MACs."""

    number: int
    architecture: Architecture
    seed: int
    role: str
    costs: Costs | None


class CostLookup(Protocol):
    """What architectures cost, without training them."""

    def price(self, architecture: Architecture, /) -> Costs:
        """Parameters and MACs."""


class TrialWriter(Protocol):
    """Where beginnings are written down: a part of a `Store`."""

    def start_trial(
        self,
        study: StudyRecord,
        number: int,
        architecture: Architecture,
        /,
        *,
        seed: int,
        role: str,
        costs: Costs | None,
    ) -> None:
        """A trial begins to run."""


class TrialSource(Protocol):
    """What is to be trained, and who hears how it went: a search's `Proposer`, or a confirmation.

    Of `write` nobody should have to wait; it is called while workers are busy.
    """

    def recover(self) -> list[TrialRecord]:
        """Get ready, after whatever happened last time; all its trials by number."""

    def next_trial(self) -> Proposal:
        """The next trial."""

    def write_pending(self) -> None:
        """Put what was proposed into the database."""

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Take in an epoch of a trial."""

    def ask_ahead(self, job: Job, accuracy: float) -> None:
        """A trial is about to end so: a chance to think of the next, while its worker tidies up."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Take in how a trial ended."""

    def reject(self, number: int, architecture: Architecture, costs: Costs, reason: str, /) -> None:
        """A measured cost is above its limit; the trial was not trained."""


def record_starts(store: TrialWriter, study: StudyRecord, proposals: list[Proposal]) -> None:
    """Record that trials begin, and take each off the list when it is recorded."""
    while proposals:
        new = proposals[0]
        store.start_trial(
            study, new.number, new.architecture, seed=new.seed, role=new.role, costs=new.costs
        )
        del proposals[0]
