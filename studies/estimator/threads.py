"""One thread for the linear algebra of a coordinator.

The workers need the cores. Linear algebra on several threads competes with them, and threads that
wait for one another can then take minutes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """A context in which numpy and scipy multiply and factor matrices on one thread."""
    context: AbstractContextManager[object] = _controller().limit(limits=1)
    return context


@cache
def _controller() -> ThreadpoolController:
    # Searching this process for libraries takes 2 ms, so it is done once, after they are loaded.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()
