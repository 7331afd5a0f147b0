"""Thompson sampling with an additive model, for spaces in which the effects of attentions add up.

Thompson sampling (Thompson 1933, doi 10.2307/2332286): the accuracies of all architectures are
drawn once from the posterior of `mixed_model.MixedModel`, given all trials so far, and the best
architecture of this draw is proposed. If it has run before, it gets its next seed, so the model
decides between new architectures and repetitions. Once the proposed architecture has several
trials, the runner-up is proposed instead in half of the cases (top-two sampling: Russo,
arXiv 1602.08448). With several objectives, every other trial is selected by accuracy alone, and the
others by randomly weighted objectives (augmented Chebyshev scalarisation as in ParEGO: Knowles
2006, doi 10.1109/TEVC.2005.851274).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import AttentionError
from ...runners.results import Costs, EpochReport, Job
from ...spaces.architecture import Architecture
from ...spaces.attentions.entry import Value
from ...spaces.search_space.bound_space import BoundSpace
from ...studies.estimator.features import ArchitectureFeatures
from ...studies.estimator.history import TrialHistories, TrialHistory
from ...studies.estimator.hyperparameters import HyperparameterFits, are_same
from ...studies.estimator.mixed_model import MixedModel
from ...studies.estimator.modelled_trials import (
    MAX_TRIALS_WITH_NEW_MODEL,
    last_model_count,
    step_of,
)
from ...studies.estimator.threads import one_thread
from ...studies.objectives import is_cost
from ...studies.records import TrialRecord
from ..trial_source import CostLookup, RecordedSearch
from .base import Sampler, SamplerContext, Selection

Array = npt.NDArray[np.float64]

MAX_ARCHITECTURES_ENUMERATED = 1000
"""In a larger space, only a pool of candidates is considered."""
RANDOM_CANDIDATES, PARENTS, MUTATIONS_PER_PARENT = 100, 10, 10
"""The pool consists of random architectures, the most promising ones so far (the parents), and
mutations of each parent.
"""
TRIALS_BEFORE_RUNNER_UP = 4
"""Once the best architecture has this many trials, the runner-up gets half of its proposals."""


class Candidate(NamedTuple):
    """An architecture that may be proposed, because it is within all limits."""

    architecture: Architecture
    selection: Selection
    costs: Costs


class Speculation(NamedTuple):
    """A selection that was computed in advance, for an expected state of the study."""

    number: int
    histories: list[TrialHistory]
    exclusions: int
    selection: Selection | None


class CandidateModel(NamedTuple):
    """What the trials of a study say about the candidates.

    Attributes:
        histories: of the trials.
        candidates: (n,) of them.
        posterior: the model of their accuracies.
        trials: (n,) the number of complete trials of each.
        costs: (n, k) the costs that are objectives.
    """

    histories: Sequence[TrialHistory]
    candidates: Sequence[Candidate]
    posterior: MixedModel
    trials: npt.NDArray[np.int_]
    costs: Array


class AdditiveSampler(Sampler):
    """Keeps the history of every trial, and asks `ThompsonSampling` for the next one."""

    def __init__(self, context: SamplerContext) -> None:
        super().__init__(context)
        self._tried, config = context.tried, context.config
        self.thompson = ThompsonSampling.of(context)
        self.histories = TrialHistories(config.recipe.epochs, config.pruning)
        self._speculation: Speculation | None = None

    def replay(self, recorded: RecordedSearch) -> None:
        """Learn from the trials and epochs that were recorded before this process started."""
        self.histories.replay(recorded.trials, recorded.epochs)

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Record an epoch of a trial; the model uses those at rungs."""
        self.histories.on_epoch(number, report)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Record how a trial ended."""
        self.histories.on_trial_end(trial)

    def ask_ahead(self, number: int, ending: Job, score: float) -> None:
        """Compute the selection as if the trial had ended.

        `select` uses it if nothing else has changed by then. In a long study the model is kept for
        several selections, and nothing is gained.
        """
        if self._is_long:
            return
        histories = self.histories.ended_histories(ending, score)
        selection = self._select(histories, number)
        self._speculation = Speculation(number, histories, self._tried.exclusions, selection)

    def select(self, number: int) -> Selection | None:
        """The selection of `ThompsonSampling.select`; None if every candidate exceeds a limit."""
        histories, speculation = self._modelled_histories(), self._speculation
        state = (number, histories, self._tried.exclusions)
        if speculation is not None and speculation[:3] == state:
            return speculation.selection
        return self._select(histories, number)

    @property
    def _is_long(self) -> bool:
        return self.histories.ended > MAX_TRIALS_WITH_NEW_MODEL

    def _modelled_histories(self) -> list[TrialHistory]:
        """The histories that the next selection follows from."""
        if not self._is_long:
            return self.histories.ended_histories()
        return self.histories.first_ended_histories(last_model_count(self.histories.ended))

    def _select(self, histories: Sequence[TrialHistory], number: int) -> Selection | None:
        with one_thread():
            return self.thompson.select(histories, self.seed, number)

    def prepare(self) -> None:
        """Fit the model's variances if the study has grown enough, and prepare the candidates."""
        with one_thread():
            self.thompson.prepare(self._modelled_histories(), self.seed)


