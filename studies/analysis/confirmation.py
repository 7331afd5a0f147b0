"""What fresh seeds and the test split say of a search's favourites: pure functions from records.

What a search liked is a hypothesis: the winner among many looks better than it is. Confirming
trials retrain the finalists and the baselines with seeds that the search never used, usually
longer, and are judged once on the test split. Two questions are asked of them, and each is
corrected for its number of comparisons by Holm's procedure: which architectures differ from the
bare backbone; and, only if any does, which differ from each other.
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

WEIGHT_OF_A_BASELINE = 0.25
"""In Holm's correction, where a finalist has 1: the finalists are what the search puts forward, and
the four textbook baselines together get as large a share of the level as one of them. In a space
where one attention is better by three standard errors, this raises the chance to find it from 80 to
84 % (`benchmarks/claims.py` simulates it)."""
ENOUGH_TO_RANK = 4
"""Of fewer architectures an agreement between ranks says nothing."""


@dataclass(frozen=True)
class Contender:
    """One architecture on trial.

    Attributes:
        finalist: whether the search proposed it; else it is one of the study's baselines.
        searched: what the search found of it; None if nothing complete.
        numbers, seeds, accuracies: of its complete confirming trials; accuracies on the test split.
        gain: against the bare backbone; None for that itself, and while seeds are too few.
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
        """Mean over the seeds; NaN before the first is complete."""
        return float(np.mean(self.accuracies)) if self.accuracies else float("nan")

    @property
    def standard_error(self) -> float | None:
        """Of the mean accuracy; None with a single seed."""
        return standard_error(self.accuracies)


@dataclass(frozen=True)
class Agreement:
    """How well the search's ranks agree with the confirmation's: Spearman's correlation."""

    rho: float
    architectures: int
    searched_epochs: int
    confirmed_epochs: int


@dataclass(frozen=True)
class Confirmation:
    """All that confirming trials say.

    Attributes:
        contenders: with complete trials, the most accurate first; the bare backbone among them.
        pairs: differences between the others, first less second, where the question was asked.
        epochs: of a confirming trial; seeds: how many each architecture was to have.
        unfinished, failed: trials that are running or lost.
        deviation, freedom: of a single trial around its architecture and its seed (`BlockDesign`).
        detectable: the difference that would have been found with a chance of 80 %.
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
    def others(self) -> tuple[Contender, ...]:
        """All but the bare backbone."""
        return tuple(c for c in self.contenders if not c.architecture.bare)

    @property
    def better(self) -> tuple[Contender, ...]:
        """Those of which it can be claimed that they are better than the bare backbone."""
        return tuple(c for c in self.others if c.gain and c.gain.claimed and c.gain.mean > 0)

    @property
    def worse(self) -> tuple[Contender, ...]:
        """Those of which it can be claimed that they are worse than the bare backbone."""
        return tuple(c for c in self.others if c.gain and c.gain.claimed and c.gain.mean < 0)

    @property
    def alike(self) -> int:
        """How many of the first, at the head of `others`, cannot be told apart from each other."""
        count = 0
        for contender in self.others:
            ahead = self.others[:count]
            if any(self._told_apart(one, contender) for one in ahead):
                break
            count += 1
        return count

    def _told_apart(self, one: Contender, other: Contender) -> bool:
        found = self.pairs.get((one.architecture, other.architecture))
        return found is not None and found.claimed


def finalists(findings: Findings, top: int) -> tuple[ArchitectureSummary, ...]:
    """Whom to confirm: the `top` most accurate of the Pareto front, and its knee.

    Baselines are confirmed anyway and do not count. Where the front has fewer others, the fronts
    behind it follow; with accuracy as the only objective that is simply the order of accuracy.
    """
    left = [point for point in findings.architectures if not point.baseline]
    chosen: list[ArchitectureSummary] = []
    while left and len(chosen) < top:
        front = pareto_front(left, findings.objectives)
        if not front:
            break
        chosen += sorted(front, key=lambda p: -p.accuracy)[: top - len(chosen)]
        left = [point for point in left if point not in front]
    knee = findings.knee
    if knee is not None and not knee.baseline and knee not in chosen:
        chosen.append(knee)
    return tuple(chosen)


def confirmation(
    findings: Findings, trials: Sequence[TrialRecord], plan: ConfirmPlan
) -> Confirmation:
    """What the confirming `trials` say, beside what `findings` say of the search."""
    contenders = _contenders(findings, trials)
    blocks = BlockDesign({c.architecture: _by_seed(c) for c in contenders})
    bare = next((c.architecture for c in contenders if c.architecture.bare), None)
    weights = {c.architecture: 1.0 if c.finalist else WEIGHT_OF_A_BASELINE for c in contenders}
    gains = _family(blocks, [(a, bare) for a in weights], weights) if bare else {}
    claimed = any(gain.claimed for gain in gains.values())
    against_bare = {one: gain for (one, _), gain in gains.items()}
    judged = tuple(replace(c, gain=against_bare.get(c.architecture)) for c in contenders)
    others = [c.architecture for c in judged if not c.architecture.bare]
    detectable = None
    if gains and blocks.deviation:
        pairs = min(gain.pairs for gain in gains.values()) or 1
        detectable = blocks.detectable_difference(sum(weights[one] for one, _ in gains), pairs)
    return Confirmation(
        contenders=judged,
        pairs=_family(blocks, combinations(others, 2)) if claimed else {},
        epochs=plan.epochs,
        seeds=plan.seeds,
        unfinished=sum(trial.state == "running" for trial in trials),
        failed=sum(trial.state == "failed" for trial in trials),
        deviation=blocks.deviation,
        freedom=blocks.freedom,
        detectable=detectable,
        agreement=_agreement(judged, plan),
    )


def confirmed(
    study: StudyRecord, findings: Findings, trials: Sequence[TrialRecord]
) -> Confirmation | None:
    """What a study's confirming `trials` say; None if nobody has asked to confirm it."""
    plan = study.config.confirmation
    return None if plan is None else confirmation(findings, trials, plan)


