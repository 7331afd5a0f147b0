"""The results of an analysis: frozen values that tables, figures and reports show.

The unit is the architecture: an `ArchitectureSummary` is the mean of its complete trials over their
seeds, with seed effects removed (`seed_effects`). Accuracies and gains are fractions.
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
    """The standard error of the mean of some values; None for a single one."""
    if len(values) < 2:
        return None
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


@dataclass(frozen=True)
class Gain:
    """The accuracy of an architecture minus that of the bare backbone.

    Attributes:
        mean: a fraction.
        standard_error: a fraction; None with fewer than two pairs, or, without pairs, with fewer
            than two trials of either.
        pairs: the number of seeds that both have; 0 if their means were compared instead.
    """

    mean: float
    standard_error: float | None
    pairs: int

    @classmethod
    def between(cls, accuracies: Mapping[int, float], bare: Mapping[int, float]) -> Gain:
        """The gain from accuracies by seed: the mean over common seeds, else between the means."""
        differences = [accuracies[seed] - bare[seed] for seed in accuracies if seed in bare]
        if differences:
            mean = float(np.mean(differences))
            return cls(mean, standard_error(differences), len(differences))
        values, bare_values = tuple(accuracies.values()), tuple(bare.values())
        error, bare_error = standard_error(values), standard_error(bare_values)
        combined = None if error is None or bare_error is None else math.hypot(error, bare_error)
        return cls(float(np.mean(values) - np.mean(bare_values)), combined, 0)


@dataclass(frozen=True)
class ArchitectureSummary:
    """One architecture, summarised over its complete trials.

    Attributes:
        numbers, seeds, accuracies: of those trials, as measured, by number.
        values: means by key (`accuracy`, `params`, …) of the values that every trial has; seed
            effects are removed from the accuracy.
        standard_error: of the mean accuracy; None with a single seed.
        baseline: whether it is one of the study's baselines.
        gain: over the bare backbone; None for the bare backbone itself, and while that has no
            complete trial.
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
        """The number of its first complete trial, which identifies it."""
        return self.numbers[0]

    @property
    def accuracy(self) -> float:
        """The mean over seeds, with seed effects removed."""
        return self.values["accuracy"]


@dataclass(frozen=True)
class Noise:
    """How much accuracy scatters between trials of one architecture, pooled over architectures.

    Attributes:
        deviation: standard deviation of a single trial beyond its seed effect, a fraction.
        freedom: degrees of freedom of this estimate.
        shared: standard deviation of the seed effects, a fraction; 0 until they are significant.
    """

    deviation: float
    freedom: int
    shared: float = 0.0


@dataclass(frozen=True)
class MeanGain:
    """The mean gain of `count` architectures, a fraction."""

    mean: float
    standard_error: float | None
    count: int


@dataclass(frozen=True)
class AttentionTable:
    """Mean gains by attention (rows, `none` last) and stage or position (columns).

    A cell that no architecture was trained for is left out. Architectures also differ elsewhere, so
    a cell is not the effect of its attention alone.
    """

    attentions: tuple[str, ...]
    stages: tuple[str, ...]
    cells: Mapping[tuple[str, str], MeanGain] = field(default_factory=dict)


@dataclass(frozen=True)
class FailureGroup:
    """Failures of one kind; `messages` maps each distinct message to the numbers of its trials."""

    kind: str
    count: int
    messages: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Findings:
    """The results of a study that tables and figures show.

    Attributes:
        counts: trials by state.
        architectures: all with a complete trial, in the order of their first one; a live analysis
            of a very large study holds those to be drawn.
        front: the Pareto front, cheapest first.
        bare: the bare backbone.
        best: see `best`.
        knee: the best compromise on the front.
        noise: None while no architecture has two seeds.
        table: mean gains by attention and stage.
    """

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
        """The study's baselines, the bare backbone first."""
        baselines = [summary for summary in self.architectures if summary.baseline]
        return tuple(sorted(baselines, key=lambda summary: not summary.architecture.bare))

    @property
    def costs(self) -> tuple[Objective, ...]:
        """The costs that accuracy is compared with: those of the study, or else parameters."""
        costs = tuple(o for o in self.objectives if o.key != "accuracy")
        return costs or (OBJECTIVES["params"],)


def gain_error(gain: Gain, noise: Noise | None) -> float | None:
    """Standard error of a gain, a fraction; None if it is unknown.

    With three or more pairs of trials it comes from their differences, with fewer from the noise
    floor.
    """
    if gain.pairs >= 3 or noise is None:
        return gain.standard_error
    return noise.deviation * math.sqrt(2 / max(1, gain.pairs))
