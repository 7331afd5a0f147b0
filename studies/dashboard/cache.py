"""A cache of values that follow from a study's trials, each valid for one version of them.

A value is computed when it is first asked for after its trials have changed. The caller computes
it, or, if that takes long, a thread does while the caller gets the previous value.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Literal, TypeVar

Value = TypeVar("Value")

MAX_VALUES = 48
"""Values in the cache; the least recently used one is removed first."""
FIRST_WAIT_SECONDS = 0.15
"""How long the first caller waits for a thread, which suffices for the values of a small study."""
PAUSE_FACTOR = 9
"""After a computation in a thread, the next one of the same value waits for this many times as long
as it took, because a running search needs the cores."""

TrialStates = Literal["complete", "ended", "any"]
"""Which trials a value follows from: complete ones, ones that have ended, or all."""

logger = logging.getLogger(__name__)

_Entry = tuple[int, Any]
_NO_ENTRY: _Entry = (-1, None)


class ComputationError(Exception):
    """A value could not be computed in the background; the log has the reason."""


def describe_fault(error: Exception) -> str:
    """What a page shows of an exception that nobody expected."""
    return f"{type(error).__name__}: {error}. The terminal of the dashboard has the details."


class VersionedCache:
    """Values by name, each with the version of the trials that it follows from.

    All methods may be called from any thread.

    Attributes:
        lock: held while the cache, or the trials that it depends on, are read or changed.
        versions: of the trials; a change of the trials sets a new number.
        delivered: the number of values that threads have delivered.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.versions: dict[TrialStates, int] = {"complete": 0, "ended": 0, "any": 0}
        self.delivered = 0
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._computing: set[Hashable] = set()
        self._paused_until: dict[Hashable, float] = {}

    @property
    def version(self) -> str:
        """A text that changes with the trials and with every value that a thread delivers."""
        with self.lock:
            return f"{self.versions['any']}.{self.delivered}"

    def get(
        self, name: Hashable, compute: Callable[[], Value], depends_on: TrialStates = "complete"
    ) -> Value:
        """The value for the current trials.

        Args:
            name: of the value.
            compute: makes the value; called with the lock held.
            depends_on: the trials that the value follows from.
        """
        with self.lock:
            version, value = self._entries.get(name, _NO_ENTRY)
            if version != self.versions[depends_on]:
                value = compute()
                self._keep(name, self.versions[depends_on], value)
            else:
                self._entries.move_to_end(name)
            return value  # type: ignore[no-any-return]

    def get_in_background(
        self, name: Hashable, compute: Callable[[], Value], depends_on: TrialStates = "complete"
    ) -> Value | None:
        """The latest known value, None at first; if it is outdated, a thread computes a new one.

        Args:
            name: of the value.
            compute: makes the value; called in a thread, without the lock.
            depends_on: the trials that the value follows from.

        Raises:
            ComputationError: `compute` raised an exception. It is called again when the trials have
                changed.
        """
        with self.lock:
            version = self._entries.get(name, _NO_ENTRY)[0]
            if version == self.versions[depends_on] or name in self._computing:
                return self._computed(name)  # type: ignore[no-any-return]
            self._computing.add(name)
            pause = self._paused_until.get(name, 0.0) - time.monotonic()
        arguments = (name, depends_on, pause, compute)
        thread = threading.Thread(target=self._compute, args=arguments, daemon=True)
        thread.start()
        if version < 0:
            thread.join(timeout=FIRST_WAIT_SECONDS)
        with self.lock:
            return self._computed(name)  # type: ignore[no-any-return]

    def _computed(self, name: Hashable) -> Any:
        value = self._entries.get(name, _NO_ENTRY)[1]
        if isinstance(value, ComputationError):
            raise ComputationError(*value.args)  # A new one, since each collects a traceback.
        return value

    def _compute(
        self, name: Hashable, depends_on: TrialStates, pause: float, compute: Callable[[], Any]
    ) -> None:
        time.sleep(max(0.0, pause))
        began = time.monotonic()
        try:
            with self.lock:
                version = self.versions[depends_on]
            try:
                value = compute()
            except Exception as error:
                logger.exception("cannot compute %s", name)
                value = ComputationError(f"Cannot compute this: {describe_fault(error)}")
            with self.lock:
                self._keep(name, version, value)
                self.delivered += 1
        finally:
            ended = time.monotonic()
            with self.lock:
                self._paused_until[name] = ended + PAUSE_FACTOR * (ended - began)
                self._computing.discard(name)

    def _keep(self, name: Hashable, version: int, value: Any) -> None:
        self._entries[name] = (version, value)
        self._entries.move_to_end(name)
        while len(self._entries) > MAX_VALUES:
            self._entries.popitem(last=False)
