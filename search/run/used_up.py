"""Why a plan lets no more trials start, and how to continue, in one or two sentences."""

from __future__ import annotations

import shlex

from ...studies.config import RunPlan
from ...studies.records import StudyRecord
from ...studies.stored_config import ExpectedGain
from ...studies.text.expected_gain import converged_sentence, is_too_little
from ...studies.text.formatting import duration, plural
from .next_command import resume_command
from .study_lease import StudyLease


def used_up_sentence(
    plan: RunPlan,
    study: StudyRecord,
    lease: StudyLease,
    trials: int,
    expected: ExpectedGain | None = None,
) -> str | None:
    """Which total is used up, or that the search has converged; None if more trials may start.

    Args:
        plan: its totals are over all runs.
        study: the study.
        lease: the time that was spent.
        trials: the number of trials that have started.
        expected: what more trials are expected to add; None if that is unknown.
    """
    if trials >= plan.trials:
        started = f"{plural(trials, 'trial')} {'has' if trials == 1 else 'have'} started"
        return (
            f"{started}, so a total of {plan.trials} starts no more. `"
            f"{resume_command(study.name, plan.trials, trials)}` continues."
        )
    spent = {
        "budget": ("time", plan.budget, lease.wall_seconds),
        "device-budget": ("device time", plan.device_budget, lease.device_seconds),
    }
    for option, (noun, budget, seconds) in spent.items():
        if budget is not None and seconds >= budget:
            return (
                f"The {noun} budget of {duration(budget)} is used up: {duration(seconds)} over all "
                f"runs, with {trials} of {plural(plan.trials, 'trial')} started. To continue, give "
                f"a larger total: `attentune resume {shlex.quote(study.name)} --{option} …`."
            )
    converges = plan.until == "converged"
    if converges and expected is not None and is_too_little(plan, expected, study.metric):
        return (
            f"{converged_sentence(plan, expected, study.metric)} To continue nevertheless: "
            f"`attentune resume {shlex.quote(study.name)} --until trials`."
        )
    return None
