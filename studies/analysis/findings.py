"""The results of an analysis: frozen values that tables, figures and reports show.

The unit is the architecture. Its score and gain come from the one estimate of the study
(`estimator.study_estimate`). A score is the value of the metric that the study searches for, of
which more is always better: a fraction for the accuracy, and minus the value of a loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...spaces.architecture import Architecture
from ..objectives import OBJECTIVES, SCORE, Objective, metric_objective
from ..records import State
from .evaluation_images import EvaluationImages
from .score_json import accuracy_beside

MIN_ERRORS_OF_A_GAIN = 2.0
"""An architecture is better than the bare backbone if its gain exceeds this many standard errors.
By the model of the study, the probability of that is then 98 %."""


def standard_error(values: Sequence[float]) -> float | None:
    """The standard error of the mean of some values; None for a single one."""
    if len(values) < 2:
        return None
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


@dataclass(frozen=True)
class ArchitectureSummary:
    """One architecture with a complete trial: what the study's estimate says of it.

    Attributes:
        numbers, seeds: of its complete trials, by number.
        scores, accuracies: of these trials, as measured. They are the same if the accuracy is
            searched for.
        values: `SCORE` as estimated for an average seed; the means of all costs that every trial
            has.
        standard_error: of the score.
        gain: the score minus that of the bare backbone; None for the bare backbone itself, and
            while that has no complete trial.
        gain_error: standard error of the gain, that of the bare backbone included; None where the
            gain is.
        baseline: whether it is one of the study's baselines.
    """

    architecture: Architecture
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    accuracies: tuple[float, ...]
    values: Mapping[str, float]
    standard_error: float
    gain: float | None
    gain_error: float | None
    baseline: bool

    @property
    def number(self) -> int:
        """The number of its first complete trial, which identifies it."""
        return self.numbers[0]

    @property
    def score(self) -> float:
        """The estimate for an average seed."""
        return self.values[SCORE]

    @property
    def accuracy(self) -> float | None:
        """That of `accuracy_beside`; None if a user's own evaluation does not report it."""
        return accuracy_beside(self.score, self.scores, self.accuracies)

    @property
    def is_better_than_bare(self) -> bool | None:
        """Whether its gain is more than the errors of both explain; None without a gain.

        More than `MIN_ERRORS_OF_A_GAIN` standard errors.
        """
        if self.gain is None or self.gain_error is None:
            return None
        return self.gain > MIN_ERRORS_OF_A_GAIN * self.gain_error


@dataclass(frozen=True)
class Noise:
    """How much the score of a trial scatters, as the study's model estimates it.

    Attributes:
        deviation: standard deviation of a single trial beyond the effect of its seed.
        shared: standard deviation of what all trials of a seed have in common.
        repeats: trials beyond the first of their architecture; without any, the estimate is little
            more than the prior of the model.
        seed_effects: by seed, how much better its trials are than those of other seeds.
    """

    deviation: float
    shared: float
    repeats: int
    seed_effects: Mapping[int, float] = field(default_factory=dict)


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
        noise: None while no trial is complete.
        stages: of the backbone; 0 if the number is unknown.
        images: the validation images, as far as they are known.
    """

    objectives: tuple[Objective, ...]
    counts: Mapping[State, int]
    architectures: tuple[ArchitectureSummary, ...]
    front: tuple[ArchitectureSummary, ...]
    bare: ArchitectureSummary | None
    best: ArchitectureSummary | None
    knee: ArchitectureSummary | None
    noise: Noise | None
    stages: int
    images: EvaluationImages = field(default_factory=EvaluationImages)

    @property
    def at_chance(self) -> bool:
        """Whether it is known that no result is above that of guessing."""
        scores = [score for summary in self.architectures for score in summary.scores]
        return bool(scores) and self.images.at_chance(self.metric.key, max(scores), len(scores))

    @property
    def baselines(self) -> tuple[ArchitectureSummary, ...]:
        """The study's baselines, the bare backbone first."""
        baselines = [summary for summary in self.architectures if summary.baseline]
        return tuple(sorted(baselines, key=lambda summary: not summary.architecture.bare))

    @property
    def metric(self) -> Objective:
        """The metric that the study searches for."""
        return metric_objective(self.objectives)

    @property
    def further_metrics(self) -> tuple[Objective, ...]:
        """The metrics that are objectives beside the one that the study searches for."""
        return tuple(o for o in self.objectives if o.is_further)

    @property
    def compared(self) -> tuple[Objective, ...]:
        """What stands beside the score in tables: further metrics, then costs."""
        return (*self.further_metrics, *self.costs)

    @property
    def costs(self) -> tuple[Objective, ...]:
        """The costs that the score is compared with: those of the study, or else parameters."""
        costs = tuple(o for o in self.objectives if o.is_cost)
        return costs or (OBJECTIVES["params"],)
