"""Stops trials whose architecture is unlikely to be on the Pareto front.

At a rung, final accuracies of all architectures there are sampled from the model of all trials
(`studies.estimator`). The probability of an architecture is the share of these samples in which it
is on the front. A trial stops if this is less than a given share of the highest probability. In a
long study, only the architectures whose trials are closest to the front are its rivals there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...studies.analysis.pareto import Matrix, find_front, non_dominated
from ...studies.config import StudyConfig
from ...studies.estimator.modelled_trials import last_model_count
from ...studies.estimator.priors import MIN_FITTED_ENDS
from .base import TrialIdentity
from .rung_pruner import MAX_ENTRIES_COMPARED, RungEntry, RungPruner


class FrontPruner(RungPruner):
    """Stops trials whose architecture is unlikely to be on the Pareto front."""

    def __init__(self, config: StudyConfig) -> None:
        super().__init__(config)
        self._closest: dict[int, tuple[int, frozenset[str]]] = {}
        """Contenders of a long study by rung, with the number of trials they were chosen from."""

    def reason_to_stop(
        self, trial: TrialIdentity, entries: Mapping[int, RungEntry], rung: int
    ) -> str | None:
        """The probability that the architecture is on the front, in words, if it is too low.

        None otherwise, and until enough trials are complete to separate effects from noise.
        """
        histories = self.forecaster.histories
        complete = {n: entry for n, entry in entries.items() if histories.is_complete(n)}
        if len(complete) < MIN_FITTED_ENDS:
            return None
        contenders = self._contenders(complete, rung)
        contenders[trial.architecture.key] = entries[trial.number]
        rng = np.random.default_rng((self.seed, trial.number, rung))
        accuracies = self.sample_accuracies(entries, list(contenders.values()), rng)
        entries_compared = list(contenders.values())
        probabilities = probability_of_front(
            accuracies,
            np.array([entry.costs for entry in entries_compared]),
            np.array([entry.cost_errors for entry in entries_compared]),
        )
        probability = probabilities[list(contenders).index(trial.architecture.key)]
        required = self.settings.chance * probabilities.max()
        if probability >= required:
            return None
        return f"{100 * probability:.1f} % likely to be on the front, {100 * required:.1f} % needed"

    def _contenders(self, complete: Mapping[int, RungEntry], rung: int) -> dict[str, RungEntry]:
        """The architectures that may be on the front, by their keys: all with a complete trial.

        In a long study those whose trials are closest to the front, and they are chosen again only
        when the study has grown by a small part.

        Args:
            complete: the complete trials that have passed the rung.
            rung: the epoch.
        """
        contenders = {entry.architecture.key: entry for entry in complete.values()}
        if len(contenders) <= MAX_ENTRIES_COMPARED:
            return contenders
        histories = self.forecaster.histories
        count = last_model_count(histories.ended)
        if rung not in self._closest or self._closest[rung][0] != count:
            ends = histories.ends_of_first(count)
            entries = {n: complete[n] for n in ends if n in complete}
            self._closest[rung] = count, closest_to_front(entries, ends)
        _, chosen = self._closest[rung]
        return {key: entry for key, entry in contenders.items() if key in chosen}

    def sample_accuracies(
        self,
        entries: Mapping[int, RungEntry],
        contenders: Sequence[RungEntry],
        rng: np.random.Generator,
    ) -> Matrix:
        """Draws of final accuracies (samples, contenders).

        Args:
            entries: all trials that have reached the rung, by number.
            contenders: one entry for each architecture to sample.
            rng: source of the draws.
        """
        architectures = [entry.architecture for entry in contenders]
        unfinished = self.unfinished_histories(entries)
        return self.forecaster.sample_accuracies(unfinished, architectures, rng)


def closest_to_front(entries: Mapping[int, RungEntry], ends: Mapping[int, float]) -> frozenset[str]:
    """The keys of about `MAX_ENTRIES_COMPARED` architectures: front by front of complete trials.

    Args:
        entries: of complete trials, by number.
        ends: the final accuracies of trials by number.
    """
    values = np.array([(-ends[number], *entry.costs) for number, entry in entries.items()])
    errors = np.array([(0.0, *entry.cost_errors) for entry in entries.values()])
    keys = np.array([entry.architecture.key for entry in entries.values()])
    chosen: set[str] = set()
    remaining = np.arange(len(keys))
    while len(remaining) and len(chosen) < MAX_ENTRIES_COMPARED:
        on_front = non_dominated(values[remaining], errors[remaining])
        chosen.update(keys[remaining[on_front]].tolist())
        remaining = remaining[~on_front]
    return frozenset(chosen)


def probability_of_front(
    accuracies: Matrix, costs: Matrix, cost_errors: Matrix | None = None
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(n,) the share of the samples in which each architecture is on the front.

    Args:
        accuracies: (samples, n).
        costs: (n, k) to be minimised, the same in all samples.
        cost_errors: (n, k) their standard errors, 0 where a cost is exact; None if all are.
    """
    on_front = [find_front(sample, costs, cost_errors) for sample in accuracies]
    shares: np.ndarray[tuple[int], np.dtype[np.float64]] = np.mean(on_front, axis=0)
    return shares
