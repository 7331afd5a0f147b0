"""What to do next with a study: commands, each with its reason."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from ..analysis.confirmation import Confirmation
from ..analysis.findings import Findings
from ..analysis.recommendation import recommend
from ..stored_config import StoredConfig
from . import formatting
from .expected_gain import is_too_little

MODEL_FOLDER = "model"
"""Where the command of an export writes to."""


@dataclass(frozen=True)
class NextStep:
    """A command that helps next.

    Attributes:
        reason: why, a sentence.
        command: ready to be copied into a shell.
    """

    reason: str
    command: str


@dataclass(frozen=True)
class StudyStatus:
    """How far a study has come.

    Attributes:
        name: of the study.
        database: the path or URL of its database.
        config: its present one.
        findings: of the search.
        confirmation: None if there is none.
        is_running: whether a coordinator runs it now.
        seconds: wall time of the search so far.
    """

    name: str
    database: str
    config: StoredConfig
    findings: Findings
    confirmation: Confirmation | None
    is_running: bool
    seconds: float


def next_steps(status: StudyStatus) -> Iterator[NextStep]:
    """The commands that help next, the most urgent one first; none while the study runs."""
    if status.is_running:
        return
    if (reason := _why_to_resume(status)) is not None:
        yield NextStep(reason, _command(status, "resume"))
    if status.config.is_being_set_up:
        return
    confirmation = status.confirmation
    recommendation = recommend(status.findings, confirmation)
    if recommendation is None:
        return
    if confirmation is not None and confirmation.unfinished:
        unfinished = formatting.plural(confirmation.unfinished, "confirming trial")
        yield NextStep(
            f"The confirmation has {unfinished} that did not end: continue it.",
            _command(status, "confirm"),
        )
    elif recommendation.basis == "search":
        yield NextStep(
            "What a search finds is a hypothesis, because it picks the best of many: test the "
            "finalists with fresh seeds.",
            _command(status, "confirm"),
        )
    number = recommendation.pick.number
    pick = ("export", "--pick", str(number), "-o", MODEL_FOLDER)
    yield NextStep(
        f"Take the recommended model, trial {number}, as files.", _command(status, *pick)
    )


def _why_to_resume(status: StudyStatus) -> str | None:
    """Why the search should be continued; None if it has ended by its plan."""
    config, counts = status.config, status.findings.counts
    if config.is_being_set_up:
        return "The setup was interrupted: continue it."
    plan, unfinished = config.plan_if_readable, counts["running"]
    if unfinished:
        return (
            f"The search was interrupted with {formatting.plural(unfinished, 'unfinished trial')}: "
            "continue it from their last epochs."
        )
    ended = sum(counts.values())
    if plan is None or ended >= plan.trials:
        return None
    if plan.budget is not None and status.seconds >= plan.budget:
        return None
    latest = config.expected_gains[-1] if config.expected_gains else None
    if plan.until == "converged" and is_too_little(plan, latest, status.findings.metric):
        return None
    return (
        f"{formatting.integer(ended)} of {formatting.plural(plan.trials, 'trial')} of the plan "
        "have ended: continue the search."
    )


def _command(status: StudyStatus, action: str, *options: str) -> str:
    words = ["attentune", action, status.name, *options, "--db", status.database]
    return shlex.join(words)
