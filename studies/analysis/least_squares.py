"""Ordinary least squares, and how sure it is of what is made of its coefficients.

Values are design @ coefficients + noise of one variance, which is pooled over all rows. Whoever
uses it builds the design, and asks by contrasts: weights of the coefficients whose sum is wanted.
The design may be short of rank; then some contrasts have no answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

LEVEL = 0.05
"""Intervals leave out so much probability, and what is claimed is wrong with at most that."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """One contrast, in the unit of the values: its standard error and its 95 % interval."""

    mean: float
    standard_error: float
    low: float
    high: float


class LeastSquares:
    """A linear model fitted to values.

    Attributes:
        freedom: degrees of freedom of the residuals; 0 while there is nothing to estimate them
            from.
        deviation: standard deviation of a single value around the model, in the values' unit; 0
            without freedom.
    """

    def __init__(self, design: Array, values: Array) -> None:
        """`design` is (values, coefficients), `values` is (values,); both may be empty."""
        inverse: Array = np.asarray(np.linalg.pinv(design), dtype=np.float64)
        self._fitted = inverse @ values
        self._spread = inverse @ inverse.T
        self._told = inverse @ design
        rank = int(np.linalg.matrix_rank(design)) if design.size else 0
        self.freedom = len(values) - rank
        residuals = values - design @ self._fitted
        squares = float(residuals @ residuals)
        # Below what the arithmetic resolves there was no scatter at all.
        squares = 0.0 if squares < 1e-20 * len(values) else squares
        self.deviation = float(np.sqrt(squares / self.freedom)) if self.freedom else 0.0

    def estimate(self, contrast: Array) -> Estimate | None:
        """The sum of the coefficients by these weights, (coefficients,).

        None if the design does not tell it, or leaves no freedom to say how sure it is.
        """
        if not self.freedom or not np.allclose(contrast @ self._told, contrast, atol=1e-6):
            return None
        mean = float(contrast @ self._fitted)
        error = self.deviation * float(np.sqrt(contrast @ self._spread @ contrast))
        reach = float(scipy.stats.t.ppf(1 - LEVEL / 2, self.freedom)) * error
        return Estimate(mean, error, mean - reach, mean + reach)
