"""No pruning: every trial is trained to its last epoch."""

from __future__ import annotations

from ...runners.results import Costs, EpochReport
from ...studies.records import TrialRecord
from ..trial_source import RecordedSearch
from .base import Pruner, TrialIdentity


class NoPruner(Pruner):
    """Lets every trial go on."""

    def replay(self, recorded: RecordedSearch) -> None:
        """Nothing to learn."""

    def judge(
        self, trial: TrialIdentity, role: str, report: EpochReport, costs: Costs
    ) -> str | None:
        """Never a reason to stop."""
        del trial, role, report, costs
        return None

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Nothing to learn."""
