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
        block: returns the blocks of D, (m, s, s), of m groups with s observations each, for the
            indices of these, (m, s): the covariance beyond the shared effects, noise included. They
            must be positive definite.
    """

    def __init__(self, shared: Array, groups: Whole, block: Callable[[Whole], Array]) -> None:
        self.shared = shared
        # There are hundreds of small groups, and few sizes: those of a size are solved together.
        self._blocks = [
            (rows, np.linalg.inv(np.linalg.cholesky(block(rows))))
            for rows in _groups_by_size(groups)
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
        columns = values if values.ndim == 2 else values[:, None]
        solution = np.empty_like(columns)
        for rows, inverse in self._blocks:
            solution[rows] = inverse.transpose(0, 2, 1) @ (inverse @ columns[rows])
        return solution.reshape(values.shape)


def _groups_by_size(groups: Whole) -> list[Whole]:
    """For each number of observations that a group has, (m, s): the indices of such groups'."""
    order = np.argsort(groups, kind="stable")
    _, begins, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    return [order[begins[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]