def confirmation_json(found: Confirmation, sentence: str) -> dict[str, Any]:
    """What `attentune confirm --json` prints; accuracies and differences are fractions."""
    agreement = found.agreement
    return {
        "sentence": sentence,
        "epochs": found.epochs,
        "seeds": found.seeds,
        "unfinished": found.unfinished,
        "failed": found.failed,
        "noise": {"deviation": found.deviation, "freedom": found.freedom},
        "detectable": found.detectable,
        "contenders": [_contender_json(c) for c in found.contenders],
        "pairs": [
            {"one": str(one), "other": str(other), **_difference_json(difference)}
            for (one, other), difference in found.pairs.items()
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
    found = [
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
    return sorted(found, key=lambda contender: -contender.accuracy)


def _by_seed(contender: Contender) -> dict[int, float]:
    return dict(zip(contender.seeds, contender.accuracies, strict=True))


def _family(
    blocks: BlockDesign[Architecture],
    pairs: Iterable[tuple[Architecture, Architecture]],
    weights: Mapping[Architecture, float] | None = None,
) -> dict[tuple[Architecture, Architecture], Difference]:
    """Differences of pairs, corrected; a pair weighs what its first does."""
    found = {
        (one, other): difference
        for one, other in pairs
        if one != other and (difference := blocks.difference(one, other)) is not None
    }
    weighed = None if weights is None else {(one, other): weights[one] for one, other in found}
    return correct_family(found, weighed)


def _agreement(contenders: Sequence[Contender], plan: ConfirmPlan) -> Agreement | None:
    both = [(c.searched.accuracy, c.accuracy) for c in contenders if c.searched is not None]
    if len(both) < ENOUGH_TO_RANK:
        return None
    before, after = zip(*both, strict=True)
    if len(set(before)) == 1 or len(set(after)) == 1:
        return None
    rho = float(scipy.stats.spearmanr(before, after).statistic)
    return Agreement(rho, len(both), plan.searched_epochs, plan.epochs)
