"""The checkpoint of a trial: when it is written, and the progress that it records.

A checkpoint lets an interrupted trial continue. The evaluator writes the tensors (the built-in one
with `training.checkpoint`); this module decides how often.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from ...files import atomic_write
from ..results import CHECKPOINT_FILE, EpochReport
from ..training.checkpoint import read_facts

MIN_TRAINING_PER_WRITE = 50
"""A checkpoint is written after an epoch if training since the last one took at least this many
times as long as writing does. Checkpoints therefore take at most 2 % of the time, and a crash loses
a few seconds, or one epoch if that is longer."""
ASSUMED_BYTES_PER_SECOND = 300e6
"""Assumed speed of writing a checkpoint until the first one has been timed."""


class CheckpointWriter(Protocol):
    """Writes the state of a training to a file when it is called."""

    @property
    def size(self) -> int:
        """Bytes that will be written."""

    def __call__(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the state to `path`, with facts that JSON can represent."""


@dataclass(frozen=True)
class Progress:
    """The last epoch of a trial, and the seconds spent over all its runs."""

    report: EpochReport
    seconds: float
    device_seconds: float


class TrialCheckpoints:
    """The checkpoint file in a trial's folder."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / CHECKPOINT_FILE
        self._written_at = time.perf_counter()
        self._write_seconds: float | None = None

    def read(self) -> Progress | None:
        """The progress of an earlier run; None if there is no checkpoint that can be read."""
        facts = read_facts(self.path)
        if facts is None:
            return None
        seconds, device_seconds = float(facts["seconds"]), float(facts["device_seconds"])
        return Progress(EpochReport(**facts["report"]), seconds, device_seconds)

    def is_due(self, writer: CheckpointWriter) -> bool:
        """Whether enough training has happened since the last checkpoint to write another."""
        if self._write_seconds is None:
            self._write_seconds = writer.size / ASSUMED_BYTES_PER_SECOND
        training_seconds = time.perf_counter() - self._written_at
        return training_seconds >= MIN_TRAINING_PER_WRITE * self._write_seconds

    def write(self, writer: CheckpointWriter, progress: Progress) -> None:
        """Replace the checkpoint atomically."""
        began = time.perf_counter()
        with atomic_write(self.path) as path:
            writer(path, asdict(progress))
        self._written_at = time.perf_counter()
        self._write_seconds = self._written_at - began

    def remove(self) -> None:
        """Delete the checkpoint, if there is one."""
        self.path.unlink(missing_ok=True)
