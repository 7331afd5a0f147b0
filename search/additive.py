"""A sampler of our own, for spaces in which the effects of attentions add up.

Proposals are drawn by Thompson sampling (Thompson 1933, doi 10.2307/2332286): one possible truth
is sampled from what `effects.Model` makes of all trials so far, and the architecture that would be
best in it is tried. If that is a known one, it becomes its next seed: the model decides by itself
between something new and a closer look. With several objectives every other trial is for accuracy
alone, and the others weigh the objectives at random (augmented Chebyshev weights as in ParEGO:
Knowles 2006, doi 10.1109/TEVC.2005.851274).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..runners.results import Costs
from ..spaces.architecture import Architecture
from ..spaces.attentions.catalogue import Value
from ..spaces.bound import BoundSpace
from .agenda import Prices
from .effects import Effects, Model, Observation

Array = npt.NDArray[np.float64]
Decisions = dict[str, Value]
Candidate = tuple[Architecture, Decisions, Costs]

SMALL = 1000
"""A space of at most so many architectures is looked at as a whole."""
FRESH, PARENTS, CHILDREN = 200, 10, 20
"""Of a larger one: random architectures, and changes of the most promising ones so far."""


class Additive:
    """Proposes architectures of one space.

    `keys` are the objectives, `limits` upper bounds on costs.
    """

    def __init__(
        self, bound: BoundSpace, keys: Sequence[str], limits: Mapping[str, float], prices: Prices
    ) -> None:
        self.bound, self.limits, self.prices = bound, limits, prices
        self.costs = [key for key in keys if key != "accuracy"]
        self.effects = Effects(bound.site_map)
        self._whole: list[Candidate] | None = None

    def propose(self, seen: Sequence[Observation], seed: int, number: int) -> Decisions | None:
        """Decisions for trial `number`; None if every architecture looked at breaks a limit."""
        rng = np.random.default_rng((seed, number))
        candidates = self._candidates(seen, rng)
        if not candidates or not seen:
            return candidates[rng.integers(len(candidates))][1] if candidates else None
        model = Model(self.effects, seen, [architecture for architecture, _, _ in candidates])
        costs = np.array([self._known(price) for _, _, price in candidates])
        chosen = choose(model.sample(rng), costs, rng, alone=number % 2 == 0)
        return candidates[chosen][1]

    def best(self, seen: Sequence[Observation]) -> Architecture:
        """The architecture that is expected to be the most accurate, of those that were tried."""
        tried = list(dict.fromkeys(o.architecture for o in seen if not o.extra_variance))
        return tried[int(np.argmax(Model(self.effects, seen, tried).expected()))]

    def _candidates(self, seen: Sequence[Observation], rng: np.random.Generator) -> list[Candidate]:
        if self.bound.size() > SMALL:
            return self._priced(self._some(seen, rng))
        if self._whole is None:
            self._whole = self._priced(map(self.bound.at, range(self.bound.size())))
        return self._whole

    def _priced(self, choices: Iterable[Decisions]) -> list[Candidate]:
        """Each architecture once, without those above a limit."""
        found: dict[Architecture, Decisions] = {}
        for decisions in choices:
            found.setdefault(self.bound.decide(decisions), decisions)
        priced = [(a, decisions, self.prices.of(a)) for a, decisions in found.items()]
        return [one for one in priced if not one[2].over(self.limits)]

    def _some(self, seen: Sequence[Observation], rng: np.random.Generator) -> list[Decisions]:
        size = self.bound.size()
        found = [self.bound.at(int(rng.integers(size))) for _ in range(FRESH)]
        best = sorted(seen, key=lambda o: -o.value)
        known = list(dict.fromkeys(o.architecture for o in best))[:PARENTS]
        for decisions in filter(None, map(self.bound.decisions, known)):
            found.append(decisions)
            found += [self._changed(decisions, rng) for _ in range(CHILDREN)]
        return found

    def _changed(self, decisions: Decisions, rng: np.random.Generator) -> Decisions:
        """One decision made anew, and whatever follows from it."""
        changed: Decisions = {}
        name_of_change = list(decisions)[int(rng.integers(len(decisions)))]

        def pick(name: str, choices: Sequence[Value]) -> Value:
            kept = decisions.get(name)
            if name == name_of_change or kept is None or kept not in choices:
                kept = choices[int(rng.integers(len(choices)))]
            changed[name] = kept
            return kept

        self.bound.choose(pick)
        return changed

    def _known(self, price: Costs) -> list[float]:
        values = (getattr(price, key) for key in self.costs)
        return [float(value) for value in values if value is not None]


def choose(accuracy: Array, costs: Array, rng: np.random.Generator, *, alone: bool) -> int:
    """Which of some architectures is best in a sampled truth.

    `accuracy` is (n,), `costs` (n, k) to be minimised. With `alone`, or without costs, the most
    accurate; else by random weights on objectives that are scaled to their range.
    """
    if alone or not costs.shape[1]:
        return int(np.argmax(accuracy))
    losses = np.column_stack([-accuracy, costs])
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    weighted = scaled * rng.dirichlet(np.ones(losses.shape[1]))
    return int(np.argmin(weighted.max(axis=1) + 0.05 * weighted.sum(axis=1)))
