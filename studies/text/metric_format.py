"""The scores of one metric as people read them, in text and on the axes of figures.

A score is a fraction, or the value of a metric without percent; that of a loss is its negative, so
that more is always better. People read a loss as it is, and a gain is positive where the loss is
lower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..objectives import ACCURACY, Objective
from . import formatting

DECIMALS = 3
"""Of metrics that are not printed in percent."""
SIGNIFICANT_DIGITS = 4
"""Of a user's own metrics, which have any magnitude, where no error says how many digits count."""
ERROR_DIGITS = 2
"""Significant digits of the standard deviation of a metric of a user's own."""


@dataclass(frozen=True)
class MetricFormat:
    """How scores of a metric, and differences of them, are printed and drawn."""

    metric: Objective = ACCURACY

    @property
    def in_percent(self) -> bool:
        """Whether values are printed in percent, and gains in points."""
        return self.metric.metric is None or self.metric.metric.in_percent

    @property
    def is_own(self) -> bool:
        """Whether a user's evaluation defines the metric, so that values have any magnitude."""
        return self.metric.metric is not None and self.metric.metric.is_own

    @property
    def is_reversed(self) -> bool:
        """Whether a lower value is better."""
        return self.metric.direction == "minimize"

    @property
    def unit(self) -> str:
        """The unit of a gain: `points`, `nats`, or nothing."""
        return "points" if self.metric.metric is None else self.metric.metric.gain_unit

    @property
    def in_unit(self) -> str:
        """The unit of gains in words, after a space: ` in points`, or nothing.

        For a loss it adds which way is better.
        """
        words = f" in {self.unit}" if self.unit else ""
        if self.is_reversed:
            words += f" (a lower {self.metric.noun} is a positive gain)"
        return words

    def value(self, score: float | None, error: float | None = None) -> str:
        """A score: `75.7 ± 0.8 %`, an AUROC `0.953 ± 0.004`, a log loss `0.412 ± 0.020`.

        Args:
            score: None if it is unknown.
            error: its standard error.
        """
        if self.in_percent or score is None:
            return formatting.percent(score, error)
        if self.is_own:
            return self.with_unit(_significant(self.metric.value_of(score), error))
        number = f"{self.metric.value_of(score):.{DECIMALS}f}".replace("-", formatting.MINUS)
        return number + _plus_minus(error)

    def gain(
        self,
        difference: float,
        error: float | None = None,
        *,
        signed: bool = True,
        decimals: int | None = None,
    ) -> str:
        """A difference of two scores without its unit: `+9.3 ± 0.8`, `−0.012`.

        Args:
            difference: of two scores.
            error: its standard error.
            signed: whether a positive difference has a plus sign.
            decimals: digits after the point, 1 by default; only of a metric in percent.
        """
        if self.in_percent:
            places = 1 if decimals is None else decimals
            return formatting.points(difference, error, signed=signed, decimals=places)
        if self.is_own:
            return ("+" if signed and difference >= 0 else "") + _significant(difference, error)
        number = f"{difference:{'+' if signed else ''}.{DECIMALS}f}"
        return number.replace("-", formatting.MINUS) + _plus_minus(error)

    def gain_with_unit(
        self, difference: float, error: float | None = None, *, signed: bool = True
    ) -> str:
        """A difference of two scores: `+9.3 ± 0.8 points`, `+0.012 ± 0.004 nats`.

        Args:
            difference: of the scores.
            error: its standard error; None leaves it out.
            signed: whether a positive difference has a sign.
        """
        return self.with_unit(self.gain(difference, error, signed=signed))

    def deviation(self, value: float) -> str:
        """A standard deviation of scores with its unit, such as the noise of a trial."""
        if self.is_own and not self.in_percent:
            return self.with_unit(f"{float(f'{value:.{ERROR_DIGITS}g}'):g}")
        return self.gain_with_unit(value, signed=False)

    def with_unit(self, gain: str) -> str:
        """A printed gain with its unit."""
        return f"{gain} {self.unit}" if self.unit else gain

    # Figures draw percent and points, and a loss with its axis reversed, so that better is up.

    def on_axis(self, score: float) -> float:
        """Where a score is drawn."""
        return 100 * score if self.in_percent else self.metric.value_of(score)

    def length(self, difference: float) -> float:
        """How long a difference of two scores is drawn."""
        return 100 * difference if self.in_percent else difference

    @property
    def axis(self) -> dict[str, Any]:
        """Settings of an axis of scores."""
        return {"autorange": "reversed"} if self.is_reversed else {}

    @property
    def axis_title(self) -> str:
        """The title of an axis of scores: `Validation accuracy (%)`."""
        if self.in_percent:
            return f"{self.metric.title} (%)"
        return self.gain_title(self.metric.title) if self.is_own else self.metric.title

    @property
    def hover(self) -> str:
        """Plotly's format of a value on the vertical axis."""
        if self.in_percent:
            return "%{y:.1f} %"
        return f"%{{y:.{SIGNIFICANT_DIGITS}g}}" if self.is_own else f"%{{y:.{DECIMALS}f}}"

    def gain_title(self, text: str) -> str:
        """The title of an axis of gains: `Gain over the bare backbone (points)`."""
        return f"{text} ({self.unit})" if self.unit else text


def _plus_minus(error: float | None) -> str:
    if error is None:
        return ""
    # An error that would be rounded to zero is printed with one more digit.
    reads_as_zero = 0 < error < 0.5 * 10**-DECIMALS
    return f" ± {error:.{DECIMALS + reads_as_zero}f}"


def _significant(value: float, error: float | None) -> str:
    """A value of any magnitude, to two digits of its error or to `SIGNIFICANT_DIGITS`."""
    if error:
        return formatting.with_error(value, error)
    number = f"{value:.{SIGNIFICANT_DIGITS}g}".replace("-", formatting.MINUS)
    return number if error is None else f"{number} ± {error:g}"


def objective_value(values: Mapping[str, float], objective: Objective) -> str:
    """The value of an objective beside the score: a further metric, or a cost with its error.

    Args:
        values: of an architecture, by `Objective.column`, and errors of costs.
        objective: not the metric that is searched for.
    """
    if objective.is_further:
        return MetricFormat(objective).value(values.get(objective.column))
    return formatting.cost_of(values, objective)
