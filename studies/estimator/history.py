"""The trials of a study as the statistical model observes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...runners.results import EpochReport, Job
from ...spaces.architecture import Architecture
from ..config import Pruning
from ..records import EpochRecord, TrialRecord
from .rungs import observed_epochs, signal_strength


@dataclass(frozen=True)
class TrialHistory:
    """What is observed of one trial.

    Attributes:
        end: the final accuracy, a fraction; None if the trial was stopped or has not ended.
        rungs: the signal at the rungs that it reached, by epoch; more is better.
    """

    architecture: Architecture
    seed: int
    end: float | None
    rungs: Mapping[int, float]


class TrialHistories:
    """The histories of a study's trials: signals at its observed epochs, and final accuracies."""

    def __init__(self, epochs: int, pruning: Pruning) -> None:
        """Start without trials.

        Args:
            epochs: of a whole trial.
            pruning: of the study.
        """
        self.observed_epochs, self.signal = observed_epochs(epochs, pruning), pruning.signal
        self._ended: dict[int, TrialRecord] = {}
        self._signals: defaultdict[int, dict[int, float]] = defaultdict(dict)

    def replay(self, trials: Iterable[TrialRecord], epochs: Iterable[EpochRecord]) -> None:
        """Add what was recorded before this process started."""
        for trial in trials:
            self.on_trial_end(trial)
        for epoch in epochs:
            self.on_epoch(epoch.number, epoch.report)

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Add an epoch of trial `number`."""
        if report.epoch in self.observed_epochs:
            self._signals[number][report.epoch] = signal_strength(report, self.signal)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Add a trial that has ended; a running or failed one is ignored."""
        if trial.state in ("complete", "pruned"):
            self._ended[trial.number] = trial

    def is_complete(self, number: int) -> bool:
        """Whether a trial is complete."""
        return number in self._ended and self._ended[number].state == "complete"

    @property
    def ended(self) -> int:
        """The number of complete and pruned trials."""
        return len(self._ended)

    def ended_histories(
        self, ending: Job | None = None, score: float | None = None
    ) -> list[TrialHistory]:
        """The histories of the trials that have ended, by number.

        Args:
            ending: a trial that is about to end, to be included as if it had.
            score: the final one of that trial; see `EpochReport.score`.
        """
        histories = {
            number: TrialHistory(
                trial.parsed,
                trial.seed,
                trial.score if trial.state == "complete" else None,
                self._signals[number],
            )
            for number, trial in self._ended.items()
        }
        if ending:
            histories[ending.number] = TrialHistory(
                ending.architecture, ending.seed, score, self._signals[ending.number]
            )
        return [histories[number] for number in sorted(histories)]

    def unfinished_history(
        self, number: int, architecture: Architecture, seed: int
    ) -> TrialHistory | None:
        """The history of a trial so far; None if it has ended.

        Args:
            number: of the trial.
            architecture: of the trial.
            seed: of the trial.
        """
        if number in self._ended:
            return None
        return TrialHistory(architecture, seed, None, self._signals[number])
