"""What a study may optimise or limit: the names, the keys in JSON, and the directions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from ..errors import UsageError, did_you_mean
from ..runners.metrics import METRICS, Metric

Direction = Literal["maximize", "minimize"]


SCORE = "score"
"""The key of the scores of a study's metric in tables and summaries, whichever metric it is."""


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes:
        name: on the command line.
        key: in a trial's `values`.
        title, unit: as figures print them.
        metric: of predictions, such as the accuracy; None for a cost.
    """

    name: str
    key: str
    direction: Direction
    title: str
    unit: str = ""
    metric: Metric | None = None

    @property
    def column(self) -> str:
        """The key of its values in tables and summaries: `SCORE` for a metric."""
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

    @property
    def is_cost(self) -> bool:
        """Whether it is a cost, and not a metric of predictions."""
        return self.metric is None


def _objective_of(metric: Metric) -> Objective:
    direction: Direction = "maximize" if metric.higher_is_better else "minimize"
    objective = Objective(
        metric.key.replace("_", "-"), metric.key, direction, metric.title, metric=metric
    )
    return replace(objective, title=f"Validation {objective.noun}")


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        *map(_objective_of, METRICS.values()),
        Objective("params", "params", "minimize", "Parameters"),
        Objective("macs", "macs", "minimize", "Multiply-adds"),
        Objective("latency", "latency_ms", "minimize", "Latency", "ms"),
        Objective("memory", "memory_mib", "minimize", "Training memory", "MiB"),
    )
}
BY_KEY = {objective.key: objective for objective in OBJECTIVES.values()}


ACCURACY = OBJECTIVES["accuracy"]


def metric_objective(objectives: Iterable[Objective]) -> Objective:
    """The objective that is a metric of predictions; each study has one of them."""
    return next((o for o in objectives if not o.is_cost), ACCURACY)


def objective(name: str) -> Objective:
    """The objective of that name or key; UsageError names the closest."""
    objective = OBJECTIVES.get(name) or BY_KEY.get(name)
    if objective is None:
        raise UsageError(f"unknown objective {name!r}{did_you_mean(name, OBJECTIVES)}")
    return objective
