"""The confirmation of a search: its finalists with fresh seeds on the test split.

The result of a search is a hypothesis: the best of many looks better than it is. Confirming trials
retrain the finalists and the baselines with seeds that the search never used, usually for longer,
and are evaluated once on the test split. Two questions are asked: which architectures differ from
the bare backbone, and, only if any does, which differ from each other. Each is corrected for its
number of comparisons by Holm's procedure. All functions here are pure functions of records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import scipy

from ...spaces.architecture import Architecture
from ..records import StudyRecord, TrialRecord
from ..stored_config import ConfirmPlan
from .findings import ArchitectureSummary, Findings, standard_error
from .paired_comparisons import BlockDesign, Difference, correct_family
from .pareto import pareto_front

BASELINE_WEIGHT = 0.25
"""The weight of a baseline in Holm's correction; a finalist has 1. The search proposes the
finalists, so the four textbook baselines together get only as large a share of the level as one
finalist. If one attention is better by three standard errors, this raises the probability of
finding it from 80 to 84 % (simulated by `benchmarks/claims.py`)."""
MIN_RANKED_ARCHITECTURES = 4
"""With fewer architectures, the agreement of ranks is not computed."""


@dataclass(frozen=True)
class Contender:
    """An architecture that is being confirmed.

    Attributes:
        finalist: whether the search proposed it; otherwise it is one of the study's baselines.
        searched: its summary in the search; None if it has no complete trial there.
        numbers, seeds, accuracies: of its complete confirming trials, on the test split.
        gain: over the bare backbone; None for the bare backbone, and while there are too few seeds.
    """

    architecture: Architecture
    finalist: bool
    searched: ArchitectureSummary | None
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    gain: Difference | None = None

    @property
    def accuracy(self) -> float:
        """The mean over seeds, a fraction; NaN before the first trial is complete."""
        return float(np.mean(self.accuracies)) if self.accuracies else float("nan")

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean accuracy; None with a single seed."""
        return standard_error(self.accuracies)


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
        contenders: those with complete trials, the bare backbone among them, most accurate first.
        pairs: differences between architectures with attention, first minus second; empty unless
            one of them differs from the bare backbone.
        epochs: of a confirming trial.
        seeds: the planned number for each architecture.
        unfinished, failed: numbers of confirming trials in these states.
        deviation, freedom: of the noise of a trial, as in `BlockDesign`.
        detectable: the difference that is found with a probability of 80 %, a fraction.
        agreement: None if too few architectures have trials in both.
    """

    contenders: tuple[Contender, ...]
    pairs: Mapping[tuple[Architecture, Architecture], Difference]
    epochs: int
    seeds: int
    unfinished: int
    failed: int
    deviation: float
    freedom: int
    detectable: float | None
    agreement: Agreement | None

    @property
    def bare(self) -> Contender | None:
        """The bare backbone, if it has a complete trial."""
        return next((c for c in self.contenders if c.architecture.bare), None)

    @property
    def alternatives(self) -> tuple[Contender, ...]:
        """All but the bare backbone, most accurate first."""
        return tuple(c for c in self.contenders if not c.architecture.bare)

    @property
    def better(self) -> tuple[Contender, ...]:
        """Those that are significantly better than the bare backbone."""
        return tuple(c for c in self.alternatives if c.gain and c.gain.claimed and c.gain.mean > 0)

    @property
    def worse(self) -> tuple[Contender, ...]:
        """Those that are significantly worse than the bare backbone."""
        return tuple(c for c in self.alternatives if c.gain and c.gain.claimed and c.gain.mean < 0)

    @property
    def tied(self) -> int:
        """How many of the first `alternatives` do not differ significantly from each other."""
        count = 0
        for contender in self.alternatives:
            ahead = self.alternatives[:count]
            if any(self._differ(better, contender) for better in ahead):
                break
            count += 1
        return count

    def _differ(self, first: Contender, second: Contender) -> bool:
        difference = self.pairs.get((first.architecture, second.architecture))
        return difference is not None and difference.claimed


def finalists(findings: Findings, top: int) -> tuple[ArchitectureSummary, ...]:
    """The architectures to confirm: the `top` most accurate of the Pareto front, and its knee.

    Baselines are confirmed in any case and not counted. If the front without them has fewer than
    `top` architectures, those that are on the front once it is removed follow, and so on. If
    accuracy is the only objective, that is the order of accuracy.
    """
    remaining = [point for point in findings.architectures if not point.baseline]
    chosen: list[ArchitectureSummary] = []
    while remaining and len(chosen) < top:
        front = pareto_front(remaining, findings.objectives)
        if not front:
            break
        chosen += sorted(front, key=lambda p: -p.accuracy)[: top - len(chosen)]
        remaining = [point for point in remaining if point not in front]
    knee = findings.knee
    if knee is not None and not knee.baseline and knee not in chosen:
        chosen.append(knee)
    return tuple(chosen)


def analyse_confirming_trials(
    findings: Findings, trials: Sequence[TrialRecord], plan: ConfirmPlan
) -> Confirmation:
    """Analyse confirming trials.

    Args:
        findings: of the search.
        trials: the confirming trials.
        plan: of the confirmation.
    """
    contenders = _contenders(findings, trials)
    blocks = BlockDesign({c.architecture: _by_seed(c) for c in contenders})
    bare = next((c.architecture for c in contenders if c.architecture.bare), None)
    weights = {c.architecture: 1.0 if c.finalist else BASELINE_WEIGHT for c in contenders}
    gains = _family(blocks, [(a, bare) for a in weights], weights) if bare else {}
    claimed = any(gain.claimed for gain in gains.values())
    against_bare = {architecture: gain for (architecture, _), gain in gains.items()}
    judged = tuple(replace(c, gain=against_bare.get(c.architecture)) for c in contenders)
    alternatives = [c.architecture for c in judged if not c.architecture.bare]
    detectable = None
    if gains and blocks.deviation:
        pairs = min(gain.pairs for gain in gains.values()) or 1
        comparisons = sum(weights[architecture] for architecture, _ in gains)
        detectable = blocks.detectable_difference(comparisons, pairs)
    return Confirmation(
        contenders=judged,
        pairs=_family(blocks, combinations(alternatives, 2)) if claimed else {},
        epochs=plan.epochs,
        seeds=plan.seeds,
        unfinished=sum(trial.state == "running" for trial in trials),
        failed=sum(trial.state == "failed" for trial in trials),
        deviation=blocks.deviation,
        freedom=blocks.freedom,
        detectable=detectable,
        agreement=_agreement(judged, plan),
    )


def analyse_confirmation(
    study: StudyRecord, findings: Findings, trials: Sequence[TrialRecord]
) -> Confirmation | None:
    """Analyse the confirming trials of a study; None if no confirmation was begun.

    Args:
        study: its config holds the plan.
        findings: of the search.
        trials: the confirming trials.
    """
    plan = study.config.confirmation
    return None if plan is None else analyse_confirming_trials(findings, trials, plan)


def confirmation_json(confirmation: Confirmation, sentence: str) -> dict[str, Any]:
    """What `attentune confirm --json` prints; accuracies and differences are fractions."""
    agreement = confirmation.agreement
    return {
        "sentence": sentence,
        "epochs": confirmation.epochs,
        "seeds": confirmation.seeds,
        "unfinished": confirmation.unfinished,
        "failed": confirmation.failed,
        "noise": {"deviation": confirmation.deviation, "freedom": confirmation.freedom},
        "detectable": confirmation.detectable,
        "contenders": [_contender_json(c) for c in confirmation.contenders],
        "pairs": [
            {"one": str(first), "other": str(second), **_difference_json(difference)}
            for (first, second), difference in confirmation.pairs.items()
        ],
        "rank_agreement": agreement and vars(agreement),
    }


def _contender_json(contender: Contender) -> dict[str, Any]:
    return {
        "architecture": str(contender.architecture),
        "key": contender.architecture.key,
        "finalist": contender.finalist,
        "trials": list(contender.numbers),
        "seeds": list(contender.seeds),
        "accuracies": list(contender.accuracies),
        "accuracy": contender.accuracy,
        "standard_error": contender.standard_error,
        "searched_accuracy": contender.searched and contender.searched.accuracy,
        "gain": contender.gain and _difference_json(contender.gain),
    }


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {**vars(difference), "claimed": difference.claimed}


def _contenders(findings: Findings, trials: Iterable[TrialRecord]) -> list[Contender]:
    searched = {point.architecture: point for point in findings.architectures}
    complete: dict[Architecture, list[tuple[TrialRecord, float]]] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.state == "complete" and trial.accuracy is not None:
            complete.setdefault(trial.parsed, []).append((trial, trial.accuracy))
    contenders = [
        Contender(
            architecture=architecture,
            finalist=not (point := searched.get(architecture)) or not point.baseline,
            searched=point,
            numbers=tuple(trial.number for trial, _ in group),
            seeds=tuple(trial.seed for trial, _ in group),
            accuracies=tuple(accuracy for _, accuracy in group),
        )
        for architecture, group in complete.items()
    ]
    return sorted(contenders, key=lambda contender: -contender.accuracy)


def _by_seed(contender: Contender) -> dict[int, float]:
    return dict(zip(contender.seeds, contender.accuracies, strict=True))


def _family(
    blocks: BlockDesign[Architecture],
    pairs: Iterable[tuple[Architecture, Architecture]],
    weights: Mapping[Architecture, float] | None = None,
) -> dict[tuple[Architecture, Architecture], Difference]:
    """The differences of pairs, corrected as a family.

    The weight of a pair is that of its first architecture.
    """
    differences = {
        (first, second): difference
        for first, second in pairs
        if first != second and (difference := blocks.difference(first, second)) is not None
    }
    pair_weights = (
        None
        if weights is None
        else {(first, second): weights[first] for first, second in differences}
    )
    return correct_family(differences, pair_weights)


def _agreement(contenders: Sequence[Contender], plan: ConfirmPlan) -> Agreement | None:
    both = [(c.searched.accuracy, c.accuracy) for c in contenders if c.searched is not None]
    if len(both) < MIN_RANKED_ARCHITECTURES:
        return None
    before, after = zip(*both, strict=True)
    if len(set(before)) == 1 or len(set(after)) == 1:
        return None
    rho = float(scipy.stats.spearmanr(before, after).statistic)
    return Agreement(rho, len(both), plan.searched_epochs, plan.epochs)
