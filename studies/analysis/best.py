"""The best architecture of a study: the only definition of "best".

The best architecture has the highest score by the estimate of the study
(`estimator.study_estimate`). The estimate moves an architecture with one fortunate seed towards
what is known of similar architectures, so that it does not replace one that was good with several.
Ties go to the architecture with fewer parameters, then to the one that was trained first. Only
architectures with a complete trial count. Confirming trials are evaluated on the test split and do
not count.

`attentune list`, `show`, `report`, `export --pick best`, the dashboard and the display of a running
search all use this module.
"""

from __future__ import annotations

import numpy as np

from ..estimator.study_model import StudyModel
from .architecture_table import ArchitectureTable
from .findings import ArchitectureSummary
from .trial_table import TrialTable


def best_of_table(table: TrialTable, model: StudyModel) -> ArchitectureSummary | None:
    """The best architecture of a table of trials; None while none is complete.

    Args:
        table: the trials of a search.
        model: of the study, with its epochs.
    """
    architectures = ArchitectureTable.of(table, model)
    index = find_best(architectures)
    return None if index is None else architectures.summaries([index])[0]


def find_best(architectures: ArchitectureTable) -> int | None:
    """The index of the best of all architectures; None if there are none."""
    if not len(architectures):
        return None
    params = np.nan_to_num(architectures.mean("params"))
    keys = (architectures.numbers, params, -architectures.score)
    return int(np.lexsort(keys)[0])
