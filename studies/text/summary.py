"""The result of a study in one sentence, and a caveat: what every report begins with."""

from __future__ import annotations

from ..analysis.findings import ArchitectureSummary, Findings, Noise, gain_error
from ..objectives import Objective
from ..records import StudyRecord
from . import formatting


def summary_sentence(study: StudyRecord, findings: Findings) -> str:
    """The best architecture against the bare backbone, in one sentence."""
    best, bare = findings.best, findings.bare
    if best is None:
        return _nothing_yet(study, findings)
    reached = formatting.percent(best.accuracy, best.standard_error)
    if best is bare:
        rivals = len(findings.architectures) - 1
        if not rivals:
            return f"The bare {study.backbone} reaches {reached}; nothing else is complete yet."
        tried = f"None of {rivals} other architectures" if rivals > 1 else "No other architecture"
        return f"{tried} beats the bare {study.backbone} so far, which reaches {reached}."
    sentence = f"{best.architecture} is the best so far, with {reached}"
    if bare is None or best.gain is None:
        return f"{sentence}; the bare backbone is not complete yet, so there is no comparison."
    gain = formatting.points(best.gain.mean, best.gain.standard_error)
    changes = [change for cost in findings.costs if (change := _cost_change(cost, best, bare))]
    costs = f" for {' and '.join(changes)}" if changes else ""
    return f"{sentence}: {gain} points over the bare {study.backbone}{costs}."


def caveat(findings: Findings) -> str | None:
    """How reliable the summary is, given the study's noise; None if it claims no gain."""
    best = findings.best
    if best is None or best.gain is None:
        return None
    tried = formatting.plural(len(findings.architectures), "architecture")
    hypothesis = (
        f"The best of {tried} tends to look better than it is, so this is a hypothesis "
        f"until fresh seeds confirm it."
    )
    error = gain_error(best.gain, findings.noise)
    if error is None:
        return (
            "How much of this is due to the seed is unknown: no architecture ran with two seeds. "
            f"{hypothesis}"
        )
    spread = f"{formatting.points(error, signed=False)} points"
    if abs(best.gain.mean) <= 2 * error:
        return f"Seeds alone make differences of this size (standard error {spread}). {hypothesis}"
    return f"The standard error of this difference is {spread}. {hypothesis}"


def _nothing_yet(study: StudyRecord, findings: Findings) -> str:
    counts = findings.counts
    if counts["running"]:
        return f"No trial is complete yet; {formatting.plural(counts['running'], 'trial')} running."
    if counts["failed"]:
        return f"No trial is complete: {counts['failed']} failed; the reasons are below."
    if counts["pruned"]:
        return f"No trial is complete: {counts['pruned']} pruned."
    if study.config.is_being_set_up:
        return "The study is being set up; no trial has run yet."
    return "No trial has run yet."


def _cost_change(
    cost: Objective, summary: ArchitectureSummary, bare: ArchitectureSummary
) -> str | None:
    change = formatting.cost_change(summary.values, bare.values, cost)
    return None if change is None else f"{change} {cost.title.lower()}"


def noise_details(noise: Noise) -> str:
    """What a noise floor is based on: `standard deviation of one trial, from 12 repeats`."""
    details = f"standard deviation of one trial, from {formatting.plural(noise.freedom, 'repeat')}"
    if noise.shared:
        shared = formatting.points(noise.shared, signed=False)
        details += f", without the {shared} points that all trials of a seed share"
    return details
