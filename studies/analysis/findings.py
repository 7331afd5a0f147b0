"""What analysis finds: frozen values that tables, figures and reports show.

The unit is the architecture: one `ArchitectureSummary` is the mean of its complete trials over
their seeds, less what all trials of those seeds share (`seed_effects`). Accuracies and gains are
fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...spaces.architecture import Architecture
from ..objectives import OBJECTIVES, Objective
from ..records import State


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean; None for a single value."""
    if len(values) < 2:
        return None
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


@dataclass(frozen=True)
class Gain:
    """Accuracy above the bare backbone's.

    Attributes:
        mean, standard_error: as fractions; the error needs two pairs, or two trials on both sides.
        pairs: seeds that both have; 0 where the means were compared instead.
    """

    mean: float
    standard_error: float | None
    pairs: int

    @classmethod
    def between(cls, ours: Mapping[int, float], bare: Mapping[int, float]) -> Gain:
        """Of accuracies by seed: paired where both have a seed, else between the means."""
        differences = [ours[seed] - bare[seed] for seed in ours if seed in bare]
        if differences:
            mean = float(np.mean(differences))
            return cls(mean, standard_error(differences), len(differences))
        mine, theirs = tuple(ours.values()), tuple(bare.values())
        one, other = standard_error(mine), standard_error(theirs)
        error = None if one is None or other is None else math.hypot(one, other)
        return cls(float(np.mean(mine) - np.mean(theirs)), error, 0)


@dataclass(frozen=True)
class ArchitectureSummary:
    """One architecture as its complete trials show it.

    Attributes:
        numbers, seeds, accuracies: of those trials as measured, in order of number.
        values: the mean by key (`accuracy`, `params`, …), only what every trial has; accuracy less
            what all trials of those seeds share.
        standard_error: of the mean accuracy; None with a single seed.
        baseline: whether it is one of the study's baselines.
        gain: above the bare backbone; None for the bare backbone, and before it is complete.
    """

    architecture: Architecture
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    values: Mapping[str, float]
    standard_error: float | None
    baseline: bool
    gain: Gain | None = None

    @property
    def number(self) -> int:
        """The trial that stands for it: the first complete one."""
        return self.numbers[0]

    @property
    def accuracy(self) -> float:
        """Mean over the seeds, less what all trials of those seeds share."""
        return self.values["accuracy"]


@dataclass(frozen=True)
class Noise:
    """How much accuracy scatters between seeds of one architecture, pooled over all.

    `deviation` is that of a single trial, beyond what all trials of its seed share (`luck`);
    `freedom` the repeats behind it; `shared` the deviation of what seeds share, 0 until it shows.
    """

    deviation: float
    freedom: int
    shared: float = 0.0


@dataclass(frozen=True)
class MeanGain:
    """Mean gain of the architectures that have one attention in one stage."""

    mean: float
    standard_error: float | None
    count: int


@dataclass(frozen=True)
class AttentionTable:
    """Gains by attention (rows, `none` last) and stage (columns); no cell without evidence.

    Architectures differ elsewhere too, so a cell is an average over company, no effect by itself.
    """

    attentions: tuple[str, ...]
    stages: tuple[str, ...]
    cells: Mapping[tuple[str, str], MeanGain] = field(default_factory=dict)


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind; `messages` holds each different one with the trials it struck."""

    kind: str
    count: int
    messages: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Findings:
    """Everything that tables and figures show of a study."""

    objectives: tuple[Objective, ...]
    counts: Mapping[State, int]
    architectures: tuple[ArchitectureSummary, ...]
    front: tuple[ArchitectureSummary, ...]
    bare: ArchitectureSummary | None
    best: ArchitectureSummary | None
    knee: ArchitectureSummary | None
    noise: Noise | None
    table: AttentionTable

    @property
    def baselines(self) -> tuple[ArchitectureSummary, ...]:
        """The study's own baselines, the bare backbone first."""
        found = [point for point in self.architectures if point.baseline]
        return tuple(sorted(found, key=lambda point: not point.architecture.bare))

    @property
    def costs(self) -> tuple[Objective, ...]:
        """The costs to set accuracy against: the study's own, or parameters if it has none."""
        own = tuple(o for o in self.objectives if o.key != "accuracy")
        return own or (OBJECTIVES["params"],)
