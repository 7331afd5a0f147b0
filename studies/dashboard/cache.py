"""A cache of values that follow from a study's trials, each valid for one version of them.

A value is computed when it is first asked for after its trials have changed: by the caller, or, if
that takes long, in a thread, while the caller gets the value that was known before.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Literal, TypeVar

Value = TypeVar("Value")

MAX_VALUES = 48
"""Values in the cache; the least recently used one goes first."""
FIRST_WAIT_SECONDS = 0.15
"""How long the first caller waits for a thread: of a small study, the value is there at once."""
REST_FACTOR = 9
"""A thread rests this many times as long as it computed, since a search wants the cores."""

TrialStates = Literal["complete", "ended", "any"]
"""What a value follows from: complete trials, trials that have ended, or any trials."""

_Entry = tuple[int, Any]
_NO_ENTRY: _Entry = (-1, None)


class VersionedCache:
    """Values by name, each with the version of the trials that it follows from.

    All methods may be called from any thread.

    Attributes:
        lock: held while the cache, or the trials that it depends on, are read or changed.
        versions: of the trials; a change of the trials sets a new number.
        delivered: how many values threads have delivered.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.versions: dict[TrialStates, int] = {"complete": 0, "ended": 0, "any": 0}
        self.delivered = 0
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._computing: set[Hashable] = set()
        self._rests_until: dict[Hashable, float] = {}

    @property
    def mark(self) -> str:
        """A text that changes with the trials and with every value that a thread delivers."""
        with self.lock:
            return f"{self.versions['any']}.{self.delivered}"

    def get(
        self, name: Hashable, compute: Callable[[], Value], of: TrialStates = "complete"
    ) -> Value:
        """The value for the current trials.

        Args:
            name: of the value.
            compute: makes the value; called with the lock held.
            of: the trials that the value follows from.
        """
        with self.lock:
            version, value = self._entries.get(name, _NO_ENTRY)
            if version != self.versions[of]:
                value = compute()
                self._keep(name, self.versions[of], value)
            else:
                self._entries.move_to_end(name)
            return value  # type: ignore[no-any-return]

    def get_in_background(
        self, name: Hashable, compute: Callable[[], Value], of: TrialStates = "complete"
    ) -> Value | None:
        """The latest known value, None at first; a thread computes it anew if it is old.

        Args:
            name: of the value.
            compute: makes the value; called in a thread, without the lock.
            of: the trials that the value follows from.
        """
        with self.lock:
            version, value = self._entries.get(name, _NO_ENTRY)
            if version == self.versions[of] or name in self._computing:
                return value  # type: ignore[no-any-return]
            self._computing.add(name)
            rest = self._rests_until.get(name, 0.0) - time.monotonic()
        arguments = (name, of, rest, compute)
        thread = threading.Thread(target=self._compute, args=arguments, daemon=True)
        thread.start()
        if version < 0:
            thread.join(timeout=FIRST_WAIT_SECONDS)
        with self.lock:
            return self._entries.get(name, _NO_ENTRY)[1]  # type: ignore[no-any-return]

    def _compute(
        self, name: Hashable, of: TrialStates, rest: float, compute: Callable[[], Any]
    ) -> None:
        time.sleep(max(0.0, rest))
        began = time.monotonic()
        try:
            with self.lock:
                version = self.versions[of]
            value = compute()
            with self.lock:
                self._keep(name, version, value)
                self.delivered += 1
        finally:
            ended = time.monotonic()
            with self.lock:
                self._rests_until[name] = ended + REST_FACTOR * (ended - began)
                self._computing.discard(name)

    def _keep(self, name: Hashable, version: int, value: Any) -> None:
        self._entries[name] = (version, value)
        self._entries.move_to_end(name)
        while len(self._entries) > MAX_VALUES:
            self._entries.popitem(last=False)
