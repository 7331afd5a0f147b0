"""The CPU cores that this process may use. Reading data needs them, so this imports no torch."""

from __future__ import annotations

import os
from functools import lru_cache


@lru_cache(maxsize=1)
def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Only some systems have `sched_getaffinity`.
        return os.cpu_count() or 1
