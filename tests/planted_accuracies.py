"""All architectures of a small space, with accuracies computed from known effects."""

from __future__ import annotations

import itertools

import numpy as np
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.findings import ArchitectureSummary
from example_records import study, trial

STAGES = 3
GAINS = {"none": 0.0, "se(r=4)": 0.02, "se(r=16)": 0.01, "eca": -0.01}


def every_architecture() -> dict[str, float]:
    """All 64 choices for three stages, with true accuracies; gains count double at stage 3."""
    accuracies = {}
    for choice in itertools.product(GAINS, repeat=STAGES):
        parts = [
            f"+{name}@s{stage}.residual"
            for stage, name in enumerate(choice, start=1)
            if name != "none"
        ]
        gain = sum(GAINS[name] * (2 if stage == 2 else 1) for stage, name in enumerate(choice))
        accuracies["net" + "".join(parts)] = 0.7 + gain
    return accuracies


def points_of(rows) -> tuple[ArchitectureSummary, ...]:
    return analyse(study(), list(rows)).architectures


def points(noise: float = 0.0, seed: int = 0, take: int = 64) -> tuple[ArchitectureSummary, ...]:
    rng = np.random.default_rng(seed)
    rows = list(every_architecture().items())
    order = rng.permutation(len(rows))[:take]
    return points_of(
        trial(i, rows[at][0], rows[at][1] + noise * rng.normal()) for i, at in enumerate(order)
    )
