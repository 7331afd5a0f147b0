"""Stopping early what will not be among the best: asynchronous successive halving for trade-offs.

Asynchronous successive halving (Li et al., arXiv 1810.05934), in the form that stops: a trial that
reaches a rung goes on if it is among the best 1/η of all that have reached it, itself included, and
nobody waits for anybody. What "best" means with several objectives follows Schmucker et al. (arXiv
2106.12639): fronts of non-dominated trials one after another, and within a front the less crowded
first (Deb et al., NSGA-II, doi 10.1109/4235.996017). With one objective that is plain order. A
trial is judged by the rung's signal in the place of its accuracy, and by its costs, which are known
before it trains. The signal is what the trial itself shows at the rung, or what a model of all
trials expects of its architecture (`forecaster.Forecaster`); then architectures are the peers.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from ...runners.results import Costs, EpochReport
from ...spaces.architecture import Architecture
from ...studies.analysis.analyse import Matrix, non_dominated
from ...studies.config import StudyConfig
from ...studies.estimator.forecaster import Forecaster
from ...studies.estimator.history import TrialHistory
from ...studies.estimator.mixed_model import MIN_FITTED_ENDS
from ...studies.estimator.rungs import rung_loss, study_rungs
from ...studies.records import BASELINE, EpochRecord, TrialRecord

Values = tuple[float, ...]
"""What a trial is judged by, all to be minimised."""
Name = TypeVar("Name", bound=Hashable)


class TrialIdentity(Protocol):
    """A trial that has reached a rung: a `Job`, or a `Proposal`."""

    @property
    def number(self) -> int:
        """In its study."""

    @property
    def architecture(self) -> Architecture:
        """What is trained."""

    @property
    def seed(self) -> int:
        """With which seed."""


@dataclass(frozen=True)
class RungEntry:
    """A trial at a rung. `loss` is the rung's signal, `costs` the other objectives."""

    architecture: Architecture
    seed: int
    loss: float
    costs: Values


class Pruner:
    """Judges the trials of one study."""

    def __init__(self, config: StudyConfig) -> None:
        self.settings, self.seed = config.pruning, config.seed
        self.costs = tuple(key for key in config.keys if key != "accuracy")
        self.rungs = study_rungs(config)
        self.forecaster = Forecaster(config)
        self.reached: dict[int, dict[int, RungEntry]] = {}

    def remember(self, trials: Iterable[TrialRecord], epochs: Iterable[EpochRecord]) -> None:
        """Take in what was recorded before, in the order in which it happened."""
        known = {trial.number: trial for trial in trials}
        for ended in known.values():
            self.on_trial_end(ended)
        for epoch in epochs:
            if trial := known.get(epoch.number):
                costs = tuple(getattr(trial, key) for key in self.costs)
                self._note(trial.number, trial.parsed, trial.seed, epoch.report, costs)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Take in how a trial ended."""
        self.forecaster.histories.on_trial_end(trial)

    def judge(self, trial: TrialIdentity, role: str, report: EpochReport, costs: Costs) -> str:
        """Why the trial should stop after this epoch; empty if it should go on.

        Baselines always go on, but others are compared with them.
        """
        if report.epoch not in self.rungs:
            return ""
        known = tuple(getattr(costs, key) for key in self.costs)
        self._note(trial.number, trial.architecture, trial.seed, report, known)
        if role == BASELINE:
            return ""
        rule = self._by_odds if self.settings.pruner == "front" else self._by_place
        verdict = rule(trial, report.epoch)
        return f"rung {report.epoch}: {verdict}" if verdict else ""

    def _by_place(self, trial: TrialIdentity, rung: int) -> str:
        """Why not to go on: others are better."""
        peers, eta = self.reached[rung], self.settings.eta
        if self.settings.signal == "expected":
            own, values = trial.architecture.key, self._expected(peers)
            place, room = standing(values, own, eta)
            count = len(values)
        else:
            alone = {number: (seen.loss, *seen.costs) for number, seen in peers.items()}
            place, room = standing(alone, trial.number, eta)
            count = len(alone)
        if place <= room:
            return ""
        return f"place {place} of {count}, the best {room} go on"

    def _by_odds(self, trial: TrialIdentity, rung: int) -> str:
        """Why not to go on: the architecture is hardly on the front."""
        peers, histories = self.reached[rung], self.forecaster.histories
        complete = {n: seen for n, seen in peers.items() if histories.is_complete(n)}
        if len(complete) < MIN_FITTED_ENDS:
            return ""
        known = {seen.architecture.key: seen for seen in complete.values()}
        known[trial.architecture.key] = peers[trial.number]
        rng = np.random.default_rng((self.seed, trial.number, rung))
        truths = self.truths(peers, list(known.values()), rng)
        odds = odds_of_front(truths, np.array([seen.costs for seen in known.values()]))
        own = odds[list(known).index(trial.architecture.key)]
        needed = self.settings.chance * odds.max()
        if own >= needed:
            return ""
        return f"{100 * own:.1f} % likely to be on the front, {100 * needed:.1f} % needed"

    def truths(
        self, peers: Mapping[int, RungEntry], asked: Sequence[RungEntry], rng: np.random.Generator
    ) -> Matrix:
        """Possible accuracies (samples, n) of what reached a rung."""
        going = self._going(peers)
        return self.forecaster.sample_accuracies(going, [seen.architecture for seen in asked], rng)

    def _going(self, peers: Mapping[int, RungEntry]) -> list[TrialHistory]:
        histories = self.forecaster.histories
        going = [
            histories.unfinished_history(n, seen.architecture, seen.seed)
            for n, seen in peers.items()
        ]
        return [history for history in going if history is not None]

    def _expected(self, peers: Mapping[int, RungEntry]) -> dict[str, Values]:
        """By key of the architectures that have reached a rung: what is expected of them."""
        found = {seen.architecture.key: seen for seen in peers.values()}
        asked = [seen.architecture for seen in found.values()]
        expected = self.forecaster.predict_accuracies(self._going(peers), asked)
        return {
            key: (-value, *seen.costs)
            for (key, seen), value in zip(found.items(), expected, strict=True)
        }

    def _note(
        self,
        number: int,
        architecture: Architecture,
        seed: int,
        report: EpochReport,
        costs: Sequence[float | None],
    ) -> None:
        """A trial has reached an epoch; only rungs count, and only the first time."""
        if report.epoch not in self.rungs:
            return
        self.forecaster.histories.on_epoch(number, report)
        known = tuple(math.inf if cost is None else cost for cost in costs)
        seen = RungEntry(architecture, seed, rung_loss(report, self.settings.signal), known)
        self.reached.setdefault(report.epoch, {}).setdefault(number, seen)


def standing(peers: Mapping[Name, Values], own: Name, eta: int) -> tuple[int, int]:
    """The place of one among its peers, the best is 1, and how many of them go on."""
    names = list(peers)
    order = best_first(np.array([peers[name] for name in names]))
    place = [names[i] for i in order].index(own) + 1
    return place, max(1, len(names) // eta)


def odds_of_front(
    accuracies: Matrix, costs: Matrix
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """In what part of some truths each of n is on the front.

    `accuracies` are (truths, n), `costs` (n, k) to be minimised, known and the same in all truths.
    """
    found = [non_dominated(np.column_stack([-truth, costs])) for truth in accuracies]
    odds: np.ndarray[tuple[int], np.dtype[np.float64]] = np.mean(found, axis=0)
    return odds


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
