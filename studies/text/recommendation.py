"""The recommendation of a study in one sentence: the same on every surface."""

from __future__ import annotations

from ..analysis.findings import ArchitectureSummary, Findings
from ..analysis.recommendation import Recommendation
from ..objectives import ACCURACY, Objective
from . import formatting
from .metric_format import MetricFormat


def recommendation_sentence(recommendation: Recommendation, findings: Findings) -> str:
    """What to take and why.

    Args:
        recommendation: of the study.
        findings: of the study.
    """
    if recommendation.is_saving:
        return _save(recommendation, findings)
    if recommendation.basis == "confirmation":
        return _confirmed(recommendation, MetricFormat(findings.metric))
    if recommendation.keeps_bare:
        return _keep_bare(recommendation, findings)
    pick = recommendation.pick
    sentence = f"Take `{pick.architecture}`: {_gain(pick, findings)} over the bare backbone"
    changes = _cost_changes(pick, findings)
    sentence += f" for {formatting.enumeration(changes)}" if changes else ""
    if recommendation.rival is not None:
        sentence += f"; {_rival(recommendation.rival, findings)}"
    return f"{sentence}."


def cost_change(
    cost: Objective, summary: ArchitectureSummary, bare: ArchitectureSummary
) -> str | None:
    """How much more an architecture costs than the bare backbone: `+1.4 % parameters`.

    Args:
        cost: an objective.
        summary: of the architecture.
        bare: of the bare backbone.

    Returns:
        None if one of them lacks this cost.
    """
    change = formatting.cost_change(summary.values, bare.values, cost)
    return None if change is None else f"{change} {cost.title.lower()}"


def export_note(
    recommendation: Recommendation | None, pick: ArchitectureSummary, metric: Objective
) -> str | None:
    """What an export says of an architecture that the study does not recommend; else None.

    That of the bare backbone is always said.

    Args:
        recommendation: of the study; None while there is none.
        pick: the architecture that is exported.
        metric: of the study.
    """
    remark = _worth_of_attention(pick, metric)
    if recommendation is None:
        return remark
    chosen = recommendation.pick
    if pick.architecture == chosen.architecture:
        return remark if pick.architecture.bare else None
    basis = "After its confirmation, the" if recommendation.basis == "confirmation" else "The"
    is_bare = chosen.architecture.bare
    name = formatting.short_architecture(chosen.architecture)
    text = f"the bare `{chosen.architecture}`" if is_bare else f"`{name}`"
    other = f"{basis} study recommends {text}; --pick {chosen.number} exports it."
    return other if remark is None else f"{remark} {other}"


def _worth_of_attention(pick: ArchitectureSummary, metric: Objective) -> str | None:
    """A remark on an architecture that has no attention, or none that is known to help."""
    if pick.architecture.bare:
        return "This is the bare backbone, without any attention."
    if pick.gain is None:
        return "The bare backbone has no complete trial, so it is unknown whether attention helps."
    if not pick.is_better_than_bare:
        gain = MetricFormat(metric).gain_with_unit(pick.gain, pick.gain_error)
        return (
            "This architecture is not better than the bare backbone by more than chance explains "
            f"({gain})."
        )
    return None


def _keep_bare(recommendation: Recommendation, findings: Findings) -> str:
    count, rival = len(findings.architectures) - 1, recommendation.rival
    assert rival is not None  # The bare backbone is recommended over something.
    name = formatting.short_architecture(rival.architecture)
    if count > 1:
        reason = (
            f"none of {count} architectures beats it by more than chance explains; the best, "
            f"`{name}`, gains {_gain(rival, findings)}"
        )
    else:
        reason = (
            f"`{name}` does not beat it by more than chance explains; its gain is "
            f"{_gain(rival, findings)}"
        )
    return f"Keep the bare `{recommendation.pick.architecture}`: {reason}."


def _save(recommendation: Recommendation, findings: Findings) -> str:
    """What to take because it is cheaper than the bare backbone, and loses nothing."""
    pick, contender = recommendation.pick, recommendation.contender
    architecture = pick.architecture
    action = f"Take `{architecture}`"
    if architecture.removed and not architecture.insertions:
        removed = formatting.removed_attention(architecture.backbone, architecture.removed)
        action = f"Remove {removed} (`{architecture}`)"
    gain, sample = _gain(pick, findings), ""
    if contender is not None and contender.gain is not None:
        form, difference = MetricFormat(findings.metric), contender.gain
        gain = form.gain_with_unit(difference.mean, difference.standard_error)
        sample = " with fresh seeds on the test split"
    changes = formatting.enumeration(_cost_changes(pick, findings))
    return f"{action}: {changes}, at no measurable loss ({gain} against the bare backbone{sample})."


def _cost_changes(pick: ArchitectureSummary, findings: Findings) -> list[str]:
    bare = findings.bare
    if bare is None:
        return []
    return [change for cost in findings.costs if (change := cost_change(cost, pick, bare))]


def _rival(rival: ArchitectureSummary, findings: Findings) -> str:
    name = formatting.short_architecture(rival.architecture)
    costs = [
        change
        for cost in findings.costs[:1]
        if findings.bare and (change := cost_change(cost, rival, findings.bare))
    ]
    price = f" and costs {costs[0]}" if costs else ""
    best = "the most accurate" if findings.metric == ACCURACY else "the best"
    return f"{best}, `{name}`, is not ahead of it by more than one standard error{price}"


def _confirmed(recommendation: Recommendation, form: MetricFormat) -> str:
    contender = recommendation.contender
    assert contender is not None
    assert contender.gain is not None
    gain = form.gain_with_unit(contender.gain.mean, contender.gain.standard_error)
    if recommendation.keeps_bare:
        name = formatting.short_architecture(contender.architecture)
        return (
            f"Keep the bare `{recommendation.pick.architecture}`: with fresh seeds on the test "
            f"split no architecture can be claimed to beat it; the best, `{name}`, gains {gain} "
            "there."
        )
    return (
        f"Take `{recommendation.pick.architecture}`: {gain} over the bare backbone with "
        "fresh seeds on the test split."
    )


def _gain(summary: ArchitectureSummary, findings: Findings) -> str:
    assert summary.gain is not None
    return MetricFormat(findings.metric).gain_with_unit(summary.gain, summary.gain_error)
