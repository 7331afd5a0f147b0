"""What simulated searches share: the text of a way to search, and records that nobody trained.

Apart from `tabular`, because `claims.py` simulates without a table and without torch.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from attentune.spaces.architecture import Architecture
from attentune.studies import analysis
from attentune.studies.records import State, TrialRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""When all of it is said to have happened, so that a repetition repeats."""


def trial_record(
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


def settings_of(text: str) -> dict[str, str]:
    """`first=0.3,eta=4` as a dictionary; ValueError for a part that is no NAME=VALUE."""
    return dict(pair.split("=") for pair in text.split(",") if pair)


def surest(finals: Mapping[str, Sequence[float]]) -> str:
    """The architecture that a study calls its best, but that ties go to the earliest."""
    texts = list(finals)
    means = np.array([statistics.fmean(finals[text]) for text in texts])
    counts = np.array([len(finals[text]) for text in texts])
    noise = analysis.noise_floor(finals.values())
    return texts[analysis.surest(means, counts, noise, range(len(texts)))]
