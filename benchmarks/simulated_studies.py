"""What simulated searches share: the text of a way to search, and records that nobody trained.

Apart from `tabular`, because `claims.py` simulates without a table and without torch.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from attentune.spaces.architecture import Architecture
from attentune.studies.analysis import analyse
from attentune.studies.analysis.findings import Noise
from attentune.studies.analysis.seed_effects import Floats, Ints, estimate_seed_effects
from attentune.studies.records import State, TrialRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""When all of it is said to have happened, so that a repetition repeats."""


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
    """A trial as the database would hold it, of which no more is known than this."""
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
    """`first=0.3,eta=4` as a dictionary; ValueError for a part that is no NAME=VALUE."""
    return dict(pair.split("=") for pair in text.split(",") if pair)


class FinalAccuracies:
    """Final accuracies of complete trials, and what a study would say of them."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._trials: list[tuple[int, int, float]] = []

    def add(self, text: str, seed: int, accuracy: float) -> None:
        """One more trial."""
        place = self._places.setdefault(text, len(self._places))
        self._trials.append((place, seed, accuracy))

    def __bool__(self) -> bool:
        return bool(self._trials)

    def means(self) -> dict[str, float]:
        """Of every architecture, less what seeds share."""
        means, _, _ = self._found()
        return dict(zip(self._places, means.tolist(), strict=True))

    def recommend(self) -> str:
        """The architecture that a study calls its best, but that ties go to the earliest."""
        texts = list(self._places)
        return texts[analyse.surest(*self._found(), range(len(texts)))]

    def _found(self) -> tuple[Floats, Ints, Noise | None]:
        """By architecture: its mean and its number of trials; and the noise."""
        which, seeds, accuracies = map(np.array, zip(*self._trials, strict=True))
        luck = estimate_seed_effects(which, seeds, accuracies)
        counts = np.bincount(which)
        return np.bincount(which, accuracies - luck.of(seeds)) / counts, counts, luck.noise
