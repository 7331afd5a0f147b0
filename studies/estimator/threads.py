"""One thread for numpy and scipy: the cores belong to the workers, and threads that wait for each
other there take minutes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[object]:
    """Inside, matrices are multiplied and factored on one thread."""
    limited: AbstractContextManager[object] = _controller().limit(limits=1)
    return limited


@cache
def _controller() -> ThreadpoolController:
    # To look for the libraries of this process takes 2 ms, once they are loaded to no use.
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()
