"""Notice workers that hang or are stopped: how long each trial has reported nothing.

A trial reports at least once per epoch. Unless the user has set a limit per trial, it may be silent
for ten times as long as the longest epoch that the study has seen, and for at least five minutes.
Before the study has seen an epoch, two hours are allowed.
"""

from __future__ import annotations

import time

FIRST_EPOCH_SECONDS = 7200.0
"""Maximum silence before any epoch of the study has been seen."""
MIN_SILENCE_SECONDS = 300.0
"""Maximum silence if epochs are short: compiling kernels or a busy disk may take minutes."""
MAX_SILENCE_EPOCHS = 10
"""Maximum silence, as a multiple of the longest epoch so far."""
MIN_STOP_SECONDS = 60.0
"""Time that running epochs have to end while the study is being stopped, if epochs are short."""
FIRST_STOP_SECONDS = 300.0
"""The same, before any epoch of the study has been seen."""
MAX_STOP_EPOCHS = 3
"""The same, as a multiple of the longest epoch so far."""
MAX_STEP_SECONDS = 5.0
"""Longer times between two calls of `advance` count as this much: this process was stopped itself,
with its workers (Ctrl-Z, a suspended machine), or waited for the database."""


class ReportWatch:
    """Seconds for which trials run, and for which they have reported nothing.

    Args:
        longest_epoch: seconds of the longest epoch of the study so far; None if there is none.
    """

    def __init__(self, longest_epoch: float | None = None) -> None:
        self._longest_epoch = longest_epoch
        self._seconds = 0.0
        self._advanced_at = time.monotonic()
        self._stopped_at: float | None = None
        self._started: dict[int, float] = {}
        self._reported: dict[int, float] = {}

    def advance(self, *, stopping: bool = False) -> None:
        """Let the time pass since the last call.

        Args:
            stopping: whether the study is being stopped, so that running epochs should end soon.
        """
        now = time.monotonic()
        self._seconds += min(now - self._advanced_at, MAX_STEP_SECONDS)
        self._advanced_at = now
        if stopping and self._stopped_at is None:
            self._stopped_at = self._seconds

    def start(self, number: int) -> None:
        """Trial `number` has been given to a worker."""
        self._started[number] = self._reported[number] = self._seconds

    def record_report(self, number: int, epoch_seconds: float | None = None) -> None:
        """Trial `number` has reported something; if that was an epoch, how long it took."""
        self._reported[number] = self._seconds
        if epoch_seconds is not None:
            self._longest_epoch = max(self._longest_epoch or 0.0, epoch_seconds)

    def run_seconds(self, number: int) -> float:
        """Seconds since the trial was given to its worker."""
        return self._seconds - self._started[number]

    def is_silent(self, number: int) -> bool:
        """Whether the trial has reported nothing for longer than it may."""
        return self._seconds - self._reported[number] > self.max_silence

    def delays_stop(self, number: int) -> bool:
        """Whether the trial has not ended its epoch in time while the study is being stopped."""
        if self._stopped_at is None:
            return False
        waited = self._seconds - max(self._stopped_at, self._reported[number])
        return waited > self.max_stop

    @property
    def max_silence(self) -> float:
        """Seconds for which a trial may report nothing."""
        if self._longest_epoch is None:
            return FIRST_EPOCH_SECONDS
        return max(MIN_SILENCE_SECONDS, MAX_SILENCE_EPOCHS * self._longest_epoch)

    @property
    def max_stop(self) -> float:
        """Seconds that running epochs have to end while the study is being stopped."""
        if self._longest_epoch is None:
            return FIRST_STOP_SECONDS
        return max(MIN_STOP_SECONDS, MAX_STOP_EPOCHS * self._longest_epoch)
