"""The trials of a study as the statistical model observes them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

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
        self._ended: dict[int, TrialHistory] = {}
        """By number, in the order in which the trials ended."""
        self._numbers: list[int] = []
        self._first_ended: list[TrialHistory] = []
        self._signals: defaultdict[int, dict[int, float]] = defaultdict(dict)

    def replay(self, trials: Iterable[TrialRecord], epochs: Iterable[EpochRecord]) -> None:
        """Add what was recorded before this process started, in the order in which trials ended."""
        for trial in sorted(trials, key=_when_ended):
            self.on_trial_end(trial)
        for epoch in epochs:
            self.on_epoch(epoch.number, epoch.report)

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Add an epoch of trial `number`."""
        if report.epoch in self.observed_epochs:
            self._signals[number][report.epoch] = signal_strength(report, self.signal)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Add a trial that has ended; a running or failed one is ignored."""
        if trial.state not in ("complete", "pruned"):
            return
        if trial.number not in self._ended:
            insort(self._numbers, trial.number)
        end = trial.score if trial.state == "complete" else None
        signals = self._signals[trial.number]
        self._ended[trial.number] = TrialHistory(trial.parsed, trial.seed, end, signals)

    def is_complete(self, number: int) -> bool:
        """Whether a trial is complete."""
        return number in self._ended and self._ended[number].end is not None

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
        histories = [self._ended[number] for number in self._numbers]
        if ending:
            signals = self._signals[ending.number]
            history = TrialHistory(ending.architecture, ending.seed, score, signals)
            histories.insert(bisect_left(self._numbers, ending.number), history)
        return histories

    def first_ended_histories(self, count: int) -> list[TrialHistory]:
        """The histories of the first trials that ended, by number; the same list at each call.

        Trials that end later do not change it, although some of them have lower numbers.

        Args:
            count: how many trials.
        """
        if len(self._first_ended) != count:
            numbers = sorted(islice(self._ended, count))
            self._first_ended = [self._ended[number] for number in numbers]
        return self._first_ended

    def ends_of_first(self, count: int) -> dict[int, float]:
        """The final accuracies, by number, of those of the first `count` trials that completed."""
        ended = islice(self._ended.items(), count)
        return {number: history.end for number, history in ended if history.end is not None}

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


def _when_ended(trial: TrialRecord) -> tuple[bool, float, int]:
    ended = trial.finished_at
    return ended is None, ended.timestamp() if ended else 0.0, trial.number