class ThompsonSampling:
    """Selects architectures of one space, given the histories of all trials."""

    def __init__(
        self,
        space: BoundSpace,
        keys: Sequence[str],
        limits: Mapping[str, float],
        costs: CostLookup,
        may_propose: Callable[[Architecture], bool] = lambda _: True,
    ) -> None:
        """Set up for one study.

        Args:
            space: the search space on the study's backbone.
            keys: the objectives.
            limits: upper bounds on costs by their key.
            costs: parameters and MACs of any architecture.
            may_propose: whether an architecture may still be proposed; it may not once it was
                rejected or has failed.
        """
        self.space, self.limits, self.costs = space, limits, costs
        self.may_propose = may_propose
        self.cost_keys = [key for key in keys if is_cost(key)]
        self.features = ArchitectureFeatures.of_backbone(space.site_map)
        self.fits = HyperparameterFits(self.features)
        self._model: CandidateModel | None = None
        self._all_candidates: list[Candidate] | None = None
        self._pools: dict[int, list[Candidate]] = {}
        self._selection_of = lru_cache(maxsize=10_000)(space.selection_of)

    @classmethod
    def of(cls, context: SamplerContext) -> ThompsonSampling:
        """The one of a study; it proposes nothing that was rejected or has failed."""
        return cls(
            context.space,
            context.config.keys,
            context.config.limits,
            context.costs,
            lambda architecture: context.tried.reason_against(architecture) is None,
        )

    def select(self, histories: Sequence[TrialHistory], seed: int, number: int) -> Selection | None:
        """The selection for trial `number`; None if no candidate may be proposed.

        Args:
            histories: all trials that have ended, by number.
            seed: the study's; together with `number` it determines what is drawn.
            number: the trial's number in its study.
        """
        rng = np.random.default_rng((seed, number))
        candidates = [
            candidate
            for candidate in self.candidates(histories, seed)
            if self.may_propose(candidate.architecture)
        ]
        if not candidates or not histories:
            return candidates[rng.integers(len(candidates))].selection if candidates else None
        model = self._model_of(histories, candidates)
        accuracy = model.posterior.draw_sample(rng)
        if number % 2 and self.cost_keys:
            return candidates[best_trade_off(accuracy, model.costs, rng)].selection
        return candidates[most_accurate(accuracy, model.trials, rng)].selection

    def _model_of(
        self, histories: Sequence[TrialHistory], candidates: Sequence[Candidate]
    ) -> CandidateModel:
        """What is known of the candidates; kept until trials or candidates change."""
        model = self._model
        if (
            model is None
            or not are_same(histories, model.histories)
            or not are_same(candidates, model.candidates)
        ):
            architectures = [candidate.architecture for candidate in candidates]
            fit = self.fits.fit(histories, len(histories) - 1)
            complete = Counter(h.architecture.key for h in histories if h.end is not None)
            model = self._model = CandidateModel(
                histories,
                candidates,
                MixedModel(self.features, histories, architectures, fit),
                np.array([complete[architecture.key] for architecture in architectures]),
                np.array([self._cost_values(candidate.costs) for candidate in candidates]),
            )
        return model

    def prepare(self, histories: Sequence[TrialHistory], seed: int) -> None:
        """Compute what the next selections will need.

        It is called while all workers are busy, so that none waits.
        """
        trials = step_of(len(histories))
        self.fits.fit(histories)
        candidates = self.candidates(histories, seed)
        if self.space.count() > MAX_ARCHITECTURES_ENUMERATED:
            candidates = [*candidates, *self._pool(histories, seed, trials)]
            current = _trials_of_pool(len(histories))
            self._pools = {size: pool for size, pool in self._pools.items() if size >= current}
        for candidate in candidates:
            self.features.effects_of(candidate.architecture)

    def candidates(self, histories: Sequence[TrialHistory], seed: int) -> list[Candidate]:
        """The architectures that may be proposed: all of a small space, a pool of a large one.

        The pool changes as the study grows, but not after every trial, because drawing one takes
        longer than evaluating it.
        """
        if self.space.count() > MAX_ARCHITECTURES_ENUMERATED:
            return self._pool(histories, seed, _trials_of_pool(len(histories)))
        if self._all_candidates is None:
            selections = map(self.space.selection_at, range(self.space.count()))
            self._all_candidates = self._within_limits(
                (self.space.architecture_of(selection), selection) for selection in selections
            )
        return self._all_candidates

    def _pool(self, histories: Sequence[TrialHistory], seed: int, trials: int) -> list[Candidate]:
        """The pool that follows from the first `trials` trials."""
        if trials not in self._pools:
            rng = np.random.default_rng((seed, trials, MAX_ARCHITECTURES_ENUMERATED))
            drawn = self._draw_pool(histories[:trials], rng)
            self._pools[trials] = self._within_limits(drawn)
        return self._pools[trials]

    def _within_limits(self, choices: Iterable[tuple[Architecture, Selection]]) -> list[Candidate]:
        """The distinct architectures that can be used and are within all limits."""
        distinct: dict[Architecture, Selection] = {}
        for architecture, selection in choices:
            distinct.setdefault(architecture, selection)
        candidates = []
        for architecture, selection in distinct.items():
            try:
                costs = self.costs.price(architecture)
            except AttentionError:  # Proposed by another sampler, it would be rejected.
                continue
            if not costs.exceeded_limit(self.limits):
                candidates.append(Candidate(architecture, selection, costs))
        return candidates

    def _draw_pool(
        self, histories: Sequence[TrialHistory], rng: np.random.Generator
    ) -> list[tuple[Architecture, Selection]]:
        size = self.space.count()
        selections = [
            self.space.selection_at(draw_index(size, rng)) for _ in range(RANDOM_CANDIDATES)
        ]
        pool = [(self.space.architecture_of(selection), selection) for selection in selections]
        tried = list(dict.fromkeys(history.architecture for history in histories))
        hyperparameters = self.fits.fit(histories)
        expected = np.zeros(0)
        if tried:
            model = MixedModel(self.features, histories, tried, hyperparameters)
            expected = model.predict_mean()
        for index in np.argsort(-expected, kind="stable")[:PARENTS]:
            if (selection := self._selection_of(tried[index])) is None:
                continue
            pool.append((tried[index], selection))
            pool += [self._mutate(selection, rng) for _ in range(MUTATIONS_PER_PARENT)]
        return pool

    def _mutate(
        self, selection: Selection, rng: np.random.Generator
    ) -> tuple[Architecture, Selection]:
        """Draw one decision again, and the decisions that depend on it."""
        mutated: Selection = {}
        name_to_change = list(selection)[int(rng.integers(len(selection)))]

        def pick(name: str, choices: Sequence[Value]) -> Value:
            value = selection.get(name)
            if name == name_to_change or value is None or value not in choices:
                value = choices[int(rng.integers(len(choices)))]
            mutated[name] = value
            return value

        return self.space.choose_architecture(pick), mutated

    def _cost_values(self, costs: Costs) -> list[float]:
        values = (getattr(costs, key) for key in self.cost_keys)
        return [float(value) for value in values if value is not None]


