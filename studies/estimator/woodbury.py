"""The equations of a mixed model with many groups, without writing out their matrix.

Observations share a few effects with all others and some with their own group alone:

    covariance = S Sᵀ + blocks,   S of shape (observations, effects), a block for each group

So the inverse needs one small matrix for each group, and one of the number of effects (Woodbury's
formula: Henderson et al. 1959, doi 10.2307/2527669, put it to use for such models). Time grows with
the observations, where a matrix of all of them would take their third power.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int_]


class WoodburyCovariance:
    """A covariance that can be divided by.

    Args:
        shared: (n, k), how much of each effect of variance one an observation has.
        groups: (n,), whole numbers: the group of each observation.
        block: for some observations of one group (their indices), what they have in common beyond
            the shared effects, and noise: positive definite.
    """

    def __init__(self, shared: Array, groups: Whole, block: Callable[[Whole], Array]) -> None:
        order = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[order])) + 1
        self.shared = shared
        self._blocks = [
            (at, scipy.linalg.cholesky(block(at), lower=True, check_finite=False))
            for at in np.split(order, cuts)
            if len(at)
        ]
        self._divided = self._by_blocks(shared)
        inner = np.eye(shared.shape[1]) + shared.T @ self._divided
        self._inner = scipy.linalg.cho_factor(inner, lower=True, check_finite=False)

    def solve(self, values: Array) -> Array:
        """The covariance's inverse times values (n,) or (n, k)."""
        divided = self._by_blocks(values)
        within = scipy.linalg.cho_solve(self._inner, self.shared.T @ divided, check_finite=False)
        found: Array = divided - self._divided @ within
        return found

    def _by_blocks(self, values: Array) -> Array:
        found = np.empty_like(values)
        for at, factor in self._blocks:
            found[at] = scipy.linalg.cho_solve((factor, True), values[at], check_finite=False)
        return found
