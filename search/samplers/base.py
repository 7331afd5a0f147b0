"""Who proposes: Optuna's samplers, and those of our own that decide for themselves.

Optuna's are made anew for every trial, seeded from the study's seed and the trial's number, since
their random state is stored nowhere: a resumed study then proposes what it would have without the
interruption. Our own (`CustomSampler`) answer with decisions, or leave the trial to chance.
"""

from __future__ import annotations

import hashlib
import math
import random
import warnings
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple, Protocol

import scipy
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from ...errors import SpaceError
from ...runners.results import EpochReport, Job
from ...spaces.attentions.entry import Value
from ...spaces.search_space.bound_space import BoundSpace
from ...studies.config import StudyConfig
from ...studies.estimator.history import TrialHistories, TrialHistory
from ...studies.estimator.threads import one_thread
from ...studies.records import EpochRecord, TrialRecord
from ..trial_source import CostLookup
from .additive import Additive

GRID_LIMIT = 200_000
DIMENSIONS = 1024
"""Decisions of one architecture at most; Sobol' points have so many coordinates."""

Decisions = dict[str, Value]


def make_sampler(name: str, seed: int, number: int) -> BaseSampler:
    """Optuna's sampler for trial `number`; a random one for what our own leave to chance."""
    own = derive_seed(seed, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe":
            return TPESampler(seed=own, multivariate=True, group=True, n_startup_trials=12)
        if name == "nsga2":
            return NSGAIISampler(seed=own, population_size=20)
        if name == "nsga3":
            return NSGAIIISampler(seed=own, population_size=20)
        if name == "gp":
            return GPSampler(seed=own, n_startup_trials=12, warn_independent_sampling=False)
        return RandomSampler(seed=own)


def derive_seed(*parts: int) -> int:
    """A 32-bit seed from whole numbers, the same on every machine."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class TriedArchitectures(Protocol):
    """What a study has tried: `Proposer`'s history."""

    @property
    def seeds(self) -> Mapping[str, Set[int]]:
        """Seeds that ran, by the architecture's key."""

    @property
    def rejected(self) -> Set[str]:
        """Keys of what a limit turned away."""


class CustomSampler(Protocol):
    """A sampler of our own."""

    def decide(self, number: int) -> Decisions | None:
        """The decisions for trial `number`; None leaves them to chance."""

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """An epoch of a trial."""

    def ask_ahead(self, number: int, ending: Job, accuracy: float) -> None:
        """Decide about trial `number` beforehand, in case that a trial ends so and nothing else."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """How a trial ended."""

    def prepare(self) -> None:
        """Nobody waits: compute what the next decisions will need."""


def own_sampler(
    config: StudyConfig, bound: BoundSpace, costs: CostLookup, seen: TriedArchitectures
) -> CustomSampler | None:
    """Our own sampler of that name; None if it is one of Optuna's."""
    if config.sampler == "grid":
        return Grid(bound, config.seed, seen)
    if config.sampler == "qmc":
        return Sobol(bound, config.seed)
    if config.sampler == "additive":
        return Learning(Additive(bound, config.keys, config.limits, costs), config)
    return None


class StatelessSampler:
    """What trials show changes nothing."""

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Nothing is learned."""

    def ask_ahead(self, number: int, ending: Job, accuracy: float) -> None:
        """Nothing would be different."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Nothing is learned."""

    def prepare(self) -> None:
        """Nothing to compute."""


class Grid(StatelessSampler):
    """A shuffled enumeration; after the last one those with the fewest seeds again.

    SpaceError if the space is too large for that, or all of it breaks a limit.
    """

    def __init__(self, bound: BoundSpace, seed: int, seen: TriedArchitectures) -> None:
        size = bound.count()
        if size > GRID_LIMIT:
            raise SpaceError(
                f"a grid over {size:,} architectures is too large (at most {GRID_LIMIT:,}); "
                "use --sampler random, or a smaller space"
            )
        self.bound, self.seen = bound, seen
        self._order = list(range(size))
        random.Random(seed).shuffle(self._order)

    def decide(self, _number: int) -> Decisions:
        """The next one that has run least often."""
        fewest: tuple[int, Decisions] | None = None
        for index in self._order:
            decisions = self.bound.selection_at(index)
            key = self.bound.architecture_of(decisions).key
            if key in self.seen.rejected:
                continue
            count = len(self.seen.seeds.get(key, ()))
            if not count:
                return decisions
            if fewest is None or count < fewest[0]:
                fewest = (count, decisions)
        if fewest is None:
            raise SpaceError("every architecture of the grid breaks a limit; raise it")
        return fewest[1]


class Sobol(StatelessSampler):
    """Decisions from scrambled Sobol' points (Sobol' 1967), spread more evenly than chance.

    The k-th decision of an architecture takes the k-th coordinate, whatever it is about. Optuna's
    own QMCSampler leaves categories to chance, and here everything is a category.
    """

    def __init__(self, bound: BoundSpace, seed: int) -> None:
        self.bound, self.seed = bound, seed

    def decide(self, number: int) -> Decisions:
        """What the point of that number says."""
        sobol = scipy.stats.qmc.Sobol(DIMENSIONS, rng=self.seed)
        sobol.fast_forward(number)
        point = sobol.random(1)[0]
        decisions: Decisions = {}

        def pick(name: str, choices: Sequence[Value]) -> Value:
            at = float(point[len(decisions) % DIMENSIONS])
            decisions[name] = choices[min(math.floor(at * len(choices)), len(choices) - 1)]
            return decisions[name]

        self.bound.choose_architecture(pick)
        return decisions


class Speculation(NamedTuple):
    """What would be decided about a trial, were these all that had ended."""

    number: int
    seen: list[TrialHistory]
    decisions: Decisions | None


class Learning:
    """The additive model, with all that it learns from: the rungs and the end of every trial."""

    def __init__(self, additive: Additive, config: StudyConfig) -> None:
        self.additive, self.seed, self.histories = additive, config.seed, TrialHistories(config)
        self._speculation: Speculation | None = None

    def remember(self, trials: Sequence[TrialRecord], epochs: Sequence[EpochRecord]) -> None:
        """Take in what happened before this process."""
        self.histories.replay(trials, epochs)

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """An epoch of a trial."""
        self.histories.on_epoch(number, report)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """How a trial ended."""
        self.histories.on_trial_end(trial)

    def ask_ahead(self, number: int, ending: Job, accuracy: float) -> None:
        """Decide as if that trial had ended, for `decide` to find."""
        seen = self.histories.ended_histories(ending, accuracy)
        self._speculation = Speculation(number, seen, self._decided(seen, number))

    def decide(self, number: int) -> Decisions | None:
        """What the model would try."""
        seen, speculation = self.histories.ended_histories(), self._speculation
        if speculation and (speculation.number, speculation.seen) == (number, seen):
            return speculation.decisions
        return self._decided(seen, number)

    def _decided(self, seen: Sequence[TrialHistory], number: int) -> Decisions | None:
        with one_thread():
            return self.additive.propose(seen, self.seed, number)

    def prepare(self) -> None:
        """Fit the model to what has been seen, if it is time."""
        with one_thread():
            self.additive.prepare(self.histories.ended_histories(), self.seed)
