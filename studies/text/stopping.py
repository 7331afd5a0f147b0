"""The answer to "should I stop?", from the latest forecast of a search."""

from __future__ import annotations

from ..analysis.findings import Findings
from ..stored_config import StoredConfig
from . import formatting
from .expected_gain import forecast_clause, is_too_little, threshold_clause


def stopping_sentence(config: StoredConfig, findings: Findings) -> str:
    """Whether more trials are worth their time, in one or two sentences.

    Args:
        config: of the study, with its forecasts and its plan.
        findings: of the study.
    """
    if findings.at_chance:
        return (
            "Stop: no result is above that of guessing, so more trials of this kind compare noise. "
            "Check the data and the recipe first."
        )
    plan, metric = config.plan_if_readable, findings.metric
    if not config.expected_gains or plan is None:
        return "That cannot be said yet: a search makes a forecast once some trials are complete."
    latest = config.expected_gains[-1]
    clause = forecast_clause(latest, metric)
    if findings.counts["complete"] + findings.counts["pruned"] > latest.after:
        clause = f"after {formatting.plural(latest.after, 'trial')}, {clause}"
    if is_too_little(plan, latest, metric):
        return f"Yes: {clause}, less than {threshold_clause(plan, metric)}."
    sentence = f"No: {clause}, at least {threshold_clause(plan, metric)}."
    if latest.mean < latest.deviation:
        sentence += " But they may well add nothing: the forecast is within its own uncertainty."
    return sentence
