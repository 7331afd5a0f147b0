"""Which architecture to take: the one recommendation of a study.

While no confirmation is complete, the search decides. Architectures are considered whose gain over
the bare backbone exceeds its error (`ArchitectureSummary.is_better_than_bare`); if there are none,
the recommendation is to keep the bare backbone. Of those within one standard error of the most
accurate one, the cheapest is recommended (the rule of one standard error: Breiman, Friedman, Olshen
& Stone, "Classification and Regression Trees", 1984, section 3.4.3). If none is better, the same
rule is applied to the bare backbone: an architecture that costs less, because attention of the
backbone is removed, and loses no more than one standard error, is recommended in its place.

A confirmation replaces this: the architecture with the largest gain that it claims; if it claims
none, the cheapest one that loses no more than one standard error there, or else the bare backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .confirmation import Confirmation
from .contenders import Contender
from .findings import ArchitectureSummary, Findings
from .pareto import cheapest, costing_no_more

Basis = Literal["search", "confirmation"]


@dataclass(frozen=True)
class Recommendation:
    """What to take, and why.

    Attributes:
        pick: the architecture to take, which may be the bare backbone.
        rival: the most accurate architecture that is not taken; None if it is the pick itself, or
            if there is none but the bare backbone.
        basis: what decides.
        contender: the pick's results in the confirmation; None if the search decides.
        is_saving: whether the pick is not better than the bare backbone, but cheaper.
    """

    pick: ArchitectureSummary
    rival: ArchitectureSummary | None
    basis: Basis = "search"
    contender: Contender | None = None
    is_saving: bool = False

    @property
    def keeps_bare(self) -> bool:
        """Whether the recommendation is to keep the bare backbone."""
        return self.pick.architecture.bare


def recommend(
    findings: Findings, confirmation: Confirmation | None = None
) -> Recommendation | None:
    """The recommendation; None while there is no complete trial of the bare backbone or of others.

    Where no result is above chance, nothing can be recommended either.

    Args:
        findings: of the study.
        confirmation: of the study; None if there is none.
    """
    bare = findings.bare
    others = [s for s in findings.architectures if not s.architecture.bare]
    if bare is None or not others or is_at_chance(findings, confirmation):
        return None
    if confirmation is not None and confirmation.bare is not None and _is_decisive(confirmation):
        return _confirmed(findings, bare, confirmation)
    best_other = max(others, key=lambda summary: summary.score)
    offered = {summary.number: summary for summary in (*findings.front, best_other)}
    candidates = [s for s in offered.values() if s.is_better_than_bare]
    if not candidates:
        no_worse = [s for s in offered.values() if loses_nothing(s.gain, s.gain_error)]
        if saving := _cheapest_saving(no_worse, bare, findings):
            return Recommendation(saving, None, is_saving=True)
        return Recommendation(bare, best_other)
    best = max(candidates, key=lambda summary: summary.score)
    near = [s for s in candidates if s.score >= best.score - (best.gain_error or 0.0)]
    pick = min(cheapest(near, findings.costs[0].key), key=lambda s: (-s.score, s.number))
    return Recommendation(pick, None if pick is best else best)


def loses_nothing(gain: float | None, error: float | None) -> bool:
    """Whether a loss against the bare backbone is no more than one standard error, if any."""
    return gain is not None and error is not None and gain >= -error


def _cheapest_saving(
    candidates: Sequence[ArchitectureSummary], bare: ArchitectureSummary, findings: Findings
) -> ArchitectureSummary | None:
    """The cheapest that saves some of the first cost of a study and exceeds none; None if none."""
    keys = [cost.key for cost in findings.costs]
    savings = [
        summary
        for summary in costing_no_more(candidates, bare, keys)
        if not summary.architecture.bare and bare not in cheapest([bare, summary], keys[0])
    ]
    least = cheapest(savings, keys[0])
    return min(least, key=lambda s: (-s.score, s.number), default=None)


def is_at_chance(findings: Findings, confirmation: Confirmation | None) -> bool:
    """Whether what decides, the search or its confirmation, is at chance level.

    Args:
        findings: of the study.
        confirmation: of the study; None if there is none.
    """
    if confirmation is not None and confirmation.bare is not None and _is_decisive(confirmation):
        return confirmation.at_chance
    return findings.at_chance


def _is_decisive(confirmation: Confirmation) -> bool:
    return not confirmation.unfinished and any(c.gain for c in confirmation.challengers)


def _confirmed(
    findings: Findings, bare: ArchitectureSummary, confirmation: Confirmation
) -> Recommendation:
    by_key = {summary.architecture.key: summary for summary in findings.architectures}
    claimed = [c for c in confirmation.better if c.architecture.key in by_key]
    if not claimed:
        no_worse = {
            c.architecture.key: c
            for c in confirmation.challengers
            if c.gain is not None and loses_nothing(c.gain.mean, c.gain.standard_error)
        }
        searched = [by_key[key] for key in no_worse if key in by_key]
        if saving := _cheapest_saving(searched, bare, findings):
            confirmed = no_worse[saving.architecture.key]
            return Recommendation(saving, None, "confirmation", confirmed, is_saving=True)
        contender = next(c for c in confirmation.challengers if c.gain is not None)
        rival = by_key.get(contender.architecture.key)
        return Recommendation(bare, rival, "confirmation", contender)
    first = max(claimed, key=lambda contender: contender.score)
    return Recommendation(by_key[first.architecture.key], None, "confirmation", first)
