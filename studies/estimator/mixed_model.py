"""A Gaussian mixed model of a study: architecture effects, seeds as random blocks, and noise.

The final accuracy of trial t, which trains architecture a with seed s, is modelled as

    accuracy = level + worth[a] + trial[t] + seed[s] + noise

`worth` is the sum of random effects of the architecture's features (`features.KINDS`) and of a
random effect of the architecture itself. `seed` is a random block: what all trials of one seed have
in common, because they share initial weights, data order and augmentation.

A trial is observed through several channels: its final accuracy, if it is complete, and its signal
at each rung that it reached (in a study without a pruner, after half of its epochs). In channel c

    y[t, c] = level[c] + slope[c] · (worth[a] + trial[t]) + own[c, a] + seed[c, s] + noise[c, t]

where the final accuracy has slope 1 and no `own` effects. A rung has effects of its own, of the
architecture and of its attentions in its stages, because an architecture that learns fast at first
may end with a low accuracy. Without these effects, the model would treat the signal of a rung as
the final accuracy, the more so the more trials there are. With them, the rungs of a stopped trial
count as much as they predict, and those of a complete trial improve its prediction.

Every effect is Gaussian, with one variance for each kind. Variances and slopes maximise the
marginal likelihood of the observations under a weak prior (type-II maximum likelihood: Rasmussen &
Williams, "Gaussian Processes for Machine Learning", 2006, section 5.4). The variance of a kind that
explains nothing shrinks to zero; architectures with several seeds separate noise from effects. All
trials that reached a rung are observed there, so the final accuracies of the stopped ones are
missing at random, and stopping does not bias the estimates (Rubin 1976,
doi 10.1093/biomet/63.3.581).

A long study is divided by `modelled_trials.divide_trials`. The effects above are learned from a
bounded set of trials. Each further complete trial then updates the accuracy of its own architecture
alone (`further_trials`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ...spaces.architecture import Architecture
from .features import ArchitectureFeatures
from .further_trials import FurtherTrials, OwnTrials
from .history import TrialHistory
from .marginal_likelihood import fit_hyperparameters
from .modelled_trials import divide_histories
from .observations import END, Array, Ints, Observations
from .posterior import Posterior
from .priors import (
    KINDS_AT_RUNGS,
    LEVEL_VARIANCE,
    MIN_NOISE,
    Hyperparameters,
    prior_hyperparameters,
)
from .woodbury import WoodburyCovariance


class MixedModel:
    """The posterior of architectures' accuracies, given the histories of trials.

    Args:
        features: of the architectures of this backbone.
        histories: trials that were observed, by number.
        architectures: (n,) whose accuracies to predict; they need not have trials.
        hyperparameters: those that differ from the prior; by default they are fitted.

    Attributes:
        observed: the o observations of the t trials that shared effects are learned from.
        modelled: the t trials.
        architecture_ids: (t + n,) a number for each distinct architecture, of the trials and then
            of `architectures`.
        designs: by kind of effect, (t + n, effects).
    """

    def __init__(
        self,
        features: ArchitectureFeatures,
        histories: Sequence[TrialHistory],
        architectures: Sequence[Architecture],
        hyperparameters: Hyperparameters | None = None,
    ) -> None:
        modelled, further = divide_histories(histories)
        self.modelled = modelled
        self.observed, self.count = Observations.of(modelled), len(modelled)
        trained = [history.architecture for history in modelled]
        keys = [architecture.key for architecture in (*trained, *architectures)]
        ids = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        self.architecture_ids = np.array([ids[key] for key in keys], dtype=int)
        self.designs = features.design_matrices(trained, architectures)
        self.hyperparameters = prior_hyperparameters(self.observed) | (
            fit_hyperparameters(self) if hyperparameters is None else hyperparameters
        )
        predicted_ids = {key: ids[key] for key in keys[self.count :]}
        self._further = FurtherTrials.of(further, predicted_ids)

    def predict_mean(self) -> Array:
        """(n,) the expected accuracy of each architecture, a fraction."""
        if self._further is not None:
            return self.posterior().mean
        return self._to_accuracy(self._regress(self.observed.y[:, None])[:, 0])

    def posterior(self, reference: int | None = None) -> Posterior:
        """The posterior of each accuracy, and its covariance with that of one architecture.

        Args:
            reference: the index of that architecture; None if no covariance is needed.
        """
        posterior = self._modelled_posterior(reference)
        return posterior if self._own_trials is None else posterior.update(self._own_trials)

    def _modelled_posterior(self, reference: int | None = None) -> Posterior:
        """The posterior without the further trials.

        The prior covariances of accuracies and observations are a product: of accuracies with the
        worths of trials and the level, times the loadings of observations on these. If there are
        more architectures than trials, the product is not formed.
        """
        ones = np.ones((len(self.architecture_ids) - self.count, 1))
        of_trials = np.hstack([self._prior_worth_covariances(slice(0, self.count)), ones])
        loadings = np.zeros((self.count + 1, len(self.observed.y)))
        loadings[self.observed.trials, np.arange(len(self.observed.y))] = self.slopes()
        loadings[-1] = LEVEL_VARIANCE * self.observed.at_end
        at = slice(0, 0) if reference is None else slice(reference, reference + 1)
        if len(of_trials) <= self.count:
            covariances = of_trials @ loadings
            solved = self._covariance.solve(covariances.T)
            mean = solved.T @ self.observed.y
            explained = np.einsum("no,on->n", covariances, solved)
            explained_with = covariances @ solved[:, at]
        else:
            weights = self._covariance.solve(loadings.T)
            mean = of_trials @ (weights.T @ self.observed.y)
            by_trials = of_trials @ (loadings @ weights)
            explained = np.einsum("nt,nt->n", by_trials, of_trials)
            explained_with = by_trials @ of_trials[at].T
        squares = self.observed.scale**2
        variance = np.maximum(self._prior_variances() - explained, 0.0)
        covariance = np.zeros(len(mean))
        if reference is not None:
            covariance = self._prior_covariances(reference) - explained_with[:, 0]
        return Posterior(
            self._to_accuracy(mean), squares * variance, squares * covariance, reference
        )

    @cached_property
    def _modelled_variance(self) -> Array:
        """(n,) of the posterior without the further trials."""
        return self._modelled_posterior().variance

    @cached_property
    def _own_trials(self) -> OwnTrials | None:
        """What the further trials say of each predicted architecture; None without such trials."""
        if self._further is None:
            return None
        summary = self._further.summarize(
            self.seed_effects, self.trial_deviation**2, self.seed_deviation**2
        )
        return summary.of(self.architecture_ids[self.count :])

    @cached_property
    def seed_effects(self) -> dict[int, float]:
        """By seed, how much more accurate its trials are than those of other seeds, a fraction."""
        weights = self._covariance.solve(self.observed.y)[self.observed.at_end]
        seeds, group = np.unique(self.observed.seeds[self.observed.at_end], return_inverse=True)
        effects = self.observed.scale * self.hyperparameters["seed"] * np.bincount(group, weights)
        return dict(zip(seeds.tolist(), effects.tolist(), strict=True))

    @property
    def architecture_variance(self) -> float:
        """Variance of what an architecture has beyond its features, before any of its trials."""
        return self.observed.scale**2 * self.hyperparameters["architecture"]

    @property
    def trial_deviation(self) -> float:
        """Standard deviation of a final accuracy beyond the effect of its seed, a fraction."""
        values = self.hyperparameters
        variance = values["trial"] + values["noise at the end"] + MIN_NOISE
        return self.observed.scale * math.sqrt(variance)

    @property
    def seed_deviation(self) -> float:
        """Standard deviation of what all trials of a seed have in common, a fraction."""
        return self.observed.scale * math.sqrt(self.hyperparameters["seed"])

    def posterior_covariance(self, chosen: Ints) -> Array:
        """(m, m) the posterior covariance of the accuracies of some architectures.

        Args:
            chosen: (m,) their indices.
        """
        prior = self._prior_worth_covariances(self.count + chosen)[chosen] + LEVEL_VARIANCE
        loadings = self._covariance_with_observations()[chosen]
        explained = loadings @ self._covariance.solve(loadings.T)
        covariance: Array = self.observed.scale**2 * (prior - (explained + explained.T) / 2)
        if self._own_trials is not None:
            variance = self._modelled_variance
            remaining = 1 - self._own_trials.weights(variance)[chosen]
            covariance *= np.outer(remaining, remaining)
            np.fill_diagonal(covariance, variance[chosen] * remaining)
        return covariance

    def draw_sample(self, rng: np.random.Generator) -> Array:
        """(n,) one draw from the posterior: an accuracy for each architecture."""
        sample: Array = self.draw_samples(rng, 1)[0]
        return sample

    def draw_samples(self, rng: np.random.Generator, count: int) -> Array:
        """(count, n) draws from the posterior: an accuracy for each architecture.

        Matheron's rule (Wilson et al., arXiv 2002.09309): a sample of the prior, corrected by the
        regression on the difference between the observations and the sample.
        """
        variances, observed = self.hyperparameters, self.observed

        def normal(rows: int) -> Array:
            return rng.standard_normal((rows, count))

        worth = np.zeros((len(self.architecture_ids), count))
        for kind, design in self.designs.items():
            worth += math.sqrt(variances[kind]) * (design @ normal(design.shape[1]))
        of_architecture = normal(self.architecture_ids.max(initial=-1) + 1)
        worth += math.sqrt(variances["architecture"]) * of_architecture[self.architecture_ids]
        of_trial = math.sqrt(variances["trial"]) * normal(self.count)
        values = self.slopes()[:, None] * (worth[: self.count] + of_trial)[observed.trials]
        for labels, variance in self.groups():
            _, group = np.unique(labels, axis=0, return_inverse=True)
            effects = normal(group.max(initial=0) + 1)
            values += np.sqrt(variance)[:, None] * effects[group]
            if labels.shape[1] == 1:  # The levels of the channels, that of `END` first.
                level = math.sqrt(LEVEL_VARIANCE) * effects[0]
        for loadings in self._loadings_at_rungs():
            values += loadings @ normal(loadings.shape[1])
        values += np.sqrt(self.noise())[:, None] * normal(len(values))
        drawn = worth[self.count :] + level + self._regress(observed.y[:, None] - values)
        accuracies = self._to_accuracy(drawn)
        if self._own_trials is not None:
            variance = self._modelled_variance
            accuracies = self._own_trials.update_draws(accuracies, variance, normal)
        return accuracies.T

    def _to_accuracy(self, standardised: Array) -> Array:
        return self.observed.mean + self.observed.scale * standardised

    def slopes(self, hyperparameters: Hyperparameters | None = None) -> Array:
        """(o,) the slope of the channel of each observation; by default with the model's own."""
        values = hyperparameters or self.hyperparameters
        by_rung = {rung: values[f"slope {rung}"] for rung in self.observed.rungs}
        return np.array([{END: 1.0, **by_rung}[c] for c in self.observed.channels.tolist()])

    def noise(self, hyperparameters: Hyperparameters | None = None) -> Array:
        """(o,) the noise variance of each observation; by default with the model's own."""
        values = hyperparameters or self.hyperparameters
        at_end, at_rung = values["noise at the end"], values["noise at a rung"]
        return np.where(self.observed.at_end, at_end, at_rung) + MIN_NOISE

    def groups(self, hyperparameters: Hyperparameters | None = None) -> list[tuple[Ints, Array]]:
        """Effects that groups of observations share: by seed, architecture at a rung, and channel.

        Returns:
            For each of the three, labels (o, columns), whose rows are equal within a group, and
            variances (o,).
        """
        values, observed = hyperparameters or self.hyperparameters, self.observed
        ones = np.ones(len(observed.y))
        by_seed = np.column_stack([observed.channels, observed.seeds])
        by_architecture = np.column_stack(
            [observed.channels, self.architecture_ids[observed.trials]]
        )
        at_rung = np.where(observed.at_end, 0.0, values["architecture at a rung"])
        return [
            (by_seed, values["seed"] * ones),
            (by_architecture, at_rung),
            (observed.channels[:, None], LEVEL_VARIANCE * ones),
        ]

    def _loadings_at_rungs(self) -> list[Array]:
        """(o, effects) for each kind and rung: the loadings of the rung's own effects."""
        observed = self.observed
        return [
            math.sqrt(self.hyperparameters[f"{kind} at a rung"])
            * (self.designs[kind][observed.trials] * (observed.channels == rung)[:, None])
            for kind in KINDS_AT_RUNGS
            for rung in observed.rungs
        ]

    @cached_property
    def kernels(self) -> dict[str, Array]:
        """By kind, (t, t): the covariance of the worth of two trials, for a variance of 1."""
        of_trials = {kind: design[: self.count] for kind, design in self.designs.items()}
        ids = self.architecture_ids[: self.count]
        return {
            **{kind: design @ design.T for kind, design in of_trials.items()},
            "architecture": (ids[:, None] == ids).astype(float),
            "trial": np.eye(self.count),
        }

    @cached_property
    def _covariance(self) -> WoodburyCovariance:
        """The covariance of all observations, with a block for each architecture.

        A block holds the effects of the architecture itself, of its trials, and of the
        architecture at each rung. All other effects are shared between blocks.
        """
        variances, slopes, noise = self.hyperparameters, self.slopes(), self.noise()
        observed = self.observed
        shared = [
            math.sqrt(variances[kind]) * slopes[:, None] * design[observed.trials]
            for kind, design in self.designs.items()
        ]
        by_seed, _, by_channel = self.groups()
        shared += [
            _indicators(labels) * np.sqrt(variance)[:, None]
            for labels, variance in (by_seed, by_channel)
        ]
        shared += self._loadings_at_rungs()

        def block(rows: Ints) -> Array:
            trials, channels, slope = observed.trials[rows], observed.channels[rows], slopes[rows]
            is_trial = trials[:, :, None] == trials[:, None, :]
            worth = variances["architecture"] + variances["trial"] * is_trial
            covariance: Array = slope[:, :, None] * worth * slope[:, None, :]
            covariance += noise[rows][:, :, None] * np.eye(rows.shape[1])
            covariance += (
                variances["architecture at a rung"]
                * (channels[:, :, None] == channels[:, None, :])
                * ~observed.at_end[rows][:, None, :]
            )
            return covariance

        return WoodburyCovariance(np.hstack(shared), self.architecture_ids[observed.trials], block)

    def _regress(self, residuals: Array) -> Array:
        """(n, k): the expected level and worth of the architectures, given residuals (o, k)."""
        weights = self._covariance.solve(residuals)
        by_trial = _sum_groups(self.slopes()[:, None] * weights, self.observed.trials, self.count)
        ids = self.architecture_ids
        by_architecture = _sum_groups(by_trial, ids[: self.count], ids.max(initial=-1) + 1)
        worth: Array = self.hyperparameters["architecture"] * by_architecture[ids[self.count :]]
        for kind, design in self.designs.items():
            worth += self.hyperparameters[kind] * (
                design[self.count :] @ (design[: self.count].T @ by_trial)
            )
        worth += LEVEL_VARIANCE * weights[self.observed.at_end].sum(axis=0)
        return worth

    def _covariance_with_observations(self) -> Array:
        """(n, o): the prior covariance of the accuracy of each architecture with what is observed,
        standardised."""
        of_trials = self._prior_worth_covariances(slice(0, self.count))
        covariance: Array = of_trials[:, self.observed.trials] * self.slopes()
        covariance[:, self.observed.at_end] += LEVEL_VARIANCE
        return covariance

    def _prior_covariances(self, reference: int) -> Array:
        """(n,): the prior covariance of each accuracy with that of one of them, standardised."""
        row = self.count + reference
        covariances: Array = self._prior_worth_covariances(slice(row, row + 1))[:, 0]
        return covariances + LEVEL_VARIANCE

    def _prior_worth_covariances(self, rows: slice | Ints) -> Array:
        """(n, rows): the prior covariance of the worth of each architecture and of some rows."""
        ids, variances = self.architecture_ids, self.hyperparameters
        worth: Array = np.where(ids[self.count :, None] == ids[rows], variances["architecture"], 0)
        for kind, design in self.designs.items():
            worth += variances[kind] * (design[self.count :] @ design[rows].T)
        return worth

    def _prior_variances(self) -> Array:
        """(n,): the prior variance of each accuracy, standardised."""
        variances = self.hyperparameters
        total = np.full(len(self.architecture_ids) - self.count, LEVEL_VARIANCE)
        for kind, design in self.designs.items():
            total += variances[kind] * np.einsum("nk,nk->n", *[design[self.count :]] * 2)
        return total + variances["architecture"]


def _sum_groups(values: Array, groups: Ints, count: int) -> Array:
    """(count, k): rows (n, k) summed over each of `count` groups (n,)."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums


def _indicators(labels: Ints) -> Array:
    """A column for every distinct row of labels, 1 in the rows that equal it."""
    _, group = np.unique(labels, axis=0, return_inverse=True)
    return np.eye(group.max(initial=-1) + 1)[group]
