"""A long study: memory, handles, threads and seconds per trial must not grow with its length."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from scipy import stats

from .attack import AttackRun, Attempt
from .command import check_stated
from .launcher import Patches, launcher
from .small_study import STUDY, SmallStudy, check_database, read_content

TRIALS = 2000
WARM_UP_PART = 0.2
"""The first part of the trials, in which caches fill; the slopes are those of the rest."""
MAX_BYTES_PER_TRIAL = 64 * 2**10
"""Memory that may grow with each trial: its record in attentune, in Optuna and in the sampler."""
MAX_SECONDS_PER_TRIAL_GROWTH = 2e-5
"""A trial may take so many seconds longer than the one before: 40 ms after 2,000 trials."""
QUANTITIES = {
    "memory": ("bytes per trial", MAX_BYTES_PER_TRIAL),
    "handles": ("open files per trial", 1e-3),
    "threads": ("threads per trial", 1e-3),
    "duration": ("seconds per trial per trial", MAX_SECONDS_PER_TRIAL_GROWTH),
}
"""By quantity: the unit of its slope, and the slope that may not be exceeded."""


def soak(run: AttackRun) -> None:
    """One study of 2,000 trials, as far as the time allows."""
    study = SmallStudy(trials=TRIALS, epochs=1, sampler="additive")
    for step in run.steps():
        with run.attempt(step) as attempt:
            probe = attempt.folder / "probe.jsonl"
            command = launcher().start(
                *study.search, cwd=attempt.folder, patches=Patches(probe=str(probe))
            )
            ended = command.wait(run.seconds_left)
            rows = [json.loads(line) for line in probe.read_text().splitlines()]
            run.tally.tried += len(rows) - 1
            if ended.code is not None:
                check_stated(attempt, ended)
            elif len(rows) < TRIALS:
                run.tally.facts["left out"] = f"trials after {len(rows)}, for want of time"
            check_content(attempt, rows)
            run.tally.facts |= measure_slopes(attempt, rows)
            size = (attempt.folder / "attentune.db").stat().st_size
            run.tally.facts["database, bytes per trial"] = round(size / len(rows))
        return


def check_content(attempt: Attempt, rows: Sequence[Any]) -> None:
    """Report trials that have ended and are not recorded."""
    content = read_content(attempt.folder / "attentune.db", STUDY)
    complete = sum(row[4] == "complete" for row in content.trials)
    if complete < len(rows):
        attempt.lost(f"{len(rows)} trials have ended, {complete} are recorded")
    if len(rows) == TRIALS:
        check_database(attempt, attempt.folder)


def measure_slopes(attempt: Attempt, rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The growth of each quantity per trial, with its 95 % interval.

    A slope is reported as wrong if its whole interval is above the limit.
    """
    rows = [
        row | {"duration": row["seconds"] - before["seconds"]}
        for before, row in itertools.pairwise(rows)
    ]
    rows = rows[int(WARM_UP_PART * len(rows)) :]
    facts = {}
    for name, (unit, limit) in QUANTITIES.items():
        values = [row[name] for row in rows]
        low, slope, high = theil_sen(values)
        facts[f"{name}, {unit}"] = {"slope": slope, "low": low, "high": high, "limit": limit}
        if low > limit:
            attempt.wrong(f"{name} grows by {slope:g} ({low:g} to {high:g}) {unit}")
    return facts


def theil_sen(values: Sequence[float], max_points: int = 400) -> tuple[float, float, float]:
    """The median slope per step and its 95 % interval, of evenly chosen points.

    Args:
        values: one for each step.
        max_points: pairs of all points are compared, so their number is limited.
    """
    step = max(1, len(values) // max_points)
    steps = range(0, len(values), step)
    result = stats.theilslopes([values[i] for i in steps], list(steps), 0.95)
    return float(result.low_slope), float(result.slope), float(result.high_slope)
