"""Records made by hand, for tests of what is concluded from them."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import Confirmation, analyse_confirming_trials
from attentune.studies.records import (
    BASELINE,
    CONFIRM,
    COST_ERROR_KEYS,
    FIRST_CONFIRMING_NUMBER,
    SEARCH,
    StudyRecord,
    TrialRecord,
)
from attentune.studies.stored_config import ConfirmPlan, StoredConfig

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BARE = "net"
MANY_IMAGES = 10**9
"""With so many test images, only seeds matter."""


def trial(number: int, text: str, accuracy: float | None = None, **fields: Any) -> TrialRecord:
    """A trial of the search; complete if it has an accuracy, else running."""
    defaults: dict[str, Any] = {
        "seed": 0,
        "role": SEARCH,
        "state": "running" if accuracy is None else "complete",
        "epochs": 8,
        "params": 1000,
        "macs": 5000,
        **dict.fromkeys(("latency_ms", "latency_ratio", "memory_mib", "seconds")),
        **dict.fromkeys(COST_ERROR_KEYS),
        **dict.fromkeys(("device_seconds", "peak_memory_mib", "worker", "note", "environment")),
        "started_at": NOW,
        "finished_at": None,
    }
    architecture = parse(text)
    return TrialRecord(
        number=number,
        architecture=str(architecture),
        key=architecture.key,
        accuracy=accuracy,
        **{**defaults, **fields},
    )


def study(*objectives: str, **config: Any) -> StudyRecord:
    """A study of the backbone `net`, by accuracy and parameters unless told otherwise."""
    names = objectives or ("accuracy", "params")
    return StudyRecord(1, "s", "f", NOW, "0.1.0", BARE, names, StoredConfig(config), 0)


def example_confirmation(
    search: list[TrialRecord], accuracies: dict[str, list[float | None]], **plan: float
) -> Confirmation:
    """A confirmation with these test accuracies by architecture, one for each seed."""
    trials = [
        trial(FIRST_CONFIRMING_NUMBER + 100 * i + s, text, accuracy, seed=10**6 + s, role=CONFIRM)
        for i, (text, row) in enumerate(accuracies.items())
        for s, accuracy in enumerate(row)
        if accuracy is not None
    ]
    settings = {"top": 3, "seeds": 5, "epochs": 20, "searched_epochs": 8, **plan}
    settings.setdefault("test_images", MANY_IMAGES)
    return analyse_confirming_trials(
        analyse(study("accuracy"), search), trials, ConfirmPlan(tuple(accuracies), **settings)
    )


def searched(
    accuracies: dict[str, float], baselines: tuple[str, ...] = (BARE,)
) -> list[TrialRecord]:
    """Trials of the search with these accuracies by architecture."""
    return [
        trial(i, text, accuracy, role=BASELINE if text in baselines else SEARCH)
        for i, (text, accuracy) in enumerate(accuracies.items())
    ]


def spread(mean: float, by: float = 0.002) -> list[float | None]:
    """Five accuracies around a mean, in no common order."""
    order = np.random.default_rng(int(1e6 * mean)).permutation([-2, -1, 0, 1, 2])
    return [mean + by * float(step) for step in order]


MODULES = ("se(r=4)", "se(r=16)", "eca", "cbam(r=8)", "ca(r=8)")


def random_search(seed: int, count: int = 120) -> list[TrialRecord]:
    """A mixed study: several seeds, failures, pruned and running trials, missing costs."""
    draw = random.Random(seed)
    records = [trial(0, BARE, 0.5, role=BASELINE), trial(1, BARE, 0.53, role=BASELINE, seed=1)]
    started = {(BARE, 0), (BARE, 1)}
    for number in range(2, count):
        text = BARE
        for stage in range(1, 4):
            if draw.random() < 0.6:
                text += f"+{draw.choice(MODULES)}@s{stage}.{draw.choice(('residual', 'post'))}"
        at = (text, draw.randrange(4))
        if at in started:
            continue
        started.add(at)
        fields: dict[str, Any] = {
            "seed": at[1],
            "params": draw.randrange(1000, 3000),
            "seconds": draw.random(),
        }
        if draw.random() < 0.1:
            fields["latency_ms"] = draw.random()
        state = draw.choice(("complete",) * 6 + ("pruned", "failed", "running"))
        reached = None if state in ("failed", "running") else draw.uniform(0.4, 0.7)
        records.append(trial(number, text, reached, state=state, **fields))
    return records
