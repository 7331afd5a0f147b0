"""What a study may optimise or limit: the names, the keys in JSON, and the directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import UsageError, did_you_mean

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes:
        name: on the command line.
        key: in a trial's `values`.
        title, unit: as figures print them.
    """

    name: str
    key: str
    direction: Direction
    title: str
    unit: str = ""


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("accuracy", "accuracy", "maximize", "Validation accuracy"),
        Objective("params", "params", "minimize", "Parameters"),
        Objective("macs", "macs", "minimize", "Multiply-adds"),
        Objective("latency", "latency_ms", "minimize", "Latency", "ms"),
        Objective("memory", "memory_mib", "minimize", "Training memory", "MiB"),
    )
}
BY_KEY = {objective.key: objective for objective in OBJECTIVES.values()}


def objective(name: str) -> Objective:
    """The objective of that name or key; UsageError names the closest."""
    objective = OBJECTIVES.get(name) or BY_KEY.get(name)
    if objective is None:
        raise UsageError(f"unknown objective {name!r}{did_you_mean(name, OBJECTIVES)}")
    return objective
