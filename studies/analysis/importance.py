"""How much the attention of each stage matters for accuracy: fANOVA by Optuna.

The only module of `studies/` that uses Optuna. It passes plain numbers, not the study.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from .analyse import attentions_by_stage
from .findings import ArchitectureSummary

MIN_ARCHITECTURES = 8
"""With fewer architectures, importances are not computed."""


def estimate_importances(points: Sequence[ArchitectureSummary], stages: int) -> dict[str, float]:
    """The share of the accuracy's variation that the attention of each stage explains.

    fANOVA (Hutter et al. 2014) by Optuna, over the architectures' means. The shares add up to 1.
    Empty if there are too few architectures, or if no stage makes a difference.
    """
    rows = [_attention_by_stage(point, stages) for point in points]
    varied = [s for s in range(stages) if len({row[s] for row in rows}) > 1]
    if len(points) < MIN_ARCHITECTURES or not varied or np.ptp([p.accuracy for p in points]) < 1e-9:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    choices = {s: sorted({row[s] for row in rows}) for s in varied}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(direction="maximize")
        study.add_trials(
            [
                optuna.create_trial(
                    params={f"s{s + 1}": row[s] for s in varied},
                    distributions={
                        f"s{s + 1}": optuna.distributions.CategoricalDistribution(choices[s])
                        for s in varied
                    },
                    value=point.accuracy,
                )
                for point, row in zip(points, rows, strict=True)
            ]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except RuntimeError:  # No tree has a split: no stage makes a difference.
            return {}
    return {name: float(share) for name, share in shares.items()}


def _attention_by_stage(point: ArchitectureSummary, stages: int) -> list[str]:
    return ["+".join(names) or "none" for names in attentions_by_stage(point.architecture, stages)]
