"""Who wants to hear of the attentions that are inserted into networks in this process.

A user's training code makes its networks in several ways (`create_model`, `insert`, a name that
`register` has given to timm). What runs that code learns here which of them it has made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from torch import nn


class InsertionObserver(Protocol):
    """Hears of insertions; see `observed_insertions`."""

    def on_insert(self, model: nn.Module) -> None:
        """Attentions have been inserted into a network."""

    def on_register(self, alias: str) -> None:
        """An architecture with attention has become a timm model of this name."""


_observer: ContextVar[InsertionObserver | None] = ContextVar("insertion_observer", default=None)


@contextmanager
def observed_insertions(observer: InsertionObserver) -> Iterator[None]:
    """Tell an observer of all insertions inside the context."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


def current_observer() -> InsertionObserver | None:
    """The observer of the context; None if there is none."""
    return _observer.get()
