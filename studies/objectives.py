"""What a study may optimise or limit: the names, the keys in JSON, and the directions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import UsageError, did_you_mean
from ..runners.metrics import METRICS, Metric, own_metric

Direction = Literal["maximize", "minimize"]


SCORE = "score"
"""The key of the scores of a study's metric in tables and summaries, whichever metric it is."""


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes:
        name: on the command line; of an own metric with its direction, `miou:max:%`.
        key: in a trial's `values`.
        title, unit: as figures print them.
        metric: of predictions, such as the accuracy; None for a cost.
        is_further: whether it is a metric that is an objective beside the one that is searched for.
    """

    name: str
    key: str
    direction: Direction
    title: str
    unit: str = ""
    metric: Metric | None = None
    is_further: bool = False

    @property
    def stored_name(self) -> str:
        """What a study's row in the database calls it; `objective` reads it."""
        return self.key if self.metric is None else self.metric.text

    @property
    def column(self) -> str:
        """The key of its values in tables and summaries, `SCORE` for the metric that is searched
        for. Those of metrics are scores, of which more is always better."""
        if self.is_further:
            return f"{SCORE} of {self.key}"
        return self.key if self.is_cost else SCORE

    @property
    def noun(self) -> str:
        """The name in a sentence: `accuracy`, `log loss`, `AUROC`, `parameters`."""
        title = self.title if self.metric is None else self.metric.title
        return title if title.isupper() else title[:1].lower() + title[1:]

    @property
    def heading(self) -> str:
        """The name as a heading or the title of a column, without the split."""
        return self.title if self.metric is None else self.metric.title

    def value_of(self, score: float) -> float:
        """A score in the unit of the metric: see `Metric.value_of`."""
        return score if self.metric is None else self.metric.value_of(score)

    def score_of(self, value: float) -> float:
        """The inverse of `value_of`."""
        return value if self.metric is None else self.metric.score_of(value)

    @property
    def is_cost(self) -> bool:
        """Whether it is a cost, and not a metric of predictions."""
        return self.metric is None


def objective_of(metric: Metric) -> Objective:
    """The objective that a metric is."""
    direction: Direction = "maximize" if metric.higher_is_better else "minimize"
    name = metric.text if metric.is_own else metric.key.replace("_", "-")
    objective = Objective(name, metric.key, direction, metric.title, metric=metric)
    return replace(objective, title=f"Validation {objective.noun}")


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        *map(objective_of, METRICS.values()),
        Objective("params", "params", "minimize", "Parameters"),
        Objective("macs", "macs", "minimize", "Multiply-adds"),
        Objective("latency", "latency_ms", "minimize", "Latency", "ms"),
        Objective("memory", "memory_mib", "minimize", "Training memory", "MiB"),
    )
}
BY_KEY = {objective.key: objective for objective in OBJECTIVES.values()}


ACCURACY = OBJECTIVES["accuracy"]


def objectives_of(names: Iterable[str]) -> tuple[Objective, ...]:
    """The objectives of a study; the first metric is the one that is searched for.

    Args:
        names: their names or keys.

    Raises:
        UsageError: there is none of a name.
    """
    objectives: list[Objective] = []
    for each in map(objective, names):
        has_metric = any(not o.is_cost for o in objectives)
        is_further = has_metric and not each.is_cost
        objectives.append(replace(each, is_further=True) if is_further else each)
    return tuple(objectives)


def metric_objective(objectives: Iterable[Objective]) -> Objective:
    """The objective that is a metric of predictions; each study has one of them."""
    return next((o for o in objectives if not o.is_cost), ACCURACY)


def objective(name: str) -> Objective:
    """The objective of that name or key, or of the own metric that the text describes.

    Raises:
        UsageError: there is none; the message names the closest.
    """
    known = OBJECTIVES.get(name) or BY_KEY.get(name)
    if known is not None:
        return known
    metric = own_metric(name)
    if metric is None:
        raise UsageError(f"unknown objective {name!r}{did_you_mean(name, OBJECTIVES)}")
    if metric.key in BY_KEY or metric.key in OBJECTIVES:
        raise UsageError(
            f"{name!r}: {metric.key} has a meaning of its own; write {metric.key} alone, or choose "
            "another name"
        )
    return objective_of(metric)


def is_objective(name: str) -> bool:
    """Whether `objective` knows the name."""
    try:
        objective(name)
    except UsageError:
        return False
    return True


def is_cost(key: str) -> bool:
    """Whether a key of a trial's values is that of a cost."""
    return key in BY_KEY and BY_KEY[key].is_cost
