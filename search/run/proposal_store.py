"""The parts of a store that a proposer uses."""

from __future__ import annotations

from typing import Protocol

from ...spaces.architecture import Architecture
from ...studies.records import RejectionRecord, StudyRecord
from ..trial_source import EpochReader, TrialReader, TrialWriter
from .gain_forecasts import ForecastWriter
from .insertion_recorder import InsertionStore


class ProposalTrials(TrialReader, TrialWriter, Protocol):
    """The part of a `TrialRepository` that a proposer uses."""

    def read_rejections(self, study: StudyRecord, /) -> list[RejectionRecord]:
        """Architectures that exceeded a limit."""

    def reject(
        self,
        study: StudyRecord,
        architecture: Architecture,
        reason: str,
        /,
        *,
        number: int | None,
    ) -> None:
        """Record that a cost exceeds its limit."""


class ProposalStore(Protocol):
    """The part of a `Store` that a proposer uses."""

    @property
    def trials(self) -> ProposalTrials:
        """Where proposals and rejections are recorded."""

    @property
    def epochs(self) -> EpochReader:
        """The epochs of the search."""

    @property
    def studies(self) -> ForecastWriter:
        """Where forecasts are recorded."""

    @property
    def insertions(self) -> InsertionStore:
        """The facts of insertions."""
