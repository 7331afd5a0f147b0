"""No pruning: every trial is trained to its last epoch."""

from __future__ import annotations

from ...runners.results import Costs, EpochReport
from ...studies.records import TrialRecord
from ..trial_source import RecordedSearch
from .base import Pruner, TrialIdentity


class NoPruner(Pruner):
    """Stops no trial."""

    def replay(self, recorded: RecordedSearch) -> None:
        """Do nothing."""

    def judge(
        self, trial: TrialIdentity, role: str, report: EpochReport, costs: Costs
    ) -> str | None:
        """Return None: there is never a reason to stop."""
        del trial, role, report, costs
        return None

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Do nothing."""
