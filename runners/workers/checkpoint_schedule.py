"""The checkpoint of a trial: when it is written, and whether it can be used.

A checkpoint lets an interrupted trial continue. The evaluator writes the tensors (the built-in one
with `training.checkpoint`); this module decides how often. A checkpoint that is damaged or of
another trial costs the progress of its trial, which begins anew, and nothing else.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Protocol

from ...errors import DamagedFileError
from ...files import atomic_write, remove_path
from ..artifacts.trial_folder import publish
from ..results import CHECKPOINT_FILE, Job
from ..training.checkpoint import read_facts
from .trial_facts import Progress, read_progress

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


class TrialCheckpoints:
    """The checkpoint file in a trial's folder.

    Attributes:
        refusal: why the file that was read last cannot be used; None if it can, or there is none.
    """

    def __init__(self, job: Job) -> None:
        self.path = job.folder / CHECKPOINT_FILE
        self.refusal: str | None = None
        self._job = job
        self._written_at = time.perf_counter()
        self._write_seconds: float | None = None

    def read(self) -> Progress | None:
        """The progress of an earlier run; None if there is no checkpoint that can be used.

        A file that cannot be used is deleted.
        """
        try:
            if not os.path.lexists(self.path):
                return None
            return read_progress(read_facts(self.path) or {}, self._job)
        except DamagedFileError as error:
            self.refuse(str(error))
            return None

    def refuse(self, reason: str) -> None:
        """Delete a checkpoint that cannot be used."""
        self.refusal = reason
        self.remove()

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
            writer(path, progress.to_json(self._job))
        publish(self._job, CHECKPOINT_FILE)
        self._written_at = time.perf_counter()
        self._write_seconds = self._written_at - began

    def remove(self) -> None:
        """Delete the checkpoint, if there is one."""
        remove_path(self.path)
