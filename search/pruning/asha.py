"""Asynchronous successive halving for several objectives.

Successive halving (Li et al., arXiv 1810.05934) in its stopping variant: a trial continues after a
rung if it is among the best 1/η of all trials that have reached the rung, itself included. With
several objectives, trials are ranked as by Schmucker et al. (arXiv 2106.12639): by fronts of
non-dominated trials, and within a front by crowding distance, the less crowded first (Deb et al.,
NSGA-II, doi 10.1109/4235.996017). With one objective they are ranked by its value.

A trial is compared by its signal at the rung, in place of its accuracy, and by its costs, which are
known before it trains. The signal is the trial's own loss or accuracy, or (`signal=expected`) the
final accuracy that the model of all trials predicts for its architecture. In the latter case
architectures are compared, and not trials.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import TypeVar

import numpy as np

from ...studies.analysis.pareto import Matrix, non_dominated
from .base import TrialIdentity
from .rung_pruner import MAX_ENTRIES_COMPARED, RungEntry, RungPruner, Values

Key = TypeVar("Key", bound=Hashable)


class AshaPruner(RungPruner):
    """Stops all but the best 1/η of the trials at a rung."""

    def reason_to_stop(
        self, trial: TrialIdentity, entries: Mapping[int, RungEntry], _rung: int
    ) -> str | None:
        """The trial's rank in words, if it is not among the best 1/η; else None.

        In a long study it is its rank among a random choice of the trials at the rung.
        """
        entries = self._compared_entries(trial.number, entries)
        if self.settings.signal == "expected":
            by_architecture = self._predicted_values(entries)
            key, eta = trial.architecture.key, self.settings.eta
            errors_by_key = {e.architecture.key: (0.0, *e.cost_errors) for e in entries.values()}
            rank, kept = rank_among(by_architecture, key, eta, errors_by_key)
            count = len(by_architecture)
        else:
            by_trial = {n: (entry.loss, *entry.costs) for n, entry in entries.items()}
            errors = {n: (0.0, *entry.cost_errors) for n, entry in entries.items()}
            rank, kept = rank_among(by_trial, trial.number, self.settings.eta, errors)
            count = len(by_trial)
        return None if rank <= kept else f"place {rank} of {count}, the best {kept} go on"

    def _compared_entries(
        self, number: int, entries: Mapping[int, RungEntry]
    ) -> Mapping[int, RungEntry]:
        """All entries; if there are many, a random choice of them that hardly changes."""
        if len(entries) <= MAX_ENTRIES_COMPARED:
            return entries
        chosen = heapq.nsmallest(MAX_ENTRIES_COMPARED, entries, key=_random_order)
        return {n: entries[n] for n in sorted({*chosen, number})}

    def _predicted_values(self, entries: Mapping[int, RungEntry]) -> dict[str, Values]:
        """The values by which the architectures at a rung are compared, by their keys."""
        distinct = {entry.architecture.key: entry for entry in entries.values()}
        accuracies = self.forecaster.predict_accuracies(
            self.unfinished_histories(entries), [entry.architecture for entry in distinct.values()]
        )
        return {
            key: (-accuracy, *entry.costs)
            for (key, entry), accuracy in zip(distinct.items(), accuracies, strict=True)
        }


@lru_cache(maxsize=1_000_000)
def _random_order(number: int) -> int:
    """A random number that belongs to the number of a trial, whatever the accuracy of the trial."""
    return zlib.crc32(f"trial {number}".encode())


def rank_among(
    values: Mapping[Key, Values], key: Key, eta: int, errors: Mapping[Key, Values] | None = None
) -> tuple[int, int]:
    """The rank of one trial or architecture, 1 for the best, and how many of all continue.

    Args:
        values: what each is compared by, all to be minimised.
        key: the trial or architecture to rank.
        eta: one in `eta` continues, but at least one.
        errors: the standard errors of the values, 0 where they are exact; None if all are.
    """
    keys = list(values)
    order = best_first(
        np.array([values[candidate] for candidate in keys]),
        None if errors is None else np.array([errors[candidate] for candidate in keys]),
    )
    rank = [keys[i] for i in order].index(key) + 1
    return rank, max(1, len(keys) // eta)


def best_first(values: Matrix, errors: Matrix | None = None) -> list[int]:
    """The indices of (n, k) values, all to be minimised: front by front, the less crowded first.

    Equal rows keep their order.

    Args:
        values: (n, k).
        errors: (n, k) standard errors, 0 where a value is exact; None if all are.
    """
    errors = np.zeros_like(values) if errors is None else errors
    order: list[int] = []
    remaining = np.arange(len(values))
    while len(remaining):
        front = remaining[non_dominated(values[remaining], errors[remaining])]
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
