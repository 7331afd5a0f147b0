"""What becomes of a trial whose worker was lost: it is resumed, unless it has lost too many."""

from __future__ import annotations

from collections import Counter

from ...runners.events import WorkerDied
from ...runners.results import RETRY_MICRO_BATCHES, Failure

MAX_LOST_WORKERS = 3
"""A trial that loses this many workers has failed."""


class LostWorkers:
    """Counts the workers that each trial has lost in one run."""

    def __init__(self) -> None:
        self._lost: Counter[int] = Counter()
        self._out_of_memory: set[int] = set()

    def micro_batches(self, number: int) -> int:
        """Parts of a batch that a trial trains one after the other: more after a lack of memory."""
        return RETRY_MICRO_BATCHES if number in self._out_of_memory else 1

    def record(self, event: WorkerDied) -> Failure | None:
        """Count a lost worker, and return why its trial has failed; None if it is to be resumed.

        A trial above its limit of memory is resumed once, with micro-batches.
        """
        number = event.number
        if not event.out_of_memory:
            self._lost[number] += event.by_trial
            if self._lost[number] < MAX_LOST_WORKERS:
                return None
            message = f"{event.reason}; {MAX_LOST_WORKERS} workers were lost over this trial"
            return Failure("worker_died", message)
        if number not in self._out_of_memory:
            self._out_of_memory.add(number)
            return None
        message = f"{event.reason} (also with {RETRY_MICRO_BATCHES} micro-batches per step)"
        return Failure("out_of_memory", message)
