"""The interface of pruners, which decide after every epoch whether a trial should stop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from ...runners.results import Costs, EpochReport
from ...spaces.architecture import Architecture
from ...studies.records import TrialRecord
from ..trial_source import RecordedSearch


class TrialIdentity(Protocol):
    """What identifies a trial; both `Job` and `Proposal` have it."""

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

    Three things hold for every pruner (`tests/search/pruning/test_pruner_contract.py`): it never
    stops a trial after its last epoch, it never stops a baseline, and after a restart and `replay`
    it judges as if it had not been restarted.
    """

    @abstractmethod
    def replay(self, recorded: RecordedSearch) -> None:
        """Learn from what was recorded before this process started.

        A pruner that has nothing to learn does not use `recorded`, because reading it is slow.
        """

    @abstractmethod
    def judge(
        self, trial: TrialIdentity, role: str, report: EpochReport, costs: Costs
    ) -> str | None:
        """Why a trial should stop after this epoch; None if it should continue.

        Args:
            trial: the trial.
            role: of the trial, one of the roles in `studies.records`.
            report: the epoch that has just ended.
            costs: of the architecture, as far as they are known.
        """

    @abstractmethod
    def on_trial_end(self, trial: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""