def draw_index(size: int, rng: np.random.Generator) -> int:
    """A whole number from 0 to `size` - 1, uniformly at random, for a size of any magnitude."""
    if size <= 2**63:  # The largest range that NumPy draws from.
        return int(rng.integers(size))
    bits = size.bit_length()
    while True:  # Less than half of the drawn numbers are too large.
        index = int.from_bytes(rng.bytes((bits + 7) // 8)) >> (-bits % 8)
        if index < size:
            return index


def _trials_of_pool(trials: int) -> int:
    """The number of trials from which the pool follows once `trials` have ended.

    It is one trial behind `step_of`, so that the pool can be prepared while the next
    trial runs.
    """
    return step_of(trials - 1)


def most_accurate(accuracy: Array, trials: npt.NDArray[np.int_], rng: np.random.Generator) -> int:
    """The index of the most accurate architecture, or of the runner-up.

    The runner-up is returned in half of the cases once the most accurate one has
    `TRIALS_BEFORE_RUNNER_UP` complete trials.

    Args:
        accuracy: (n,) sampled accuracies.
        trials: (n,) the number of complete trials of each architecture.
        rng: decides between the two.
    """
    ranked = np.argsort(-accuracy, kind="stable")
    has_rival = len(ranked) > 1 and trials[ranked[0]] >= TRIALS_BEFORE_RUNNER_UP
    return int(ranked[1 if has_rival and rng.random() < 0.5 else 0])


def best_trade_off(accuracy: Array, costs: Array, rng: np.random.Generator) -> int:
    """The index of the best architecture under random weights of all objectives.

    Args:
        accuracy: (n,) sampled accuracies.
        costs: (n, k) to be minimised; each objective is scaled to its range.
        rng: draws the weights.
    """
    losses = np.column_stack([-accuracy, costs])
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    weighted = scaled * rng.dirichlet(np.ones(losses.shape[1]))
    return int(np.argmin(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)))
