"""Whether a search should go on: the expected gain of its next trials in sentences."""

from __future__ import annotations

from ..analysis.findings import Findings
from ..config import RunPlan
from ..stored_config import ExpectedGain, StoredConfig
from . import formatting


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
    sentence = forecast_clause(latest)
    if findings.counts["complete"] + findings.counts["pruned"] > latest.after:
        sentence = f"After {formatting.plural(latest.after, 'trial')}, {sentence}"
    plan = config.plan_if_readable
    if plan is not None and is_too_little(plan, latest):
        sentence += f", less than {_threshold(plan)}: the search has converged"
    return f"{sentence}."


def forecast_clause(expected: ExpectedGain) -> str:
    """`20 more trials are expected to add 0.2 ± 0.3 points`."""
    gain = formatting.points(expected.mean, expected.deviation, signed=False)
    return f"{formatting.plural(expected.trials, 'more trial')} are expected to add {gain} points"


def converged_sentence(plan: RunPlan, expected: ExpectedGain) -> str:
    """Why a search has ended before the last trial of its plan."""
    return f"The search has converged: {forecast_clause(expected)}, less than {_threshold(plan)}."


def end_of_plan_sentence(plan: RunPlan, expected: ExpectedGain) -> str:
    """Whether a search that has ended with the last trial of its plan has converged."""
    if is_too_little(plan, expected):
        return converged_sentence(plan, expected)
    return (
        f"All {plan.trials} trials of the plan have ended before the search has converged: "
        f"{forecast_clause(expected)}, at least {_threshold(plan)}."
    )


def gain_threshold(config: StoredConfig) -> float | None:
    """The expected gain below which the search ends, in points; None if it does not end so."""
    plan = config.plan_if_readable
    return plan.min_gain if plan is not None and plan.until == "converged" else None


def is_too_little(plan: RunPlan, expected: ExpectedGain | None) -> bool:
    """Whether a forecast is below the threshold of a plan; False while there is none."""
    return expected is not None and 100 * expected.mean < plan.min_gain


def _threshold(plan: RunPlan) -> str:
    return f"the {plan.min_gain:g} of --min-gain"
