"""The confirmation of a search: its finalists with fresh seeds on the test split.

The result of a search is a hypothesis: the best of many looks better than it is. Confirming trials
retrain the finalists and the baselines with seeds that the search never used, usually for longer,
and are evaluated once on the test split. Two questions are asked: which architectures differ from
the bare backbone, and, only if any does, which differ from each other. Each is corrected for its
number of comparisons by Holm's procedure. A claim is about new seeds and new images, so both are
part of its error: see `image_sampling`, and `split_means` if there are several test splits. All
functions here are pure functions of records and of how images were judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import scipy

from ...runners.image_scores import JudgedImages
from ...spaces.architecture import Architecture
from ..objectives import Objective
from ..records import StudyRecord, TrialRecord
from ..stored_config import ConfirmPlan
from .contenders import Contender, ContenderDifferences
from .evaluation_images import EvaluationImages
from .findings import ArchitectureSummary, Findings
from .image_sampling import Precision
from .paired_comparisons import Difference
from .pareto import pareto_front
from .score_json import images_json, score_json

BASELINE_WEIGHT = 0.25
"""The weight of a baseline in Holm's correction; a finalist has 1. The search proposes the
finalists, so the four textbook baselines together get only as large a share of the level as one
finalist. If one attention is better by three standard errors, this raises the probability of
finding it from 80 to 84 % (simulated by `benchmarks/claims.py`)."""
MIN_RANKED_ARCHITECTURES = 4
"""With fewer architectures, the agreement of ranks is not computed."""


@dataclass(frozen=True)
class Agreement:
    """How well the ranks of search and confirmation agree: `rho` is Spearman's correlation."""

    rho: float
    architectures: int
    searched_epochs: int
    confirmed_epochs: int


@dataclass(frozen=True)
class Confirmation:
    """The results of all confirming trials of a study.

    Attributes:
        contenders: those with complete trials, the bare backbone among them, best first.
        pairs: differences between architectures with attention, first minus second; empty unless
            one of them differs from the bare backbone.
        epochs: of a confirming trial.
        seeds: the planned number for each architecture and split.
        splits: the planned number of test splits.
        unfinished, failed: numbers of confirming trials in these states.
        deviation, freedom: of the noise of a trial, as in `BlockDesign`; with several splits, of
            the mean of a split.
        images: that the trials are judged on.
        at_chance: whether no result is above that of guessing; then there are no p values.
        metric: of the scores.
        precision: of the gain of the best architecture with attention; None if it cannot be
            estimated.
        agreement: None if too few architectures have trials in both.
        unmoved: how many attentions of an architecture still are the identity after training, such
            as `3 of 8`.
    """

    contenders: tuple[Contender, ...]
    pairs: Mapping[tuple[Architecture, Architecture], Difference]
    epochs: int
    seeds: int
    splits: int
    unfinished: int
    failed: int
    deviation: float
    freedom: int
    images: EvaluationImages
    metric: Objective
    at_chance: bool
    precision: Precision | None
    agreement: Agreement | None
    unmoved: Mapping[Architecture, str] = field(default_factory=dict)

    @property
    def detectable(self) -> float | None:
        """The difference of scores that is found with a probability of 80 %."""
        return None if self.precision is None else self.precision.detectable

    @property
    def bare(self) -> Contender | None:
        """The bare backbone, if it has a complete trial."""
        return next((c for c in self.contenders if c.architecture.bare), None)

    @property
    def challengers(self) -> tuple[Contender, ...]:
        """All but the bare backbone, best first."""
        return tuple(c for c in self.contenders if not c.architecture.bare)

    @property
    def better(self) -> tuple[Contender, ...]:
        """Those that are significantly better than the bare backbone."""
        return tuple(c for c in self.challengers if c.gain and c.gain.claimed and c.gain.mean > 0)

    @property
    def worse(self) -> tuple[Contender, ...]:
        """Those that are significantly worse than the bare backbone."""
        return tuple(c for c in self.challengers if c.gain and c.gain.claimed and c.gain.mean < 0)

    @property
    def tied(self) -> int:
        """How many of the first `challengers` do not differ significantly from each other."""
        count = 0
        for contender in self.challengers:
            ahead = self.challengers[:count]
            if any(self._differ(better, contender) for better in ahead):
                break
            count += 1
        return count

    def _differ(self, first: Contender, second: Contender) -> bool:
        difference = self.pairs.get((first.architecture, second.architecture))
        return difference is not None and difference.claimed


