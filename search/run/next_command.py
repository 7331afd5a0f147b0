"""The command that continues a search, ready to be copied and run."""

from __future__ import annotations

import math
import shlex


def resume_command(study: str, total: int, trials: int) -> str:
    """`attentune resume STUDY`, with a larger total if all trials of the plan have run.

    Args:
        study: its name.
        total: the number of trials that the plan asks for.
        trials: the number of trials that have run.
    """
    command = f"attentune resume {shlex.quote(study)}"
    return command if trials < total else f"{command} --trials {larger_total(trials)}"


def larger_total(trials: int) -> int:
    """A round number of trials, at least half as many again as there are, and at least 100."""
    return max(100, math.ceil(1.5 * trials / 100) * 100)
