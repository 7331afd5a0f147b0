"""Which architecture to take: the one recommendation of a study.

While no confirmation is complete, the search decides. Architectures are considered whose gain over
the bare backbone exceeds its error (`ArchitectureSummary.is_better_than_bare`); if there are none,
the recommendation is to keep the bare backbone. Of those within one standard error of the most
accurate one, the cheapest is recommended (the rule of one standard error: Breiman, Friedman, Olshen
& Stone, "Classification and Regression Trees", 1984, section 3.4.3).

A confirmation replaces this: the architecture with the largest gain that it claims, or the bare
backbone if it claims none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .confirmation import Confirmation
from .contenders import Contender
from .findings import ArchitectureSummary, Findings
from .pareto import cheapest

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
    """

    pick: ArchitectureSummary
    rival: ArchitectureSummary | None
    basis: Basis = "search"
    contender: Contender | None = None

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
        return Recommendation(bare, best_other)
    best = max(candidates, key=lambda summary: summary.score)
    near = [s for s in candidates if s.score >= best.score - (best.gain_error or 0.0)]
    pick = min(cheapest(near, findings.costs[0].key), key=lambda s: (-s.score, s.number))
    return Recommendation(pick, None if pick is best else best)


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
        contender = next(c for c in confirmation.challengers if c.gain is not None)
        rival = by_key.get(contender.architecture.key)
        return Recommendation(bare, rival, "confirmation", contender)
    first = max(claimed, key=lambda contender: contender.score)
    return Recommendation(by_key[first.architecture.key], None, "confirmation", first)