def finalists(findings: Findings, top: int) -> tuple[ArchitectureSummary, ...]:
    """The architectures to confirm: the `top` best of the Pareto front, and its knee.

    Baselines are confirmed in any case and not counted. If the front without them has fewer than
    `top` architectures, those that are on the front once it is removed follow, and so on. If
    the metric is the only objective, that is the order of scores.
    """
    remaining = [point for point in findings.architectures if not point.baseline]
    chosen: list[ArchitectureSummary] = []
    while remaining and len(chosen) < top:
        front = pareto_front(remaining, findings.objectives)
        if not front:
            break
        chosen += sorted(front, key=lambda p: -p.score)[: top - len(chosen)]
        remaining = [point for point in remaining if point not in front]
    knee = findings.knee
    if knee is not None and not knee.baseline and knee not in chosen:
        chosen.append(knee)
    return tuple(chosen)


def analyse_confirming_trials(
    findings: Findings,
    trials: Sequence[TrialRecord],
    plan: ConfirmPlan,
    judged: Mapping[int, JudgedImages] | None = None,
    num_classes: int | None = None,
) -> Confirmation:
    """Analyse confirming trials.

    Args:
        findings: of the search.
        trials: the confirming trials.
        plan: of the confirmation.
        judged: by the number of a trial, how it judges the images of the test split; trials whose
            predictions were not kept are missing.
        num_classes: of the data, if it is known.
    """
    contenders = _contenders(findings, trials)
    metric = findings.metric
    assert metric.metric is not None  # It is no cost.
    differences = ContenderDifferences(contenders, plan, judged or {}, metric.metric, num_classes)
    bare = next((c.architecture for c in contenders if c.architecture.bare), None)
    weights = {c.architecture: 1.0 if c.finalist else BASELINE_WEIGHT for c in contenders}
    gains = differences.family([(a, bare) for a in weights], weights) if bare else {}
    claimed = any(gain.claimed for gain in gains.values())
    against_bare = {architecture: gain for (architecture, _), gain in gains.items()}
    compared = tuple(
        replace(c, gain=against_bare.get(c.architecture), image_error=differences.image_error_of(c))
        for c in contenders
    )
    alternatives = [c.architecture for c in compared if not c.architecture.bare]
    first = next((pair for a in alternatives if (pair := (a, bare)) in gains), None)
    comparisons = sum(weights[architecture] for architecture, _ in gains)
    return Confirmation(
        contenders=compared,
        pairs=differences.family(combinations(alternatives, 2)) if claimed else {},
        epochs=plan.epochs,
        seeds=plan.seeds,
        splits=plan.splits,
        unfinished=sum(trial.state == "running" for trial in trials),
        failed=sum(trial.state == "failed" for trial in trials),
        deviation=differences.blocks.deviation,
        freedom=differences.blocks.freedom,
        images=differences.images,
        metric=metric,
        at_chance=differences.at_chance,
        precision=first and differences.precision(first, gains[first], comparisons),
        agreement=_agreement(compared, plan),
    )


def analyse_confirmation(
    study: StudyRecord,
    findings: Findings,
    trials: Sequence[TrialRecord],
    judged: Mapping[int, JudgedImages] | None = None,
) -> Confirmation | None:
    """Analyse the confirming trials of a study; None if no confirmation was begun.

    Args:
        study: its config holds the plan.
        findings: of the search.
        trials: the confirming trials.
        judged: as in `analyse_confirming_trials`.
    """
    plan = study.config.confirmation
    if plan is None:
        return None
    return analyse_confirming_trials(findings, trials, plan, judged, study.config.num_classes)


