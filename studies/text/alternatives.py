"""The alternatives to attention in words: what they are, and what they gain for their cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ...runners.recipe import Recipe
from ..alternatives import Alternative, AlternativeKind, AlternativesPlan
from ..analysis.alternatives import AlternativesSummary, AlternativeSummary
from ..objectives import OBJECTIVES, Objective
from . import formatting

KIND_TITLES: dict[AlternativeKind, str] = {
    "backbone": "a larger backbone",
    "epochs": "more epochs",
    "images": "larger images",
}
FAIRNESS = (
    "They have the recipe and the seeds of the bare backbone. Its learning rate too, which was not "
    "tuned for them."
)
SURE_ERRORS = 2.0
"""Standard errors by which two gains have to differ before one is said to be larger."""
_STATED_COSTS: dict[AlternativeKind, tuple[str, ...]] = {
    "backbone": ("params", "macs", "latency"),
    "epochs": (),
    "images": ("macs", "latency"),
}
"""Names of the objectives that an alternative of a kind changes."""


def alternative_title(alternative: Alternative, recipe: Recipe) -> str:
    """A short name of an alternative: `resnet34`, `12 epochs`, `images of 40×40`.

    Args:
        alternative: what is trained.
        recipe: that of the bare backbone.
    """
    return job_title(alternative.kind, alternative.backbone, alternative.recipe(recipe))


def job_title(kind: AlternativeKind, backbone: str, recipe: Recipe) -> str:
    """A short name of what a trial of an alternative trains.

    Args:
        kind: of the alternative.
        backbone: that is trained.
        recipe: with which it is trained.
    """
    match kind:
        case "backbone":
            return backbone
        case "epochs":
            return formatting.plural(recipe.epochs, "epoch")
        case "images":
            return f"images of {recipe.image_size}×{recipe.image_size}"


def plan_sentences(plan: AlternativesPlan, recipe: Recipe) -> Iterator[str]:
    """What is trained as alternatives and why, and which kinds of alternatives are missing.

    Args:
        plan: the alternatives of a study.
        recipe: that of its bare backbone.
    """
    for alternative in plan.alternatives:
        yield f"alternative: {alternative_title(alternative, recipe)} ({alternative.reason})"
    yield from missing_sentences(plan)


def missing_sentences(plan: AlternativesPlan | AlternativesSummary) -> Iterator[str]:
    """Which kinds of alternatives are missing, and why."""
    for kind, reason in plan.missing.items():
        yield f"no alternative with {KIND_TITLES[kind]}: {reason}"


def alternatives_sentence(
    summary: AlternativesSummary, attention: str, gain: float | None, gain_error: float | None
) -> str:
    """What attention gains, and what each alternative gains instead.

    Args:
        summary: of the alternatives.
        attention: the name of the best architecture with attention; empty if the bare backbone is
            the best.
        gain: over the bare backbone, a fraction; None if the bare backbone is the best.
        gain_error: its standard error.
    """
    judged = [a for a in summary.alternatives if a.gain is not None]
    if not judged:
        return "No alternative to attention is complete yet."
    parts = [_gain_phrase(alternative, summary) for alternative in judged]
    if gain is None:
        return f"Instead of attention, {'; '.join(parts)}. {_verdict(judged, 0.0, 0.0)}"
    with_attention = f"{attention} gains {formatting.points(gain, gain_error)} points"
    verdict = _verdict(judged, gain, gain_error or 0.0)
    return f"{with_attention}; instead, {'; '.join(parts)}. {verdict}"


def _gain_phrase(alternative: AlternativeSummary, summary: AlternativesSummary) -> str:
    """`resnet34 gains +2.1 ± 0.4 points for +90.1 % parameters`."""
    assert alternative.gain is not None
    kind = alternative.alternative.kind
    title = job_title(kind, alternative.alternative.backbone, alternative.recipe)
    verb = "gains" if kind == "backbone" else "gain"
    gain = formatting.points(alternative.gain, alternative.gain_error)
    changes = cost_changes(alternative, summary)
    costs = f" for {formatting.enumeration(changes)}" if changes else ""
    return f"{title} {verb} {gain} points{costs}"


def cost_changes(alternative: AlternativeSummary, summary: AlternativesSummary) -> list[str]:
    """How much an alternative costs more than the bare backbone: `+90.1 % parameters`."""
    kind, bare = alternative.alternative.kind, summary.bare_values
    costs = [OBJECTIVES[name] for name in _STATED_COSTS[kind]]
    changes = [
        f"{formatting.relative_change(alternative.values[c.key], bare[c.key])} {c.title.lower()}"
        for c in costs
        if c.key in alternative.values and c.key in bare
    ]
    if kind == "epochs" and summary.bare_epochs:
        change = formatting.relative_change(alternative.recipe.epochs, summary.bare_epochs)
        changes.append(f"{change} training time")
    return changes


def _verdict(judged: Sequence[AlternativeSummary], gain: float, gain_error: float) -> str:
    """Whether the alternatives gain more than attention, which gains 0 if the bare is the best."""
    attention = "attention" if gain_error else "the bare backbone"
    best = max(judged, key=lambda a: a.gain or 0.0)
    title = job_title(best.alternative.kind, best.alternative.backbone, best.recipe)
    difference = (best.gain or 0.0) - gain
    error = math.hypot(best.gain_error or 0.0, gain_error)
    if abs(difference) <= SURE_ERRORS * error:
        return f"The best of them, {title}, differs from {attention} by no more than the noise."
    if difference > 0:
        return f"The best of them, {title}, is better than {attention} by more than the noise."
    return f"None of them is as good as {attention}; the differences exceed the noise."


def alternatives_header(costs: Sequence[Objective]) -> list[str]:
    """The columns of a table of alternatives; one that begins with `>` is aligned to the right."""
    return [
        "instead of attention",
        *(">accuracy", ">gain", ">seeds"),
        *(f">{cost.title.lower()}" for cost in costs),
        ">training time",
        "",
    ]


def alternatives_rows(
    summary: AlternativesSummary, costs: Sequence[Objective]
) -> Iterator[list[str]]:
    """A row of a table for each alternative, with the columns of `alternatives_header`.

    Args:
        summary: of the alternatives.
        costs: those to show, each with its change from the bare backbone.
    """
    for alternative in summary.alternatives:
        kind, gain = alternative.alternative.kind, alternative.gain
        yield [
            job_title(kind, alternative.alternative.backbone, alternative.recipe),
            formatting.percent(alternative.accuracy),
            formatting.MISSING if gain is None else formatting.points(gain, alternative.gain_error),
            str(len(alternative.seeds)),
            *(_cost_cell(alternative, summary, cost) for cost in costs),
            _training_cell(alternative),
            _remark(alternative),
        ]


def shown_costs(summary: AlternativesSummary) -> list[Objective]:
    """Parameters, MACs and the other costs that are known of an alternative."""
    known = {key for alternative in summary.alternatives for key in alternative.values}
    return [cost for cost in OBJECTIVES.values() if cost.key in known]


def _cost_cell(
    alternative: AlternativeSummary, summary: AlternativesSummary, cost: Objective
) -> str:
    value, bare = alternative.values.get(cost.key), summary.bare_values.get(cost.key)
    if value is None or bare is None or value == bare:
        return formatting.cost(value, cost)
    return f"{formatting.cost(value, cost)} ({formatting.relative_change(value, bare)})"


def _training_cell(alternative: AlternativeSummary) -> str:
    ratio = alternative.training_ratio
    return formatting.MISSING if ratio is None else f"× {ratio:.2f}"


def _remark(alternative: AlternativeSummary) -> str:
    """What has to be known about an alternative beside its numbers."""
    remarks = []
    if alternative.failure is not None:
        remarks.append(f"failed, {alternative.failure.kind}: {alternative.failure.message}")
    if alternative.running:
        remarks.append(f"{alternative.running} running")
    if alternative.exceeded_limit is not None:
        remarks.append(alternative.exceeded_limit)
    return "; ".join(remarks)
