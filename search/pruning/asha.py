"""Asynchronous successive halving for several objectives.

Successive halving (Li et al., arXiv 1810.05934), in the form that stops trials: at a rung a trial
goes on if it is among the best 1/η of all that have reached it, itself included. With several
objectives "best" follows Schmucker et al. (arXiv 2106.12639): fronts of non-dominated trials, one
after another, and within a front the less crowded first (Deb et al., NSGA-II,
doi 10.1109/4235.996017). With one objective that is plain order.

A trial is compared by the rung's signal, in place of its accuracy, and by its costs, which are
known before it trains. The signal is what the trial itself shows, or (`signal=expected`) the final
accuracy that the model of all trials predicts for its architecture; then architectures are
compared, not trials.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np

from ...studies.analysis.pareto import Matrix, non_dominated
from .base import TrialIdentity
from .rung_pruner import RungEntry, RungPruner, Values

Name = TypeVar("Name", bound=Hashable)


class AshaPruner(RungPruner):
    """Lets the best 1/η of the trials at a rung go on."""

    def reason_to_stop(
        self, trial: TrialIdentity, entries: Mapping[int, RungEntry], _rung: int
    ) -> str | None:
        """The trial's rank, if it is not among the best 1/η."""
        if self.settings.signal == "expected":
            by_architecture = self._predicted_values(entries)
            rank, kept = rank_among(by_architecture, trial.architecture.key, self.settings.eta)
            count = len(by_architecture)
        else:
            by_trial = {n: (entry.loss, *entry.costs) for n, entry in entries.items()}
            rank, kept = rank_among(by_trial, trial.number, self.settings.eta)
            count = len(by_trial)
        return None if rank <= kept else f"place {rank} of {count}, the best {kept} go on"

    def _predicted_values(self, entries: Mapping[int, RungEntry]) -> dict[str, Values]:
        """What each architecture at a rung is compared by, by its key."""
        distinct = {entry.architecture.key: entry for entry in entries.values()}
        accuracies = self.forecaster.predict_accuracies(
            self.unfinished_histories(entries), [entry.architecture for entry in distinct.values()]
        )
        return {
            key: (-accuracy, *entry.costs)
            for (key, entry), accuracy in zip(distinct.items(), accuracies, strict=True)
        }


def rank_among(peers: Mapping[Name, Values], name: Name, eta: int) -> tuple[int, int]:
    """The rank of one of some peers, counted from 1 for the best, and how many of them go on.

    Args:
        peers: what each is compared by, all to be minimised.
        name: the one that is judged.
        eta: one in so many goes on, at least one.
    """
    names = list(peers)
    order = best_first(np.array([peers[peer] for peer in names]))
    rank = [names[i] for i in order].index(name) + 1
    return rank, max(1, len(names) // eta)


def best_first(values: Matrix) -> list[int]:
    """Rows of (n, k) values, all to be minimised: front by front, the less crowded first.

    Equal rows keep their order.
    """
    order: list[int] = []
    remaining = np.arange(len(values))
    while len(remaining):
        front = remaining[non_dominated(values[remaining])]
        distance = crowding_distance(values[front])
        order += [int(i) for i in front[np.argsort(-distance, kind="stable")]]
        remaining = np.setdiff1d(remaining, front)
    return order


def crowding_distance(values: Matrix) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """NSGA-II's crowding distance of each row of one front.

    The distance between a row's two neighbours as a fraction of the front's range, summed over the
    objectives; infinite at the ends. With a single objective all rows are equal, and it is zero.
    """
    count, objectives = values.shape
    distance = np.zeros(count)
    if objectives == 1:
        return distance
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ranked = column[order]
        distance[order[[0, -1]]] = np.inf
        if np.isfinite(ranked).all() and ranked[-1] > ranked[0]:
            distance[order[1:-1]] += (ranked[2:] - ranked[:-2]) / (ranked[-1] - ranked[0])
    return distance
