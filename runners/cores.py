"""The CPU cores that this process may use; no torch here, so that data can be read without it."""

from __future__ import annotations

import os
from functools import lru_cache


@lru_cache(maxsize=1)
def usable_cores() -> int:
    """The number of CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # This system does not have it.
        return os.cpu_count() or 1
