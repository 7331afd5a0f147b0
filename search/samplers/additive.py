"""A sampler of our own, for spaces in which the effects of attentions add up.

Proposals are drawn by Thompson sampling (Thompson 1933, doi 10.2307/2332286): one possible truth
is sampled from what `mixed_model.MixedModel` makes of all trials so far, and the architecture that
would be best in it is tried. If that is a known one, it becomes its next seed: the model decides by
itself between something new and a closer look; one that has been looked at often makes room for the
runner-up half of the time (the idea of top-two sampling: Russo, arXiv 1602.08448). With several
objectives every other trial is for accuracy alone, and the others weigh the objectives at random
(augmented Chebyshev weights as in ParEGO: Knowles 2006, doi 10.1109/TEVC.2005.851274).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...runners.results import Costs
from ...spaces.architecture import Architecture
from ...spaces.attentions.entry import Value
from ...spaces.search_space.bound_space import BoundSpace
from ...studies.estimator.features import ArchitectureFeatures
from ...studies.estimator.history import TrialHistory
from ...studies.estimator.hyperparameters import HyperparameterFits, fitted_trial_count
from ...studies.estimator.mixed_model import MixedModel
from ..trial_source import CostLookup

Array = npt.NDArray[np.float64]
Decisions = dict[str, Value]
Choice = tuple[Architecture, Decisions]
Candidate = tuple[Architecture, Decisions, Costs]

SMALL = 1000
"""A space of at most so many architectures is looked at as a whole."""
FRESH, PARENTS, CHILDREN = 100, 10, 10
"""Of a larger one: random architectures, and changes of the most promising ones so far."""
OFTEN = 4
"""Trials of the most accurate architecture after which others are worth more than still another."""


class Additive:
    """Proposes architectures of one space.

    `keys` are the objectives, `limits` upper bounds on costs.
    """

    def __init__(
        self,
        bound: BoundSpace,
        keys: Sequence[str],
        limits: Mapping[str, float],
        prices: CostLookup,
    ) -> None:
        self.bound, self.limits, self.prices = bound, limits, prices
        self.costs = [key for key in keys if key != "accuracy"]
        self.effects = ArchitectureFeatures(bound.site_map)
        self._whole: list[Candidate] | None = None
        self._fits = HyperparameterFits(self.effects)
        self._pools: dict[int, list[Candidate]] = {}
        self._decisions = lru_cache(maxsize=10_000)(bound.selection_of)

    def propose(self, seen: Sequence[TrialHistory], seed: int, number: int) -> Decisions | None:
        """Decisions for trial `number`; None if every architecture looked at breaks a limit."""
        rng = np.random.default_rng((seed, number))
        candidates = self._candidates(seen, seed)
        if not candidates or not seen:
            return candidates[rng.integers(len(candidates))][1] if candidates else None
        model = self._model(seen, [architecture for architecture, _, _ in candidates])
        costs = np.array([self._known(price) for _, _, price in candidates])
        truth = model.draw_sample(rng)
        if number % 2 and self.costs:
            return candidates[traded(truth, costs, rng)][1]
        tried = Counter(history.architecture for history in seen if history.end is not None)
        trials = np.array([tried[architecture] for architecture, _, _ in candidates])
        return candidates[most_accurate(truth, trials, rng)][1]

    def prepare(self, seen: Sequence[TrialHistory], seed: int) -> None:
        """Compute what the next proposals will need, while a trial trains and nobody waits."""
        first = fitted_trial_count(len(seen))
        self._fits.fit(seen)
        soon = self._candidates(seen, seed)
        if self.bound.count() > SMALL:
            soon = [*soon, *self._pool(seen, seed, first)]
            needed = _learned(len(seen))
            self._pools = {step: pool for step, pool in self._pools.items() if step >= needed}
        for architecture, _, _ in soon:
            self.effects.effects_of(architecture)

    def _model(self, seen: Sequence[TrialHistory], judged: Sequence[Architecture]) -> MixedModel:
        return MixedModel(self.effects, seen, judged, self._fits.fit(seen, len(seen) - 1))

    def _candidates(self, seen: Sequence[TrialHistory], seed: int) -> list[Candidate]:
        """What may be proposed: all of a small space, of a large one some that change as it learns.

        To look for others after every trial would take longer than to judge them.
        """
        if self.bound.count() > SMALL:
            return self._pool(seen, seed, _learned(len(seen)))
        if self._whole is None:
            every = map(self.bound.selection_at, range(self.bound.count()))
            self._whole = self._priced((self.bound.architecture_of(one), one) for one in every)
        return self._whole

    def _pool(self, seen: Sequence[TrialHistory], seed: int, first: int) -> list[Candidate]:
        if first not in self._pools:
            some = self._some(seen[:first], np.random.default_rng((seed, first, SMALL)))
            self._pools[first] = self._priced(some)
        return self._pools[first]

    def _priced(self, choices: Iterable[Choice]) -> list[Candidate]:
        """Each architecture once, without those above a limit."""
        found: dict[Architecture, Decisions] = {}
        for architecture, decisions in choices:
            found.setdefault(architecture, decisions)
        priced = [(a, decisions, self.prices.price(a)) for a, decisions in found.items()]
        return [one for one in priced if not one[2].exceeded_limit(self.limits)]

    def _some(self, seen: Sequence[TrialHistory], rng: np.random.Generator) -> list[Choice]:
        size = self.bound.count()
        fresh = [self.bound.selection_at(int(rng.integers(size))) for _ in range(FRESH)]
        found = [(self.bound.architecture_of(decisions), decisions) for decisions in fresh]
        tried = list(dict.fromkeys(history.architecture for history in seen))
        powers = self._fits.fit(seen)
        expected = (
            MixedModel(self.effects, seen, tried, powers).predict_mean() if tried else np.zeros(0)
        )
        known = [tried[i] for i in np.argsort(-expected, kind="stable")[:PARENTS]]
        for architecture in known:
            if (decisions := self._decisions(architecture)) is None:
                continue
            found.append((architecture, decisions))
            found += [self._changed(decisions, rng) for _ in range(CHILDREN)]
        return found

    def _changed(self, decisions: Decisions, rng: np.random.Generator) -> Choice:
        """One decision made anew, and whatever follows from it."""
        changed: Decisions = {}
        name_of_change = list(decisions)[int(rng.integers(len(decisions)))]

        def pick(name: str, choices: Sequence[Value]) -> Value:
            kept = decisions.get(name)
            if name == name_of_change or kept is None or kept not in choices:
                kept = choices[int(rng.integers(len(choices)))]
            changed[name] = kept
            return kept

        return self.bound.choose_architecture(pick), changed

    def _known(self, price: Costs) -> list[float]:
        values = (getattr(price, key) for key in self.costs)
        return [float(value) for value in values if value is not None]


def _learned(trials: int) -> int:
    """`fitted_trial_count` a trial later, so that it can be prepared while the next one trains."""
    return fitted_trial_count(trials - 1)


def most_accurate(accuracy: Array, trials: npt.NDArray[np.int_], rng: np.random.Generator) -> int:
    """Which of some architectures is the most accurate in a sampled truth.

    Both are (n,), `trials` how many each has had. If the best has had many, every other time the
    one behind it.
    """
    ranked = np.argsort(-accuracy, kind="stable")
    behind = len(ranked) > 1 and trials[ranked[0]] >= OFTEN and rng.random() < 0.5
    return int(ranked[1 if behind else 0])


def traded(accuracy: Array, costs: Array, rng: np.random.Generator) -> int:
    """Which of some architectures is best in a sampled truth by random weights on all objectives.

    `accuracy` is (n,), `costs` (n, k) to be minimised; each is scaled to its range.
    """
    losses = np.column_stack([-accuracy, costs])
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    weighted = scaled * rng.dirichlet(np.ones(losses.shape[1]))
    return int(np.argmin(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)))
