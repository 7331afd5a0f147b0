"""Ordinary least squares, with intervals for linear combinations of the coefficients.

Values are design @ coefficients + noise with one variance, which is estimated from all rows. The
caller builds the design and asks for contrasts: weights for a sum of coefficients. A design may be
rank-deficient; contrasts that it does not identify have no estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.special

LEVEL = 0.05
"""Level of tests; intervals cover the true value with probability 1 − `LEVEL`."""
ROUNDING_VARIANCE = 1e-20
"""A residual variance below this is a rounding error and counts as zero."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """The estimate of a contrast with its standard error and 95 % interval, in the values' unit."""

    mean: float
    standard_error: float
    low: float
    high: float


class LeastSquares:
    """A linear model fitted to values.

    Args:
        design: (values, coefficients); may be empty.
        values: (values,).

    Attributes:
        coefficients: (coefficients,); the shortest solution if the design does not identify them.
        freedom: degrees of freedom of the residuals; with 0, the noise cannot be estimated.
        deviation: standard deviation of the noise, in the values' unit; 0 if `freedom` is 0.
    """

    def __init__(self, design: Array, values: Array) -> None:
        inverse: Array = np.asarray(np.linalg.pinv(design), dtype=np.float64)
        self.coefficients = inverse @ values
        self._spread = inverse @ inverse.T
        self._identified = inverse @ design
        rank = int(np.linalg.matrix_rank(design)) if design.size else 0
        self.freedom = len(values) - rank
        residuals = values - design @ self.coefficients
        squares = float(residuals @ residuals)
        squares = 0.0 if squares < ROUNDING_VARIANCE * len(values) else squares
        self.deviation = float(np.sqrt(squares / self.freedom)) if self.freedom else 0.0

    def estimate(self, contrast: Array) -> Estimate | None:
        """The sum of the coefficients with weights `contrast` (coefficients,).

        None if the design does not identify it, or leaves no degrees of freedom for its error.
        """
        if not self.freedom or not np.allclose(contrast @ self._identified, contrast, atol=1e-6):
            return None
        mean = float(contrast @ self.coefficients)
        error = self.deviation * float(np.sqrt(contrast @ self._spread @ contrast))
        reach = float(scipy.special.stdtrit(self.freedom, 1 - LEVEL / 2)) * error
        return Estimate(mean, error, mean - reach, mean + reach)
