"""The result of a study in one sentence, and a caveat: what every surface begins with."""

from __future__ import annotations

from ..analysis.confirmation import Confirmation
from ..analysis.findings import Findings, Noise
from ..analysis.recommendation import is_at_chance, recommend
from ..objectives import Objective
from ..records import StudyRecord
from . import formatting
from .metric_format import MetricFormat
from .recommendation import recommendation_sentence


def summary_sentence(
    study: StudyRecord, findings: Findings, confirmation: Confirmation | None = None
) -> str:
    """The recommendation, or why there is none yet.

    Args:
        study: the study.
        findings: of the study.
        confirmation: of the study; None if there is none.
    """
    recommendation = recommend(findings, confirmation)
    if recommendation is not None:
        return recommendation_sentence(recommendation, findings)
    best = findings.best
    if best is None:
        return _nothing_yet(study, findings)
    if is_at_chance(findings, confirmation):
        return f"Nothing can be recommended, because no {findings.metric.noun} is above chance."
    reached = MetricFormat(findings.metric).value(best.score, best.standard_error)
    if best.architecture.bare:
        return f"The bare {study.backbone} reaches {reached}; nothing else is complete yet."
    return (
        f"`{best.architecture}` is the best so far, with {reached}; the bare backbone is not "
        "complete yet, so there is no comparison."
    )


def caveat(findings: Findings, confirmation: Confirmation | None = None) -> str | None:
    """What a recommendation of the search rests on; None if it claims no gain.

    Args:
        findings: of the study.
        confirmation: of the study; None if there is none.
    """
    recommendation = recommend(findings, confirmation)
    if recommendation is None or recommendation.keeps_bare:
        return None
    if recommendation.basis == "confirmation":
        return None
    tried = formatting.plural(len(findings.architectures), "architecture")
    sentence = (
        f"It was chosen among {tried} on the validation images, so it is a hypothesis until "
        "`attentune confirm` tests it with fresh seeds."
    )
    if findings.noise is not None and not findings.noise.repeats:
        sentence += " No architecture has run with two seeds, so the noise of a trial is assumed."
    return sentence


def _nothing_yet(study: StudyRecord, findings: Findings) -> str:
    counts = findings.counts
    if counts["running"]:
        verb = "has" if counts["running"] == 1 else "have"
        begun = formatting.plural(counts["running"], "trial")
        return f"No trial is complete yet; {begun} {verb} begun."
    if counts["failed"]:
        return f"No trial is complete: {counts['failed']} failed."
    if counts["pruned"]:
        return f"No trial is complete: {counts['pruned']} pruned."
    if study.config.is_being_set_up:
        return "The study is being set up; no trial has run yet."
    return "No trial has run yet."


def noise_details(noise: Noise, metric: Objective) -> str:
    """What a noise floor is based on: `standard deviation of one trial, from 12 repeats`."""
    if not noise.repeats:
        return "standard deviation of one trial, assumed: no architecture has two seeds yet"
    shared = MetricFormat(metric).gain_with_unit(noise.shared, signed=False)
    return (
        f"standard deviation of one trial, from {formatting.plural(noise.repeats, 'repeat')}, "
        f"without the {shared} that all trials of a seed share"
    )
