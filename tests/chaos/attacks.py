"""All attacks, in the order of the table of results."""

from __future__ import annotations

from . import kills
from .attack import Attack

ATTACKS: tuple[Attack, ...] = (
    Attack(
        "kill-coordinator",
        "SIGKILL of the coordinator, alone or with its workers, at random times",
        kills.kill_coordinators,
        weight=3.0,
        short=1,
    ),
    Attack(
        "kill-worker",
        "SIGKILL of workers at random times",
        kills.kill_workers,
        weight=2.0,
    ),
    Attack(
        "crash-points",
        "SIGKILL of the coordinator or its worker before and after each of its writes",
        kills.kill_at_crash_points,
        weight=4.0,
    ),
)
