"""Trial records and final accuracies of simulated studies.

This is not in `tabular_benchmark.py`, because `claims.py` simulates without a table and torch.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attentune.spaces.architecture import Architecture
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.records import State, TrialRecord, recorded_architecture

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
    """The record of a trial; all costs and times that are not arguments are None."""
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
        "metric": "accuracy",
        "params": params,
        "macs": macs,
        "started_at": NOW,
    }
    return TrialRecord(**facts)


def parse_settings(text: str) -> dict[str, str]:
    """Parse `first=0.3,eta=4`; ValueError for an item that is not NAME=VALUE."""
    return dict(pair.split("=") for pair in text.split(",") if pair)


class FinalAccuracies:
    """Final accuracies of complete trials, and the study's estimates from them.

    Args:
        stages: of the backbone.
    """

    def __init__(self, stages: int) -> None:
        self._model, self._count = StudyModel(stages), 0
        self._architectures: dict[str, Architecture] = {}

    def add(self, text: str, seed: int, accuracy: float) -> None:
        """Add a complete trial."""
        architecture = self._architectures.setdefault(text, recorded_architecture(text))
        self._model.add_trial(self._count, architecture, seed, accuracy)
        self._count += 1

    def __bool__(self) -> bool:
        return bool(self._architectures)

    def means(self) -> dict[str, float]:
        """By architecture, its estimated accuracy."""
        estimate = self._model.estimate([a.key for a in self._architectures.values()], None)
        return dict(zip(self._architectures, estimate.accuracy.tolist(), strict=True))

    def recommend(self) -> str:
        """The best architecture, as a study shows it; ties go to the earliest."""
        means = self.means()
        return max(means, key=lambda text: means[text])
