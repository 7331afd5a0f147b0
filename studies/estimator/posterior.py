"""The posterior of the accuracies of architectures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .further_trials import OwnTrials
from .observations import Array, Ints


@dataclass(frozen=True)
class Posterior:
    """The posterior of the accuracies of n architectures, for an average seed, in fractions.

    Attributes:
        mean: (n,) expected accuracies.
        variance: (n,) of each accuracy.
        covariance: (n,) of each accuracy with that of the reference; zeros without one.
        reference: the index of an architecture; None if there is no reference.
    """

    mean: Array
    variance: Array
    covariance: Array
    reference: int | None

    def update(self, own: OwnTrials) -> Posterior:
        """The posterior given further trials, each of which concerns its own architecture.

        Args:
            own: what the further trials of each of the n architectures say.
        """
        weights = own.weights(self.variance)
        mean = self.mean + weights * (own.means - self.mean)
        variance = self.variance * (1 - weights)
        covariance = self.covariance * (1 - weights)
        if self.reference is not None:
            covariance = covariance * (1 - weights[self.reference])
            covariance[self.reference] = variance[self.reference]
        return Posterior(mean, variance, covariance, self.reference)

    def select(self, indices: Ints, reference: int | None) -> Posterior:
        """The posterior of some of the architectures.

        Args:
            indices: (m,) of these.
            reference: the position of the reference among them; None if it is not there.
        """
        values = (self.mean[indices], self.variance[indices], self.covariance[indices])
        return Posterior(*values, reference)

    @property
    def difference_error(self) -> Array:
        """(n,) the standard error of each accuracy minus that of the reference."""
        if self.reference is None:
            return np.full(len(self.mean), np.nan)
        variance = self.variance + self.variance[self.reference] - 2 * self.covariance
        errors: Array = np.sqrt(np.maximum(variance, 0.0))
        return errors
