"""What every pruner is: an answer to "why should this trial stop now?"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from ...runners.results import Costs, EpochReport
from ...spaces.architecture import Architecture
from ...studies.records import TrialRecord
from ..trial_source import RecordedSearch


class TrialIdentity(Protocol):
    """Which trial is judged: a `Job`, or a `Proposal`."""

    @property
    def number(self) -> int:
        """The trial's number in its study."""

    @property
    def architecture(self) -> Architecture:
        """What is trained."""

    @property
    def seed(self) -> int:
        """The seed it is trained with."""


class Pruner(ABC):
    """Judges the trials of one study.

    Three things hold for every pruner (`tests/search/pruning/test_pruner_contract.py`): a trial is
    never stopped after its last epoch, a baseline never at all, and a pruner that has read what was
    recorded judges as one that was there.
    """

    @abstractmethod
    def replay(self, recorded: RecordedSearch) -> None:
        """Learn from what was recorded before this process started.

        A pruner that has nothing to learn does not touch `recorded`, since reading is slow.
        """

    @abstractmethod
    def judge(
        self, trial: TrialIdentity, role: str, report: EpochReport, costs: Costs
    ) -> str | None:
        """Why a trial should stop after this epoch; None if it should go on.

        Args:
            trial: which trial.
            role: what it is for, one of the roles in `studies.records`.
            report: the epoch that has just ended.
            costs: what the architecture costs, as far as it is known.
        """

    @abstractmethod
    def on_trial_end(self, trial: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""
