"""The base class of `asha` and `front`: at a rung, a trial is compared with all that reached it.

A rung is an epoch (`studies.estimator.rungs`). Trials do not wait for one another: each is judged
when it reaches the rung, and later ones are compared with it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...runners.results import Costs, EpochReport
from ...spaces.architecture import Architecture
from ...studies.analysis.pareto import comparison_errors
from ...studies.config import StudyConfig
from ...studies.estimator.forecaster import Forecaster
from ...studies.estimator.history import TrialHistory
from ...studies.estimator.rungs import rung_loss, study_rungs
from ...studies.objectives import is_cost
from ...studies.records import BASELINE, TrialRecord
from ..trial_source import RecordedSearch
from .base import Pruner, TrialIdentity

MAX_ENTRIES_COMPARED = 500
"""Trials at a rung that a trial is compared with. A judgement takes a time that grows with them."""

Values = tuple[float, ...]
"""The values by which a trial is compared, all to be minimised."""


@dataclass(frozen=True)
class RungEntry:
    """A trial at a rung.

    Attributes:
        loss: the signal at the rung, to be minimised.
        costs: the other objectives; infinite if unknown.
        cost_errors: their standard errors, 0 where a cost is exact.
    """

    architecture: Architecture
    seed: int
    loss: float
    costs: Values
    cost_errors: Values


class RungPruner(Pruner):
    """Collects the signals of trials at the rungs; subclasses decide which trials stop."""

    def __init__(self, config: StudyConfig) -> None:
        self.settings, self.seed = config.pruning, config.seed
        self.cost_keys = tuple(key for key in config.keys if is_cost(key))
        self.rungs = study_rungs(config.recipe.epochs, config.pruning)
        self.forecaster = Forecaster(config)
        self.entries: dict[int, dict[int, RungEntry]] = {}
        """By rung and by the trial's number."""

    @abstractmethod
    def reason_to_stop(
        self, trial: TrialIdentity, entries: Mapping[int, RungEntry], rung: int
    ) -> str | None:
        """Why a trial should stop at a rung; None if it should continue.

        Args:
            trial: the trial.
            entries: all trials that have reached the rung, by number; this one is among them.
            rung: the epoch.
        """

    def replay(self, recorded: RecordedSearch) -> None:
        """Learn from the recorded trials and epochs, in the order in which they were recorded."""
        trials = {trial.number: trial for trial in recorded.trials}
        for trial in trials.values():
            self.on_trial_end(trial)
        for epoch in recorded.epochs:
            if known := trials.get(epoch.number):
                self._enter(known.number, known.parsed, known.seed, epoch.report, known)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Add the result of a trial to the model's data."""
        self.forecaster.histories.on_trial_end(trial)

    def judge(
        self, trial: TrialIdentity, role: str, report: EpochReport, costs: Costs
    ) -> str | None:
        """Why a trial should stop after this epoch; None if it should continue.

        Baselines always continue, but other trials are compared with them.
        """
        if report.epoch not in self.rungs:
            return None
        self._enter(trial.number, trial.architecture, trial.seed, report, costs)
        if role == BASELINE:
            return None
        reason = self.reason_to_stop(trial, self.entries[report.epoch], report.epoch)
        return None if reason is None else f"rung {report.epoch}: {reason}"

    def unfinished_histories(self, entries: Mapping[int, RungEntry]) -> list[TrialHistory]:
        """The histories of the trials at a rung that have not ended."""
        histories = self.forecaster.histories
        unfinished = [
            histories.unfinished_history(number, entry.architecture, entry.seed)
            for number, entry in entries.items()
        ]
        return [history for history in unfinished if history is not None]

    def _enter(
        self,
        number: int,
        architecture: Architecture,
        seed: int,
        report: EpochReport,
        costs: Costs | TrialRecord,
    ) -> None:
        """Record that a trial has reached an epoch, if that is a rung and not recorded yet."""
        if report.epoch not in self.rungs:
            return
        self.forecaster.histories.on_epoch(number, report)
        values = (getattr(costs, key) for key in self.cost_keys)
        known = tuple(math.inf if value is None else value for value in values)
        errors = comparison_errors(
            lambda key: np.array([getattr(costs, key)], dtype=float), self.cost_keys
        )
        loss = rung_loss(report, self.settings.signal)
        entry = RungEntry(architecture, seed, loss, known, tuple(errors[0].tolist()))
        self.entries.setdefault(report.epoch, {}).setdefault(number, entry)
