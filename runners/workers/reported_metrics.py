"""What a user's own evaluation reports: checked values by the name of their metric."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import TrialError
from ...sanitize import quote_value
from ..metrics import MAX_METRIC_NAME_LENGTH, Metric
from ..results import EpochReport
from ..user_evaluation import UserEvaluation, named_metric

LEARNING_VALUES = ("train_loss", "val_loss", "lr")
"""Names of reported values that are part of every epoch, and no metrics."""
MAX_METRICS = 100
ACCURACY = "accuracy"


@dataclass(frozen=True)
class ReportedMetrics:
    """Values that an evaluation has reported.

    Attributes:
        metrics: by the key of the metric, in its own unit.
        learning: those of `LEARNING_VALUES` that were reported.
    """

    metrics: Mapping[str, float]
    learning: Mapping[str, float] = field(default_factory=dict)

    def score(self, searched: Metric) -> float | None:
        """The score of the metric that is searched for; None if that is the accuracy."""
        if searched.key == ACCURACY:
            return None
        return searched.score_of(self.metrics[searched.key])

    @property
    def accuracy(self) -> float:
        """The accuracy, a fraction; NaN if none was reported."""
        return self.metrics.get(ACCURACY, math.nan)

    def epoch_report(self, epoch: int, searched: Metric, seconds: float) -> EpochReport:
        """The report of an epoch.

        Args:
            epoch: counted from 1.
            searched: the metric that the study searches for.
            seconds: that the epoch took.
        """
        return EpochReport(
            epoch=int(epoch),
            train_loss=self.learning.get("train_loss", math.nan),
            accuracy=self.accuracy,
            val_loss=self.learning.get("val_loss", math.nan),
            lr=self.learning.get("lr", math.nan),
            seconds=seconds,
            metric_score=self.score(searched),
        )


def read_metrics(values: Any, evaluation: UserEvaluation, subject: str) -> ReportedMetrics:
    """Check what an evaluation has reported.

    Args:
        values: a number for the metric that is searched for, or numbers by name.
        evaluation: names the metrics.
        subject: who has reported them, as the beginning of an error's sentence.

    Raises:
        TrialError: `diverged` if a value is not finite, `invalid` if it is no number or out of the
            range of its metric.
    """
    searched = evaluation.searched
    if not isinstance(values, Mapping):
        values = {searched.key: values}
    if len(values) > MAX_METRICS:
        raise TrialError("invalid", f"{subject} {len(values)} metrics; {MAX_METRICS} are recorded")
    metrics: dict[str, float] = {}
    learning: dict[str, float] = {}
    known = {metric.key: metric for metric in map(named_metric, evaluation.metrics)}
    for name, value in values.items():
        if not isinstance(name, str) or not 0 < len(name) <= MAX_METRIC_NAME_LENGTH:
            raise TrialError(
                "invalid",
                f"{subject} a metric called {quote_value(name)}; a name is a text of at most "
                f"{MAX_METRIC_NAME_LENGTH} characters",
            )
        number = _read_number(name, value, subject)
        if name in LEARNING_VALUES:
            learning[name] = number
            continue
        if not math.isfinite(number):
            raise TrialError("diverged", f"{subject} that {name} is {number}")
        metric = known.get(name)
        is_fraction = name == ACCURACY or (metric is not None and metric.in_percent)
        if is_fraction and not 0 <= number <= 1:
            raise TrialError(
                "invalid",
                f"{subject} that {name} is {number:g}; it is a fraction from 0 to 1, so divide "
                "percent by 100",
            )
        metrics[name] = number
    return ReportedMetrics(metrics, learning)


def _read_number(name: str, value: Any, subject: str) -> float:
    if hasattr(value, "item") and getattr(value, "size", 1) != 0:  # Of NumPy or torch.
        try:
            value = value.item()
        except (ValueError, RuntimeError):
            value = None if value is None else f"an array of {tuple(value.shape)}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        shown = (
            value
            if isinstance(value, str) and value.startswith("an array")
            else (f"{quote_value(value)}, a {type(value).__name__}")
        )
        raise TrialError("invalid", f"{subject} that {name} is {shown}; it has to be a number")
    return float(value)
