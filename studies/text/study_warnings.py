"""What a reader has to know before believing any number of a study, in sentences.

Each stands wherever the numbers stand: `show`, the report, the dashboard and the JSON.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping

from ...errors import StudyError
from ...spaces.architecture import Architecture
from ..analysis.evaluation_images import EvaluationImages
from ..analysis.findings import Findings
from ..analysis.least_squares import LEVEL
from ..objectives import ACCURACY, Objective
from ..records import StudyRecord
from . import formatting
from .metric_format import MetricFormat

MIN_DISAGREEMENTS = 1 + math.ceil(math.log2(1 / LEVEL))
"""McNemar's exact test of two networks is significant only if at least six images are judged
differently, all of them in one direction: 2·(1/2)^6 = 0.03."""
MAX_NAMED = 4
"""Architectures that a warning names."""
USUAL_DISAGREEMENT = 0.06
"""The share of images that two networks of one seed judge differently, where it is not known."""


def study_warnings(
    study: StudyRecord,
    findings: Findings,
    spent_seconds: float = 0.0,
    device_seconds: float = 0.0,
    unmoved: Mapping[Architecture, str] | None = None,
) -> tuple[str, ...]:
    """The warnings about a study.

    Args:
        study: the study.
        findings: of its search.
        spent_seconds: wall time that the study has run for.
        device_seconds: busy time of all devices together.
        unmoved: how many attentions of an architecture still are the identity after training, such
            as `3 of 8`.
    """
    warnings = (
        _failed_only(findings),
        _chance_warning(findings),
        _single_architecture(findings),
        _baselines_only(study, findings, spent_seconds, device_seconds),
        _few_images(findings),
        unmoved_warning(unmoved or {}),
    )
    return tuple(warning for warning in warnings if warning is not None)


def few_images_warning(
    images: int, split: str, metric: Objective, disagreement: float = USUAL_DISAGREEMENT
) -> str | None:
    """A warning if a claim needs more images than there are, else None.

    Args:
        images: their number.
        split: `validation` or `test`.
        metric: of the study.
        disagreement: the share of them that two networks judge differently.
    """
    if images * disagreement >= MIN_DISAGREEMENTS:
        return None
    available = formatting.plural(images, f"{split} image")
    if metric != ACCURACY:
        return (
            f"There are too few images for a claim: {available} say little about the "
            f"{metric.noun} on others, however many seeds there are."
        )
    step = formatting.points(1 / images, signed=False)
    share = max(disagreement, 1 / images)
    error = formatting.points(math.sqrt(share / images), signed=False)
    return (
        f"There are too few images for a claim: with {available} one image is "
        f"{step} points, and a difference of two architectures has a sampling error of "
        f"about {error} points, however many seeds there are."
    )


def unmoved_warning(unmoved: Mapping[Architecture, str]) -> str | None:
    """A warning about attentions that are the identity after training, else None.

    Args:
        unmoved: how many of them there are in an architecture, such as `3 of 8`.
    """
    if not unmoved:
        return None
    names = [
        f"`{formatting.short_architecture(architecture)}` ({count})"
        for architecture, count in unmoved.items()
    ]
    more = len(names) - MAX_NAMED
    if more > 0:
        names = [*names[:MAX_NAMED], formatting.plural(more, "other architecture")]
    return (
        "Some attentions are as they began, although the training is over: "
        f"{formatting.enumeration(names)}. They do nothing, so if all of an architecture are like "
        "that, its gain is noise; train for longer, or with a higher learning rate. Training code "
        "of your own has to train the network that has the attention, not another one."
    )


def chance_sentence(score: float, images: EvaluationImages, split: str, metric: Objective) -> str:
    """That the highest score is not above chance, without a full stop.

    Args:
        score: the highest one.
        images: on which it was measured.
        split: `validation` or `test`.
        metric: of the score.
    """
    form, sample = MetricFormat(metric), formatting.plural(images.count or 0, f"{split} image")
    chance = form.value(images.chance_level(metric.key))
    if metric == ACCURACY:
        return (
            f"no accuracy is above chance: the highest, {form.value(score)} of {sample}, could be "
            f"reached by always naming the most frequent class ({chance})"
        )
    extreme = "lowest" if form.is_reversed else "highest"
    return (
        f"no {metric.noun} is above chance: the {extreme}, {form.value(score)} on {sample}, could "
        f"be reached by guessing ({chance})"
    )


def _failed_only(findings: Findings) -> str | None:
    failed = findings.counts["failed"]
    if not failed or failed != sum(findings.counts.values()):
        return None
    subject = "The only trial has" if failed == 1 else f"All {failed} trials have"
    return f"{subject} failed, so nothing is known about any architecture."


def _few_images(findings: Findings) -> str | None:
    count = findings.images.count
    return None if count is None else few_images_warning(count, "validation", findings.metric)


def _chance_warning(findings: Findings) -> str | None:
    if not findings.at_chance:
        return None
    highest = max(max(summary.scores) for summary in findings.architectures)
    reason = chance_sentence(highest, findings.images, "validation", findings.metric)
    return (
        f"{formatting.sentence(reason)}. The differences are noise: train for longer, or "
        "with another learning rate, before architectures are compared."
    )


def _single_architecture(findings: Findings) -> str | None:
    if len(findings.architectures) != 1:
        return None
    [summary] = findings.architectures
    name = "the bare backbone" if summary.architecture.bare else f"`{summary.architecture}`"
    return f"Only {name} is complete, so there is nothing to compare it with."


def _baselines_only(
    study: StudyRecord, findings: Findings, spent_seconds: float, device_seconds: float
) -> str | None:
    """A warning if the budget ended before the search proposed anything."""
    counts, trained = findings.counts, findings.architectures
    if not trained or counts["running"] or not all(summary.baseline for summary in trained):
        return None
    try:
        plan = study.config.plan
    except StudyError:
        return None
    resume = f"attentune resume {shlex.quote(study.name)}"
    if sum(counts.values()) >= plan.trials:
        budget = "the only trial" if plan.trials == 1 else f"all {plan.trials:,} trials"
        advice = f"`{resume} --trials {max(40, 4 * plan.trials)}` continues"
    elif plan.budget is not None and spent_seconds >= plan.budget:
        budget = f"the whole budget of {formatting.duration(plan.budget)}"
        advice = f"`{resume} --budget {math.ceil(4 * plan.budget)}s` continues"
    elif plan.device_budget is not None and device_seconds >= plan.device_budget:
        budget = f"the whole device time of {formatting.duration(plan.device_budget)}"
        advice = f"`{resume} --device-budget {math.ceil(4 * plan.device_budget)}s` continues"
    else:
        return None
    return (
        f"The baselines took {budget}, so nothing that the search itself proposed is complete; "
        f"{advice}."
    )
