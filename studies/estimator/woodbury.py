"""Solving with the covariance of a mixed model of many groups, without forming the matrix.

Observations share some effects with all others, and some with their own group alone:

    covariance = S Sᵀ + D,   S of shape (observations, effects), D block-diagonal by group

By Woodbury's formula, solving with it needs one small matrix per group and one whose size is the
number of effects; Henderson et al. (1959, doi 10.2307/2527669) introduced this for mixed models.
The time grows linearly with the number of observations, instead of with its third power.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int_]


class WoodburyCovariance:
    """A covariance matrix, stored as factors with which linear systems are solved.

    Args:
        shared: (n, k), S: the loading of each observation on each effect of variance 1.
        groups: (n,), the group of each observation, as whole numbers.
        block: returns the block of D for the indices of one group's observations: the covariance
            beyond the shared effects, noise included. It must be positive definite.
    """

    def __init__(self, shared: Array, groups: Whole, block: Callable[[Whole], Array]) -> None:
        order = np.argsort(groups, kind="stable")
        cuts = np.flatnonzero(np.diff(groups[order])) + 1
        self.shared = shared
        self._blocks = [
            (rows, scipy.linalg.cholesky(block(rows), lower=True, check_finite=False))
            for rows in np.split(order, cuts)
            if len(rows)
        ]
        self._solved_shared = self._solve_blocks(shared)
        inner = np.eye(shared.shape[1]) + shared.T @ self._solved_shared
        self._inner = scipy.linalg.cho_factor(inner, lower=True, check_finite=False)

    def solve(self, values: Array) -> Array:
        """The inverse of the covariance times `values`, (n,) or (n, k)."""
        by_blocks = self._solve_blocks(values)
        effects = scipy.linalg.cho_solve(self._inner, self.shared.T @ by_blocks, check_finite=False)
        solution: Array = by_blocks - self._solved_shared @ effects
        return solution

    def _solve_blocks(self, values: Array) -> Array:
        solution = np.empty_like(values)
        for rows, factor in self._blocks:
            solution[rows] = scipy.linalg.cho_solve(
                (factor, True), values[rows], check_finite=False
            )
        return solution
