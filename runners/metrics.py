"""Metrics: their names, keys in JSON, and which way is better.

`METRICS` are those of a classification, which `classification_metrics` computes. A user's own
evaluation reports others, which `own_metric` reads from a text such as `miou:max:%`. This module
imports no NumPy, since options are made from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_METRIC_NAME_LENGTH = 40


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: in JSON and in the database.
        title: as tables and figures print it.
        short_title: where there is little space, on a terminal.
        higher_is_better: False for a loss.
        needs_probabilities: whether predicted classes do not suffice.
        in_percent: whether it is printed in percent.
        is_share: whether it is the share of images that are judged correctly, so that it alone
            tells how much it scatters with the choice of images.
        gain_unit: of a difference: points, or none for a number that has no unit.
        is_own: whether a user's evaluation defines it. Its values have any magnitude, and chance
            and perfection are not known.
    """

    key: str
    title: str
    short_title: str
    higher_is_better: bool = True
    needs_probabilities: bool = False
    in_percent: bool = True
    is_share: bool = False
    gain_unit: str = "points"
    is_own: bool = False

    @property
    def text(self) -> str:
        """What names it in a study: the key, or of an own one the text that `own_metric` reads."""
        if not self.is_own:
            return self.key
        unit = "%" if self.in_percent else self.gain_unit
        return ":".join(filter(None, (self.key, "max" if self.higher_is_better else "min", unit)))

    def score_of(self, value: float) -> float:
        """The value as a score, of which more is always better: a loss changes its sign."""
        return value if self.higher_is_better else -value

    def value_of(self, score: float) -> float:
        """The inverse of `score_of`."""
        return score if self.higher_is_better else -score


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("accuracy", "Accuracy", "accuracy", is_share=True),
        Metric("top5", "Top-5 accuracy", "top-5", needs_probabilities=True, is_share=True),
        Metric("balanced_accuracy", "Balanced accuracy", "balanced"),
        Metric("macro_f1", "Macro F1", "macro F1"),
        Metric("auroc", "AUROC", "AUROC", needs_probabilities=True, in_percent=False, gain_unit=""),
        Metric(
            "log_loss",
            "Log loss",
            "log loss",
            higher_is_better=False,
            needs_probabilities=True,
            in_percent=False,
            gain_unit="nats",
        ),
    )
}
"""By key, in the order of tables."""
CALIBRATED_LOG_LOSS = Metric(
    "calibrated_log_loss",
    "Calibrated log loss",
    "calibrated loss",
    higher_is_better=False,
    needs_probabilities=True,
    in_percent=False,
    gain_unit="nats",
)
"""The log loss at the temperature with which it is lowest. Learning rates are tuned by it."""
REPORTED_METRICS = {**METRICS, CALIBRATED_LOG_LOSS.key: CALIBRATED_LOG_LOSS}
"""By key, those whose score a training can report after each epoch."""
TOP = 5
"""The top-5 accuracy has a meaning for more than this many classes."""
UNKNOWN_CLASSES = 1000
"""Assumed where a study does not say how many classes its data have."""


_OWN_METRIC = re.compile(
    rf"([A-Za-z]\w{{0,{MAX_METRIC_NAME_LENGTH - 1}}}):(max|min)(?::([^\s:]{{1,12}}))?", re.ASCII
)


def own_metric(text: str) -> Metric | None:
    """The metric of a user's own evaluation that a text describes; None if it is no such text.

    Args:
        text: `NAME:max` or `NAME:min`, then `:UNIT` if there is one, such as `miou:max:%` and
            `error:min:mm`. The values of a metric in `%` are fractions from 0 to 1.
    """
    match = _OWN_METRIC.fullmatch(text)
    if match is None:
        return None
    name, direction, unit = match.groups()
    return Metric(
        key=name,
        title=_title(name),
        short_title=name.replace("_", " "),
        higher_is_better=direction == "max",
        in_percent=unit == "%",
        gain_unit="points" if unit == "%" else unit or "",
        is_own=True,
    )


def _title(name: str) -> str:
    """The title of a user's own metric; letters stay as they are if one of them is a capital."""
    title = name.replace("_", " ")
    return title if name != name.lower() else title[:1].upper() + title[1:]


def recorded_metric(key: str) -> Metric:
    """The metric of a recorded value; of a user's own one, only the name is known."""
    if key in METRICS:
        return METRICS[key]
    return Metric(
        key, _title(key), key.replace("_", " "), in_percent=False, gain_unit="", is_own=True
    )


def in_order(keys: Iterable[str]) -> list[str]:
    """Keys of recorded metrics, each once: those of `METRICS` in its order, then all others."""
    distinct = dict.fromkeys(keys)
    known = [key for key in METRICS if key in distinct]
    return known + sorted(key for key in distinct if key not in METRICS)


def perfect_score(metric: Metric) -> float:
    """The score of a network that makes no error; infinite if it is not known."""
    if metric.is_own and metric.higher_is_better and not metric.in_percent:
        return math.inf
    return 1.0 if metric.higher_is_better else 0.0


def chance_score(metric: Metric, num_classes: int | None) -> float:
    """The score of guessing, if all classes are equally frequent; minus infinity if not known.

    Args:
        metric: the metric.
        num_classes: of the data; None if it is not known.
    """
    if metric.is_own:
        return 0.0 if metric.in_percent and metric.higher_is_better else -math.inf
    classes = num_classes or UNKNOWN_CLASSES
    match metric.key:
        case "auroc":
            return 0.5
        case "log_loss":
            return -math.log(classes)
        case "top5":
            return min(1.0, TOP / classes)
    return 0.0 if num_classes is None else 1 / classes
