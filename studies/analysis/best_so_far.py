"""The best result so far as a search proceeds, by the estimate of the study as it is now.

The highest result that was measured would rise with the number of trials even if all architectures
were alike, because it picks the most fortunate seed. So each architecture counts with its present
estimate, from the end of its first complete trial on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .architecture_table import ArchitectureTable
from .trial_table import COMPLETE, RUNNING, Floats, Ints


@dataclass(frozen=True, eq=False)
class BestSoFar:
    """The n complete trials in the order in which they have ended.

    Attributes:
        ended: (n,) how many trials had ended with each, pruned and failed ones included.
        numbers: (n,) of the trials.
        scores: (n,) as measured.
        best: (n,) the highest estimate of an architecture that was complete by then.
        bare: the estimate of the bare backbone; None while it is not complete.
        deviation: of a single trial, the noise; None while no trial is complete.
    """

    ended: Ints
    numbers: Ints
    scores: Floats
    best: Floats
    bare: float | None
    deviation: float | None


def find_best_so_far(rows: npt.NDArray[Any], table: ArchitectureTable) -> BestSoFar:
    """The best result after each complete trial.

    Args:
        rows: all trials of a search, as in `TrialTable.rows`.
        table: its architectures; trials that it lacks are left out.
    """
    rows = rows[rows["state"] != RUNNING]
    rows = rows[np.lexsort((rows["number"], rows["finished"]))]  # Unknown times, NaN, are last.
    estimates = np.full(max(len(table.texts), 1), np.nan)
    estimates[table.text_indices] = table.score
    ended = np.arange(1, len(rows) + 1)
    known = (rows["state"] == COMPLETE) & (rows["architecture"] < len(estimates))
    known[known] = ~np.isnan(estimates[rows["architecture"][known]])
    complete = rows[known]
    return BestSoFar(
        ended=ended[known],
        numbers=np.asarray(complete["number"]),
        scores=np.asarray(complete["score"]),
        best=np.maximum.accumulate(estimates[complete["architecture"]]),
        bare=None if table.bare is None else float(table.score[table.bare]),
        deviation=None if table.noise is None else table.noise.deviation,
    )