def needed_for_a_claim(confirmation: Confirmation) -> dict[str, Any] | None:
    """How many seeds, or images, would detect the gain of the best architecture.

    Returns:
        The gain as `difference`, and `seeds`, `splits` and `images`, each None where no number
        would do; None if the precision is not known.
    """
    precision = confirmation.precision
    first = next((c.gain for c in confirmation.challengers if c.gain is not None), None)
    if precision is None or first is None or not first.mean:
        return None
    blocks = precision.seeds_for(first.mean)
    is_split = confirmation.splits > 1
    return {
        "difference": first.mean,
        "seeds": None if is_split else blocks,
        "splits": blocks if is_split else None,
        "images": None if is_split else precision.images_for(first.mean),
    }


def confirmation_json(
    confirmation: Confirmation, sentence: str, warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """What `attentune confirm --json` prints; accuracies are fractions.

    `value` and `measured` are of the metric that was searched for. Differences are of its scores,
    so that a positive one is always better.

    Args:
        confirmation: the results.
        sentence: what can be claimed.
        warnings: what has to be known before believing it.
    """
    agreement = confirmation.agreement
    return {
        "sentence": sentence,
        "metric": confirmation.metric.key,
        "warnings": list(warnings),
        "epochs": confirmation.epochs,
        "seeds": confirmation.seeds,
        "splits": confirmation.splits,
        "unfinished": confirmation.unfinished,
        "failed": confirmation.failed,
        "noise": {"deviation": confirmation.deviation, "freedom": confirmation.freedom},
        "images": images_json(confirmation.images, confirmation.metric),
        "at_chance": confirmation.at_chance,
        "detectable": confirmation.detectable,
        "power": needed_for_a_claim(confirmation),
        "contenders": [_contender_json(c, confirmation.metric) for c in confirmation.contenders],
        "pairs": [
            {"one": str(first), "other": str(second), **_difference_json(difference)}
            for (first, second), difference in confirmation.pairs.items()
        ],
        "rank_agreement": agreement and vars(agreement),
    }


def _contender_json(contender: Contender, metric: Objective) -> dict[str, Any]:
    searched = contender.searched
    before = score_json(
        metric,
        searched.score if searched else None,
        searched.scores if searched else (),
        searched.accuracies if searched else (),
    )
    return {
        "architecture": str(contender.architecture),
        "key": contender.architecture.key,
        "finalist": contender.finalist,
        "trials": list(contender.numbers),
        "seeds": list(contender.seeds),
        "accuracies": [a for a in contender.accuracies if not math.isnan(a)],
        **score_json(metric, contender.score, contender.scores, contender.accuracies),
        "standard_error": contender.standard_error,
        "searched_accuracy": before["accuracy"],
        "searched_value": before["value"],
        "gain": contender.gain and _difference_json(contender.gain),
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {**vars(difference), "claimed": difference.claimed}


def _contenders(findings: Findings, trials: Iterable[TrialRecord]) -> list[Contender]:
    searched = {point.architecture: point for point in findings.architectures}
    complete: dict[Architecture, list[tuple[TrialRecord, float, float]]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == "complete" and trial.score is not None:
            row = (trial, trial.score, math.nan if trial.accuracy is None else trial.accuracy)
            complete.setdefault(trial.parsed, []).append(row)
    contenders = [
        Contender(
            architecture=architecture,
            finalist=not (point := searched.get(architecture)) or not point.baseline,
            searched=point,
            numbers=tuple(trial.number for trial, _, _ in group),
            seeds=tuple(trial.seed for trial, _, _ in group),
            scores=tuple(score for _, score, _ in group),
            accuracies=tuple(accuracy for _, _, accuracy in group),
        )
        for architecture, group in complete.items()
    ]
    return sorted(contenders, key=lambda contender: -contender.score)


def _agreement(contenders: Sequence[Contender], plan: ConfirmPlan) -> Agreement | None:
    both = [(c.searched.score, c.score) for c in contenders if c.searched is not None]
    if len(both) < MIN_RANKED_ARCHITECTURES:
        return None
    before, after = zip(*both, strict=True)
    if len(set(before)) == 1 or len(set(after)) == 1:
        return None
    rho = float(scipy.stats.spearmanr(before, after).statistic)
    return Agreement(rho, len(both), plan.searched_epochs, plan.epochs)
