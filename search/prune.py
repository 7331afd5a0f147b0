"""Stopping early what will not be among the best: asynchronous successive halving for trade-offs.

Asynchronous successive halving (Li et al., arXiv 1810.05934), in the form that stops: a trial that
reaches a rung goes on if it is among the best 1/η of all that have reached it, itself included, and
nobody waits for anybody. What "best" means with several objectives follows Schmucker et al. (arXiv
2106.12639): fronts of non-dominated trials one after another, and within a front the less crowded
first (Deb et al., NSGA-II, doi 10.1109/4235.996017). With one objective that is plain order. A
trial is judged by the rung's signal in the place of its accuracy, and by its costs, which are known
before it trains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..runners.results import Costs, EpochReport
from ..studies.analysis import Matrix, non_dominated
from ..studies.records import BASELINE, EpochRecord, TrialRecord
from .config import StudyConfig

Values = tuple[float, ...]
"""What a trial is judged by, all to be minimised."""


def rungs(epochs: int, first: float, eta: int) -> tuple[int, ...]:
    """The epochs after which trials are judged: the `first` part of all epochs, then η times that.

    Never after the first epoch, which tells nothing, nor after the last, when nothing is left to
    save. A later rung has to leave its survivors η times what they had: else one in η² would be
    trained to the end for little more than one in η costs.
    """
    at = max(2, math.ceil(first * epochs))
    found = [at] if at < epochs else []
    while found and (at := at * eta) * eta <= epochs:
        found.append(at)
    return tuple(found)


def rungs_of(config: StudyConfig) -> tuple[int, ...]:
    """The rungs of a study; none without a pruner."""
    pruning = config.pruning
    if pruning.pruner == "none":
        return ()
    return rungs(config.recipe.epochs, pruning.first, pruning.eta)


class Pruner:
    """Judges the trials of one study."""

    def __init__(self, config: StudyConfig) -> None:
        self.settings = config.pruning
        self.costs = tuple(key for key in config.keys if key != "accuracy")
        self.halving = Halving(rungs_of(config), self.settings.eta)

    def remember(self, trials: Iterable[TrialRecord], epochs: Iterable[EpochRecord]) -> None:
        """Take in what was recorded before, in the order in which it happened."""
        known = {trial.number: trial for trial in trials}
        for epoch in epochs:
            if trial := known.get(epoch.number):
                costs = [getattr(trial, key) for key in self.costs]
                self._note(epoch.number, epoch.report, costs)

    def judge(self, number: int, role: str, report: EpochReport, costs: Costs) -> str:
        """Why the trial should stop after this epoch; empty if it should go on."""
        self._note(number, report, [getattr(costs, key) for key in self.costs])
        return "" if role == BASELINE else self.halving.verdict(number, report.epoch)

    def _note(self, number: int, report: EpochReport, costs: Sequence[float | None]) -> None:
        known = [math.inf if cost is None else cost for cost in costs]
        self.halving.note(number, report.epoch, (signal_of(report, self.settings.signal), *known))


@dataclass
class Halving:
    """The rungs of one study, and who has reached them with what.

    Baselines are judged by nobody, but others are compared with them.
    """

    rungs: tuple[int, ...]
    eta: int
    reached: dict[int, dict[int, Values]] = field(default_factory=dict)

    def note(self, number: int, epoch: int, values: Values) -> None:
        """A trial has reached an epoch; only rungs count, and only the first time."""
        if epoch in self.rungs:
            self.reached.setdefault(epoch, {}).setdefault(number, values)

    def verdict(self, number: int, epoch: int) -> str:
        """Why a trial should stop after this epoch, which was noted; empty if it should go on."""
        peers = self.reached.get(epoch, {})
        if number not in peers:
            return ""
        room = max(1, len(peers) // self.eta)
        numbers = list(peers)
        order = best_first(np.array([peers[n] for n in numbers]))
        place = [numbers[i] for i in order].index(number) + 1
        if place <= room:
            return ""
        return f"rung {epoch}: place {place} of {len(peers)}, the best {room} go on"


def signal_of(report: EpochReport, signal: str) -> float:
    """What a rung sees of an epoch, to be minimised."""
    value = -report.accuracy if signal == "accuracy" else report.train_loss
    return value if math.isfinite(value) else math.inf


def strength(report: EpochReport, signal: str) -> float:
    """The signal as a number that grows with what it promises, for models: losses by logarithm."""
    if signal == "accuracy":
        return report.accuracy
    return -math.log(report.train_loss) if report.train_loss > 0 else math.nan


def best_first(values: Matrix) -> list[int]:
    """Rows of (n, k) values, all to be minimised: front by front, the less crowded first.

    Equal rows keep their order: who was there first, goes first.
    """
    order: list[int] = []
    left = np.arange(len(values))
    while len(left):
        front = left[non_dominated(values[left])]
        room = crowding(values[front])
        order += [int(i) for i in front[np.argsort(-room, kind="stable")]]
        left = np.setdiff1d(left, front)
    return order


def crowding(values: Matrix) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Crowding distance of each row of one front: the sides of the box between its neighbours.

    In parts of the front's range, summed over the objectives; infinite at the ends. With a single
    objective all are equal and the distance says nothing.
    """
    count, objectives = values.shape
    room = np.zeros(count)
    if objectives == 1:
        return room
    for column in values.T:
        order = np.argsort(column, kind="stable")
        ranked = column[order]
        room[order[[0, -1]]] = np.inf
        if np.isfinite(ranked).all() and ranked[-1] > ranked[0]:
            room[order[1:-1]] += (ranked[2:] - ranked[:-2]) / (ranked[-1] - ranked[0])
    return room
