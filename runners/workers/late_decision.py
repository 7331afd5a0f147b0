"""The decision about an epoch that does not come at once, and what a worker does meanwhile.

The coordinator records an epoch before it decides what follows. With a slow database that takes
time, for which the device would idle. So a worker waits for a small part of the time that the epoch
took, and then trains the next epoch: almost always the decision is to go on. It reports that epoch,
and writes a checkpoint, only once the earlier one is decided. So at most one epoch of a trial is
undecided, and none is recorded before an earlier one.

If the trial is to be pruned, it stops in the middle of the epoch; if it is to pause, at its end.
"""

from __future__ import annotations

from multiprocessing.connection import Connection

from ..events import Decision

SHARE_OF_EPOCH = 0.02
"""A worker waits for this share of the time that the last epoch took, but for no less than
`MIN_SECONDS` and no more than `MAX_SECONDS`."""
MIN_SECONDS, MAX_SECONDS = 0.1, 1.0


def patience(epoch_seconds: float) -> float:
    """Seconds for which a worker waits for a decision before it goes on without.

    Args:
        epoch_seconds: the time that the epoch took.
    """
    return min(max(SHARE_OF_EPOCH * epoch_seconds, MIN_SECONDS), MAX_SECONDS)


class LateDecision:
    """A decision that has not arrived yet.

    Args:
        pipe: on which it arrives next.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._decision: Decision | None = None

    def wait(self, seconds: float | None = None) -> Decision | None:
        """The decision; None if it does not arrive in this time.

        Args:
            seconds: how long to wait; None: until it is there.
        """
        if self._decision is None and (seconds is None or self._pipe.poll(seconds)):
            self._decision = self._pipe.recv()
        return self._decision
