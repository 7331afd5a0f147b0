"""Records made by hand, for tests of what is concluded from them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attentune.spaces.architecture import parse
from attentune.studies.records import SEARCH, StudyRecord, TrialRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BARE = "net"


def trial(number: int, text: str, accuracy: float | None = None, **fields: Any) -> TrialRecord:
    """A trial of the search; complete if it has an accuracy, else running."""
    given: dict[str, Any] = {
        "seed": 0,
        "role": SEARCH,
        "state": "running" if accuracy is None else "complete",
        "epochs": 8,
        "params": 1000,
        "macs": 5000,
        **dict.fromkeys(("latency_ms", "latency_ratio", "memory_mib", "seconds")),
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
        **{**given, **fields},
    )


def study(*objectives: str, **config: Any) -> StudyRecord:
    """A study of the backbone `net`, by accuracy and parameters unless told otherwise."""
    names = objectives or ("accuracy", "params")
    return StudyRecord(1, "s", "f", NOW, "0.1.0", BARE, names, config, 0)
