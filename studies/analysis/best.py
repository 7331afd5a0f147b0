"""The best architecture of a study: the only definition of "best".

The best architecture has the highest mean accuracy over its seeds minus the standard error of that
mean. Seed effects are removed first (`seed_effects`). The error follows from the study's noise,
pooled over all architectures, and from the number of seeds. It keeps an architecture with one
fortunate seed from replacing one that was good with several: among many architectures with one seed
each, the highest accuracy is mostly chance. While no architecture has two seeds, the noise is
unknown and no error is subtracted. Ties go to the architecture with fewer parameters, then to the
one that was trained first. Only complete trials count. Confirming trials are evaluated on the test
split and do not count.

`attentune list`, `show`, `report`, `export --pick best`, the dashboard and the display of a running
search all use this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..records import TrialRecord
from .architecture_table import ArchitectureTable
from .findings import ArchitectureSummary, Noise
from .trial_table import TrialTable


def best_of_trials(trials: Iterable[TrialRecord]) -> ArchitectureSummary | None:
    """The best architecture of some trials; None while none is complete."""
    return best_of_table(TrialTable.of(trials))


def best_of_table(table: TrialTable) -> ArchitectureSummary | None:
    """The best architecture of a table of trials; None while none is complete."""
    architectures = ArchitectureTable.of(table)
    index = find_best(architectures)
    return None if index is None else architectures.summaries([index])[0]


def find_best(architectures: ArchitectureTable) -> int | None:
    """The index of the best of all architectures; None if there are none."""
    if not len(architectures):
        return None
    return highest_lower_bound(
        architectures.accuracy,
        architectures.counts,
        architectures.noise,
        np.nan_to_num(architectures.mean("params")),
        architectures.numbers,
    )


def highest_lower_bound(
    accuracies: npt.NDArray[np.float64],
    seeds: npt.NDArray[np.integer[Any]],
    noise: Noise | None,
    *tie_breakers: npt.ArrayLike,
) -> int:
    """The index of the highest accuracy minus its standard error.

    Args:
        accuracies: (n,) means over seeds with seed effects removed, fractions.
        seeds: (n,) the number of seeds of each mean.
        noise: of a single trial; None if it is unknown.
        tie_breakers: (n,) each; ties go to the least value of the first, then of the second.
    """
    errors = noise.deviation / np.sqrt(seeds) if noise else 0.0
    keys = np.array([*reversed(tie_breakers), errors - accuracies], dtype=float)
    return int(np.lexsort(keys)[0])
