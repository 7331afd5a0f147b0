"""Trial records and final accuracies of simulated studies.

This is not in `tabular_benchmark.py`, because `claims.py` simulates without a table and torch.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from attentune.spaces.architecture import Architecture
from attentune.studies.analysis.best import highest_lower_bound
from attentune.studies.analysis.findings import Noise
from attentune.studies.analysis.seed_effects import Floats, Ints, estimate_seed_effects
from attentune.studies.records import State, TrialRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""The time of all simulated trials, so that a repetition is reproducible."""


def make_trial_record(
    number: int,
    architecture: Architecture,
    seed: int,
    role: str,
    *,
    accuracy: float,
    epochs: int,
    state: State = "complete",
    params: int | None = None,
    macs: int | None = None,
) -> TrialRecord:
    """The record of a trial; all fields that are not arguments are None."""
    facts: dict[str, Any] = dict.fromkeys(TrialRecord.__dataclass_fields__)
    facts |= {
        "number": number,
        "architecture": str(architecture),
        "key": architecture.key,
        "seed": seed,
        "role": role,
        "state": state,
        "epochs": epochs,
        "accuracy": accuracy,
        "params": params,
        "macs": macs,
        "started_at": NOW,
    }
    return TrialRecord(**facts)


def parse_settings(text: str) -> dict[str, str]:
    """Parse `first=0.3,eta=4`; ValueError for an item that is not NAME=VALUE."""
    return dict(pair.split("=") for pair in text.split(",") if pair)


class FinalAccuracies:
    """Final accuracies of complete trials, and the study's estimates from them."""

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}
        self._trials: list[tuple[int, int, float]] = []

    def add(self, text: str, seed: int, accuracy: float) -> None:
        """Add a complete trial."""
        index = self._indices.setdefault(text, len(self._indices))
        self._trials.append((index, seed, accuracy))

    def __bool__(self) -> bool:
        return bool(self._trials)

    def means(self) -> dict[str, float]:
        """By architecture, its mean accuracy minus the seed effects."""
        means, _, _ = self._estimate()
        return dict(zip(self._indices, means.tolist(), strict=True))

    def recommend(self) -> str:
        """The architecture that a study would recommend; ties go to the earliest."""
        texts = list(self._indices)
        return texts[highest_lower_bound(*self._estimate(), range(len(texts)))]

    def _estimate(self) -> tuple[Floats, Ints, Noise | None]:
        """Means and numbers of trials by architecture, and the noise of a trial."""
        architectures, seeds, accuracies = map(np.array, zip(*self._trials, strict=True))
        effects = estimate_seed_effects(architectures, seeds, accuracies)
        counts = np.bincount(architectures)
        means = np.bincount(architectures, accuracies - effects.of(seeds)) / counts
        return means, counts, effects.noise
