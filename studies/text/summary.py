"""The answer in words: what a study found, and how far to believe it."""

from __future__ import annotations

import math

from ..analysis.findings import ArchitectureSummary, Findings, Gain, Noise
from ..objectives import Objective
from ..records import StudyRecord
from . import formatting


def answer(study: StudyRecord, findings: Findings) -> str:
    """One sentence: the best architecture against the bare backbone."""
    best, bare = findings.best, findings.bare
    if best is None:
        return _nothing_yet(findings)
    reached = formatting.percent(best.accuracy, best.standard_error)
    if best is bare:
        others = len(findings.points) - 1
        if not others:
            return f"The bare {study.backbone} reaches {reached}; nothing else is complete yet."
        tried = f"None of {others} other architectures" if others > 1 else "No other architecture"
        return f"{tried} beats the bare {study.backbone} so far, which reaches {reached}."
    sentence = f"{best.architecture} is the best so far, with {reached}"
    if bare is None or best.gain is None:
        return f"{sentence}; the bare backbone is not complete yet, so there is no comparison."
    gain = formatting.points(best.gain.mean, best.gain.standard_error)
    prices = [price for cost in findings.costs if (price := _price(cost, best, bare))]
    costs = f" for {' and '.join(prices)}" if prices else ""
    return f"{sentence}: {gain} points against the bare {study.backbone}{costs}."


def caveat(findings: Findings) -> str:
    """How far the answer can be believed, from the noise that this study has seen."""
    best = findings.best
    if best is None or best.gain is None:
        return ""
    tried = formatting.plural(len(findings.points), "architecture")
    hypothesis = (
        f"It is the winner among {tried}, and winners look better than they are: "
        f"a hypothesis, until fresh seeds confirm it."
    )
    error = gain_error(best.gain, findings.noise)
    if error is None:
        return f"How much of this is luck of the seed is unknown: nothing ran twice. {hypothesis}"
    spread = f"{100 * error:.1f} points"
    if abs(best.gain.mean) <= 2 * error:
        return (
            f"Different seeds alone make differences of this size (standard error {spread}). "
            f"{hypothesis}"
        )
    return f"The standard error of this difference is {spread}. {hypothesis}"


def gain_error(gain: Gain, noise: Noise | None) -> float | None:
    """Standard error of a gain: its own from three pairs on, before that from the noise floor."""
    if gain.pairs >= 3 or noise is None:
        return gain.standard_error
    return noise.deviation * math.sqrt(2 / max(1, gain.pairs))


def _nothing_yet(findings: Findings) -> str:
    counts = findings.counts
    if counts["running"]:
        return f"No trial is complete yet; {formatting.plural(counts['running'], 'trial')} running."
    if counts["failed"]:
        return f"No trial is complete: {counts['failed']} failed; the reasons are below."
    if counts["pruned"]:
        return f"No trial is complete: {counts['pruned']} were stopped early."
    return "No trial has run yet."


def _price(cost: Objective, point: ArchitectureSummary, bare: ArchitectureSummary) -> str:
    if cost.key not in point.values or cost.key not in bare.values:
        return ""
    more = formatting.change(point.values[cost.key], bare.values[cost.key])
    return f"{more} {cost.title.lower()}"
