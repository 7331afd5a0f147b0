"""The alternatives to attention in words: what they are, and what they gain for their cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ...runners.recipe import Recipe
from ..alternatives import Alternative, AlternativeKind, AlternativesPlan
from ..analysis.alternatives import AlternativesSummary, AlternativeSummary
from ..analysis.confirmed_alternatives import ConfirmedAlternative
from ..analysis.findings import MIN_ERRORS_OF_A_GAIN, ArchitectureSummary
from ..objectives import OBJECTIVES, Objective
from . import formatting
from .confirmation import gain_text, p_value
from .metric_format import MetricFormat

KIND_TITLES: dict[AlternativeKind, str] = {
    "backbone": "a larger backbone",
    "epochs": "more epochs",
    "images": "larger images",
}
FAIRNESS = (
    "Trained with the recipe and the seeds of the bare backbone, and with its learning rate, which "
    "was not tuned for them:"
)
_STATED_COSTS: dict[AlternativeKind, tuple[str, ...]] = {
    "backbone": ("params", "macs", "latency"),
    "epochs": (),
    "images": ("macs", "latency"),
}
_COSTS_OF_ATTENTION = ("params", "latency")
"""Names of the objectives that an alternative of a kind changes, and attention does."""


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


def summary_title(summary: AlternativeSummary) -> str:
    """A short name of an alternative whose trials were summarised."""
    return job_title(summary.alternative.kind, summary.alternative.backbone, summary.recipe)


def plan_sentences(plan: AlternativesPlan, recipe: Recipe) -> Iterator[str]:
    """What is trained as alternatives and why, and which kinds of alternatives are missing.

    Args:
        plan: the alternatives of a study.
        recipe: that of its bare backbone.
    """
    for alternative in plan.alternatives:
        yield f"alternative: {alternative_title(alternative, recipe)} ({alternative.reason})"
    for kind, reason in plan.missing.items():
        yield _missing_sentence(kind, reason)


def alternatives_sentence(
    summary: AlternativesSummary,
    attention: ArchitectureSummary | None,
    *,
    keeps_bare: bool = True,
    at_chance: bool = False,
) -> str:
    """What attention gains, and what each alternative gains instead.

    Args:
        summary: of the alternatives.
        attention: the architecture that stands for attention; None if there is none.
        keeps_bare: whether that is not better than the bare backbone, which the alternatives are
            then compared with.
        at_chance: whether no architecture of the search is better than guessing.
    """
    judged = [alternative for alternative in summary.alternatives if alternative.gain is not None]
    if not judged:
        return "No alternative to attention is complete yet."
    phrases = "; ".join(_gain_phrase(alternative, summary) for alternative in judged)
    best = max(judged, key=lambda alternative: alternative.gain or 0.0)
    gain, error = (0.0, 0.0) if attention is None else (attention.gain or 0.0, attention.gain_error)
    rival, rival_gain, rival_error = ("attention", gain, error)
    if attention is None or keeps_bare:
        rival, rival_gain, rival_error = "the bare backbone", 0.0, 0.0
    difference = (best.gain or 0.0) - rival_gain
    verdict = _verdict(summary_title(best), rival, difference, (best.gain_error, rival_error))
    if at_chance:
        verdict = (
            "The search is at chance level, so this does not tell whether attention is worth it."
        )
    if attention is None:
        return f"Instead of attention, {phrases}. {verdict}"
    name = formatting.short_architecture(attention.architecture)
    form = MetricFormat(summary.metric)
    changes = _changes(attention.values, summary.bare_values, _COSTS_OF_ATTENTION)
    costs = f" for {formatting.enumeration(changes)}" if changes else ""
    with_attention = f"`{name}` gains {form.gain_with_unit(gain, error)}{costs}"
    return f"{with_attention}; instead of attention, {phrases}. {verdict}"


def _gain_phrase(alternative: AlternativeSummary, summary: AlternativesSummary) -> str:
    """`resnet34 gains +2.1 ± 0.4 points for +90.1 % parameters`."""
    assert alternative.gain is not None
    verb = "gains" if alternative.alternative.kind == "backbone" else "gain"
    gain = MetricFormat(summary.metric).gain_with_unit(alternative.gain, alternative.gain_error)
    changes = cost_changes(alternative, summary)
    costs = f" for {formatting.enumeration(changes)}" if changes else ""
    return f"{summary_title(alternative)} {verb} {gain}{costs}"


def _changes(
    values: Mapping[str, float], bare: Mapping[str, float], names: Sequence[str]
) -> list[str]:
    """How much higher some costs are than those of the bare backbone, as far as they are known."""
    return [
        f"{change} {cost.title.lower()}"
        for cost in (OBJECTIVES[name] for name in names)
        if (change := formatting.cost_change(values, bare, cost)) is not None
    ]


def _verdict(
    title: str, rival: str, difference: float, errors: tuple[float | None, float | None]
) -> str:
    """How the best alternative compares with attention, or with the bare backbone.

    Args:
        title: of the best alternative.
        rival: what it is compared with.
        difference: its gain minus that of the rival.
        errors: standard errors of the two gains; None if one is not known.
    """
    error, rival_error = errors
    if error is None or rival_error is None:
        return "How much of these differences is noise is not known yet."
    if abs(difference) <= MIN_ERRORS_OF_A_GAIN * math.hypot(error, rival_error):
        return f"The best of these, {title}, differs from {rival} by no more than noise."
    if difference > 0:
        return f"The best of these, {title}, is better than {rival} by more than noise."
    return f"None of these is as good as {rival}; the difference exceeds the noise."


def cost_changes(alternative: AlternativeSummary, summary: AlternativesSummary) -> list[str]:
    """How much an alternative costs more than the bare backbone: `+90.1 % parameters`."""
    kind = alternative.alternative.kind
    changes = _changes(alternative.values, summary.bare_values, _STATED_COSTS[kind])
    if kind == "epochs" and summary.bare_epochs:
        change = formatting.relative_change(alternative.recipe.epochs, summary.bare_epochs)
        changes.append(f"{change} training time")
    return changes


def alternatives_header(metric: Objective, costs: Sequence[Objective]) -> list[str]:
    """The columns of a table of alternatives; one that begins with `>` is aligned to the right."""
    names = [f">{cost.name}" for cost in costs]
    return [">trial", f">{metric.noun}", ">gain", ">seeds", *names, ">training", "alternative"]


def alternatives_rows(
    summary: AlternativesSummary, costs: Sequence[Objective]
) -> Iterator[list[str]]:
    """A row of a table for each alternative, with the columns of `alternatives_header`.

    Args:
        summary: of the alternatives.
        costs: those to show.
    """
    form = MetricFormat(summary.metric)
    for alternative in summary.alternatives:
        gain, ratio = alternative.gain, alternative.training_ratio
        yield [
            f"#{alternative.numbers[0]}" if alternative.numbers else formatting.MISSING,
            form.value(alternative.score),
            formatting.MISSING if gain is None else form.gain(gain, alternative.gain_error),
            str(len(alternative.seeds)),
            *(formatting.cost_of(alternative.values, cost) for cost in costs),
            formatting.MISSING if ratio is None else f"× {ratio:.1f}",
            summary_title(alternative),
        ]


def remark_sentences(summary: AlternativesSummary) -> Iterator[str]:
    """What has to be known beside the numbers: why there are none, and which limit is exceeded."""
    for alternative in summary.alternatives:
        title, failure = summary_title(alternative), alternative.failure
        if failure is not None:
            yield f"{title} failed, {failure.kind}: {failure.message}"
        if alternative.exceeded_limit is not None:
            yield f"{title} is trained although it exceeds a limit: {alternative.exceeded_limit}."
    for kind, reason in summary.missing.items():
        yield _missing_sentence(kind, reason)


def _missing_sentence(kind: AlternativeKind, reason: str) -> str:
    return f"There is no alternative with {KIND_TITLES[kind]}: {reason.rstrip('.')}."


def confirmed_sentence(confirmed: Sequence[ConfirmedAlternative]) -> str | None:
    """What the alternatives gain on the test split with fresh seeds; None without any."""
    judged = [alternative for alternative in confirmed if alternative.gain is not None]
    if not judged:
        return None
    phrases = (_confirmed_phrase(alternative) for alternative in judged)
    sentence = f"Alternatives to attention, on the test split: {'; '.join(phrases)}."
    leads = {a: a.lead for a in judged if a.lead is not None}
    ahead = [_confirmed_title(a) for a, d in leads.items() if d.claimed and d.mean > 0]
    behind = [_confirmed_title(a) for a, d in leads.items() if d.claimed and d.mean < 0]
    if ahead:
        sentence += f" Better than the best attention: {formatting.enumeration(ahead)}."
    if behind:
        sentence += f" Worse than the best attention: {formatting.enumeration(behind)}."
    if leads and not ahead and not behind:
        sentence += " None of them can be told from the best attention."
    return sentence


def _confirmed_phrase(alternative: ConfirmedAlternative) -> str:
    """`resnet34 gains +2.1 ± 0.4 points (p < 0.001)`."""
    gain = alternative.gain
    assert gain is not None
    verb = "gains" if alternative.alternative.kind == "backbone" else "gain"
    difference = MetricFormat(alternative.metric).with_unit(gain_text(gain, alternative.metric))
    p = "" if gain.corrected is None else f" ({p_value(gain.corrected)})"
    return f"{_confirmed_title(alternative)} {verb} {difference}{p}"


def _confirmed_title(alternative: ConfirmedAlternative) -> str:
    return job_title(
        alternative.alternative.kind, alternative.alternative.backbone, alternative.recipe
    )
