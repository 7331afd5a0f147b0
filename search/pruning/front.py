"""Stops what is unlikely to end on the Pareto front.

At a rung, possible final accuracies of all architectures there are sampled from the model of all
trials (`studies.estimator`). The odds of an architecture are the share of these samples in which it
is on the front. A trial stops if its odds are less than a given share of the best odds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...studies.analysis.pareto import Matrix, non_dominated
from ...studies.estimator.mixed_model import MIN_FITTED_ENDS
from .base import TrialIdentity
from .rung_pruner import RungEntry, RungPruner


class FrontPruner(RungPruner):
    """Lets trials go on whose architecture may well be on the front."""

    def reason_to_stop(
        self, trial: TrialIdentity, entries: Mapping[int, RungEntry], rung: int
    ) -> str | None:
        """The odds of the trial's architecture, if they are too low.

        No reason before enough trials are complete to tell effects from noise.
        """
        histories = self.forecaster.histories
        complete = {n: entry for n, entry in entries.items() if histories.is_complete(n)}
        if len(complete) < MIN_FITTED_ENDS:
            return None
        contenders = {entry.architecture.key: entry for entry in complete.values()}
        contenders[trial.architecture.key] = entries[trial.number]
        rng = np.random.default_rng((self.seed, trial.number, rung))
        accuracies = self.sample_accuracies(entries, list(contenders.values()), rng)
        costs = np.array([entry.costs for entry in contenders.values()])
        odds = odds_of_front(accuracies, costs)
        trial_odds = odds[list(contenders).index(trial.architecture.key)]
        required = self.settings.chance * odds.max()
        if trial_odds >= required:
            return None
        return f"{100 * trial_odds:.1f} % likely to be on the front, {100 * required:.1f} % needed"

    def sample_accuracies(
        self,
        entries: Mapping[int, RungEntry],
        contenders: Sequence[RungEntry],
        rng: np.random.Generator,
    ) -> Matrix:
        """Possible final accuracies (samples, contenders).

        Args:
            entries: all trials that have reached the rung, by number.
            contenders: one entry for each architecture that is asked about.
            rng: source of the draws.
        """
        architectures = [entry.architecture for entry in contenders]
        unfinished = self.unfinished_histories(entries)
        return self.forecaster.sample_accuracies(unfinished, architectures, rng)


def odds_of_front(
    accuracies: Matrix, costs: Matrix
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """In what share of the samples each of n architectures is on the front.

    Args:
        accuracies: (samples, n).
        costs: (n, k) to be minimised, the same in all samples.
    """
    on_front = [non_dominated(np.column_stack([-sample, costs])) for sample in accuracies]
    odds: np.ndarray[tuple[int], np.dtype[np.float64]] = np.mean(on_front, axis=0)
    return odds
