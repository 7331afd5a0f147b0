"""A Bayesian model of a space in which the effects of attentions add up.

An architecture's accuracy is taken as a sum: an effect of each attention, of each attention in each
stage, a trend over the ratio, an effect of each position, of each pair of attentions in two stages,
and something of the architecture's own; a trial adds what all trials of its seed share, and noise.
Every kind of effect is
Gaussian with a variance of its own (random effects), and the variances are those that make the
observations likeliest under a weak prior (type-II maximum likelihood: Rasmussen & Williams,
"Gaussian Processes for Machine Learning", 2006, section 5.4). So a kind that explains nothing fades
away, and noise is told from effects by architectures with several seeds.

A trial that was pruned counts as well: what it would have reached is predicted from its rung by the
trials that passed it, with the variance of that prediction added to its noise.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from ..spaces.architecture import Architecture
from ..spaces.sites import SiteMap

Array = npt.NDArray[np.float64]

PRIOR = {
    "attention": 0.2,
    "stage": 0.3,
    "ratio": 0.05,
    "position": 0.1,
    "pair": 0.1,
    "itself": 0.1,
    "seed": 0.1,
    "noise": 0.3,
}
"""Expected variance of each kind of effect, in parts of the variance of all observations."""
WEIGHT = 1.0
"""Standard deviation of the prior on a log variance."""
REACH = 5.0
"""A log variance is looked for so far from its prior mean: beyond, trials that agree to the last
digit would take all noise for nothing, and the equations could not be solved.
"""
PASSED = 4
"""So many trials have to have passed a rung before those that it stopped are used."""
ENOUGH = 6
"""Observations from which on the variances are fitted."""


@dataclass(frozen=True)
class Course:
    """A trial that has ended: accuracy after each epoch, and whether it was trained to its end."""

    architecture: Architecture
    seed: int
    curve: Mapping[int, float]
    complete: bool


@dataclass(frozen=True)
class Observation:
    """What a trial says: a final accuracy, or one predicted from its rung with more variance."""

    architecture: Architecture
    value: float
    extra_variance: float = 0.0
    seed: int = 0


def observations(trials: Iterable[Course]) -> list[Observation]:
    """What trials say.

    A trial that was stopped at epoch r is worth a + b · accuracy(r), the regression of the final
    accuracy on that after epoch r over the trials that went on.
    """
    given = [trial for trial in trials if trial.curve]
    finals = [(t.curve, t.curve[max(t.curve)]) for t in given if t.complete]
    found = []
    for trial in given:
        last = max(trial.curve)
        value, variance = trial.curve[last], 0.0
        if not trial.complete:
            pairs = [(curve[last], final) for curve, final in finals if last in curve]
            if len(pairs) < PASSED:
                continue
            value, variance = _predicted(value, pairs)
        found.append(Observation(trial.architecture, value, variance, trial.seed))
    return found


def _predicted(at: float, pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    x, y = np.array(pairs).T
    spread = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / spread if spread > 0 else 0.0
    slope = max(0.0, slope)
    rest = y - y.mean() - slope * (x - x.mean())
    freedom = max(1, len(pairs) - 2)
    leverage = 1 + 1 / len(pairs) + ((at - x.mean()) ** 2 / (len(pairs) * spread) if spread else 0)
    variance = float((rest**2).sum()) / freedom * leverage
    return float(y.mean() + slope * (at - x.mean())), variance


class Effects:
    """What an architecture consists of: by kind of effect, how much of each one it has."""

    def __init__(self, site_map: SiteMap) -> None:
        self.site_map = site_map
        self.of = lru_cache(maxsize=20_000)(self._of)

    def _of(self, architecture: Architecture) -> dict[str, dict[Any, float]]:
        stages = self.site_map.blocks
        found: dict[str, defaultdict[Any, float]] = {kind: defaultdict(float) for kind in PRIOR}
        by_stage: dict[int, defaultdict[str, float]] = {s: defaultdict(float) for s in stages}
        for insertion in architecture.insertions:
            name, settings = insertion.attention, dict(insertion.options)
            octaves = (math.log2(float(settings["r"])) - 3) / 2 if "r" in settings else 0.0
            blocks = {(site.stage, site.block) for site in self.site_map.select(insertion)}
            for stage in stages:
                share = sum(at == stage for at, _ in blocks) / stages[stage]
                by_stage[stage][name] += share
                part = share / len(stages)
                found["attention"][name] += part
                found["stage"][stage, name] += share
                found["ratio"][name] += part * octaves
                found["ratio"][stage, name] += share * octaves
                found["position"][name, insertion.position] += part
                found["position"][stage, insertion.position] += share
        for (s, these), (t, those) in itertools.combinations(by_stage.items(), 2):
            for one, other in itertools.product(these, those):
                found["pair"][s, one, t, other] += these[one] * those[other]
        found["itself"][architecture.key] = 1.0
        return {kind: {k: v for k, v in columns.items() if v} for kind, columns in found.items()}


class Model:
    """What a set of observations says about architectures, observed ones among them.

    `architectures` are those to be judged; accuracies are fractions.
    """

    def __init__(
        self,
        effects: Effects,
        seen: Sequence[Observation],
        architectures: Sequence[Architecture],
    ) -> None:
        values = np.array([o.value for o in seen])
        self.mean = float(values.mean())
        self.scale = max(float(values.std()), 1e-4)
        self.y = (values - self.mean) / self.scale
        self.extra = np.array([o.extra_variance for o in seen]) / self.scale**2
        everything = [*(o.architecture for o in seen), *architectures]
        self.designs = {
            kind: _design([effects.of(a)[kind] for a in everything])
            for kind in PRIOR
            if kind not in ("seed", "noise")
        }
        # What is judged has no seed: it is the mean over all that there could be.
        self.designs["seed"] = _one_hot([o.seed for o in seen], len(everything))
        self.count = len(seen)
        told = {kind: design[: self.count] for kind, design in self.designs.items()}
        self.kernels = {kind: design @ design.T for kind, design in told.items()}
        self.variances = self._fitted() if len(seen) >= ENOUGH else dict(PRIOR)

    def sample(self, rng: np.random.Generator) -> Array:
        """One possible truth: an accuracy for each architecture.

        Drawn by Matheron's rule (Wilson et al., arXiv 2002.09309): a sample of the prior, corrected
        by what it gets wrong about the observations.
        """
        truth = np.zeros(len(next(iter(self.designs.values()))))
        for kind, design in self.designs.items():
            drawn = rng.standard_normal(design.shape[1])
            truth += math.sqrt(self.variances[kind]) * (design @ drawn)
        noise = np.sqrt(self.variances["noise"] + self.extra)
        told = truth[: self.count] + noise * rng.standard_normal(self.count)
        return self._in_points(truth[self.count :] + self._pull(self.y - told))

    def expected(self) -> Array:
        """The expected accuracy of each architecture."""
        return self._in_points(self._pull(self.y))

    def _in_points(self, standard: Array) -> Array:
        return self.mean + self.scale * standard

    def _pull(self, residuals: Array) -> Array:
        """What residuals of the observations make of the architectures to be judged."""
        factor = _cholesky(self.variances, self.kernels, self.extra)
        weights = scipy.linalg.cho_solve((factor, True), residuals)
        answer = np.zeros(len(next(iter(self.designs.values()))) - self.count)
        for kind, design in self.designs.items():
            here = design[: self.count].T @ weights
            answer += self.variances[kind] * (design[self.count :] @ here)
        return answer

    def _fitted(self) -> dict[str, float]:
        kinds = list(PRIOR)
        centre = np.log([PRIOR[kind] for kind in kinds])
        kernels = {**self.kernels, "noise": np.eye(self.count)}

        def cost(logs: Array) -> tuple[float, Array]:
            variances = dict(zip(kinds, np.exp(logs), strict=True))
            factor = _cholesky(variances, kernels, self.extra)
            weights = scipy.linalg.cho_solve((factor, True), self.y)
            inverse = scipy.linalg.cho_solve((factor, True), np.eye(self.count))
            away = (logs - centre) / WEIGHT
            value = 0.5 * self.y @ weights + np.log(np.diag(factor)).sum() + 0.5 * away @ away
            slopes = [
                0.5 * variances[k] * ((inverse * kernels[k]).sum() - weights @ kernels[k] @ weights)
                for k in kinds
            ]
            return float(value), np.array(slopes) + away / WEIGHT

        fitted = scipy.optimize.minimize(
            cost,
            centre,
            jac=True,
            method="L-BFGS-B",
            bounds=[(middle - REACH, middle + REACH) for middle in centre],
            options={"maxiter": 30},
        )
        return dict(zip(kinds, np.exp(fitted.x), strict=True))


def _cholesky(variances: Mapping[str, float], kernels: Mapping[str, Array], extra: Array) -> Array:
    total = np.diag(variances["noise"] + extra + 1e-8)
    for kind, kernel in kernels.items():
        if kind != "noise":
            total = total + variances[kind] * kernel
    factor: Array = scipy.linalg.cholesky(total, lower=True)
    return factor


def _one_hot(labels: Sequence[int], rows: int) -> Array:
    """A row for each label, and rows of zeros after them."""
    columns = sorted(set(labels))
    design = np.zeros((rows, len(columns)))
    for row, label in enumerate(labels):
        design[row, columns.index(label)] = 1.0
    return design


def _design(rows: Sequence[Mapping[Any, float]]) -> Array:
    """Rows by columns, scaled so that a row's squares sum to one on average."""
    columns = {key: i for i, key in enumerate(dict.fromkeys(k for row in rows for k in row))}
    design = np.zeros((len(rows), max(1, len(columns))))
    for i, row in enumerate(rows):
        for key, value in row.items():
            design[i, columns[key]] = value
    norm = float((design**2).sum(axis=1).mean())
    return design / math.sqrt(norm) if norm > 0 else design
