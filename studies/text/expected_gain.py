"""Whether a search should go on: the expected gain of its next trials in sentences."""

from __future__ import annotations

from ..analysis.findings import Findings
from ..config import RunPlan
from ..objectives import Objective
from ..stored_config import ExpectedGain, StoredConfig
from . import formatting
from .metric_format import MetricFormat


def expected_gain_sentence(config: StoredConfig, findings: Findings) -> str | None:
    """What more trials are expected to add, and whether the search has converged.

    Args:
        config: of the study, with its forecasts and its plan.
        findings: of the study.

    Returns:
        The sentence; None for a study without a forecast, and for one at chance level, whose
        forecast is about noise.
    """
    if not config.expected_gains or findings.at_chance:
        return None
    latest = config.expected_gains[-1]
    sentence = forecast_clause(latest, findings.metric)
    if findings.counts["complete"] + findings.counts["pruned"] > latest.after:
        sentence = f"After {formatting.plural(latest.after, 'trial')}, {sentence}"
    plan = config.plan_if_readable
    if plan is not None and is_too_little(plan, latest, findings.metric):
        sentence += (
            f", less than {threshold_clause(plan, findings.metric)}: the search has converged"
        )
    return f"{sentence}."


def forecast_clause(expected: ExpectedGain, metric: Objective) -> str:
    """`20 more trials are expected to add 0.2 ± 0.3 points`."""
    gain = MetricFormat(metric).gain_with_unit(expected.mean, expected.deviation, signed=False)
    return f"{formatting.plural(expected.trials, 'more trial')} are expected to add {gain}"


def converged_sentence(plan: RunPlan, expected: ExpectedGain, metric: Objective) -> str:
    """Why a search has ended before the last trial of its plan.

    Args:
        plan: of the search.
        expected: the latest forecast.
        metric: that the search is for.
    """
    clause = forecast_clause(expected, metric)
    return f"The search has converged: {clause}, less than {threshold_clause(plan, metric)}."


def end_of_plan_sentence(plan: RunPlan, expected: ExpectedGain, metric: Objective) -> str:
    """Whether a search that has ended with the last trial of its plan has converged.

    Args:
        plan: of the search.
        expected: the latest forecast.
        metric: that the search is for.
    """
    if is_too_little(plan, expected, metric):
        return converged_sentence(plan, expected, metric)
    return (
        f"All {plan.trials} trials of the plan have ended before the search has converged: "
        f"{forecast_clause(expected, metric)}, at least {threshold_clause(plan, metric)}."
    )


def gain_threshold(config: StoredConfig, metric: Objective) -> float | None:
    """The expected gain of the score below which the search ends; None if it does not end so.

    Args:
        config: of the study.
        metric: that it searches for.
    """
    plan = config.plan_if_readable
    return _min_gain(plan, metric) if plan is not None and plan.until == "converged" else None


def is_too_little(plan: RunPlan, expected: ExpectedGain | None, metric: Objective) -> bool:
    """Whether a forecast is below the threshold of a plan; False while there is none.

    Args:
        plan: of the search.
        expected: the latest forecast.
        metric: that the search is for.
    """
    return expected is not None and expected.mean < _min_gain(plan, metric)


def _min_gain(plan: RunPlan, metric: Objective) -> float:
    """`--min-gain` as a difference of scores: it is in points, of AUROC and log loss in hundredths,
    and in the unit of a user's own metric."""
    form = MetricFormat(metric)
    return plan.min_gain if form.is_own and not form.in_percent else plan.min_gain / 100


def threshold_clause(plan: RunPlan, metric: Objective) -> str:
    """The expected gain below which a search of this plan has converged, in words."""
    form = MetricFormat(metric)
    if form.is_own:
        return f"the {form.with_unit(f'{plan.min_gain:g}')} of --min-gain"
    hundredths = "" if form.in_percent else " hundredths"
    return f"the {plan.min_gain:g}{hundredths} of --min-gain"
