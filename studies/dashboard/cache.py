"""What follows from a study's rows, computed when it is first asked for after they have changed.

Every value follows from some of the rows, and is computed anew when those have changed.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Literal, TypeVar

Value = TypeVar("Value")

KEPT = 48
"""Values at a time; the longest unused go first."""
MOMENT = 0.15
"""Seconds that the first asker waits for the background: a small study's answer is there at once.
"""
REST = 9
"""The background computes a value anew after so many times what it took: a search wants the cores.
"""


Rows = Literal["complete", "ended", "any"]
"""What a value follows from: complete trials, trials that have ended, or anything at all."""


class VersionedCache:
    """Values by name, each of one version of the rows that it follows from.

    Attributes:
        versions: of the rows; whoever changes them gives new numbers.
        arrived: how many values the background has delivered.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.versions: dict[Rows, int] = {"complete": 0, "ended": 0, "any": 0}
        self.arrived = 0
        self._known: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self._computing: set[Hashable] = set()
        self._rested: dict[Hashable, float] = {}

    def get(self, name: Hashable, compute: Callable[[], Value], of: Rows = "complete") -> Value:
        """The value of these rows."""
        with self.lock:
            version, value = self._known.get(name, (-1, None))
            if version != self.versions[of]:
                value = compute()
                self._keep(name, self.versions[of], value)
            else:
                self._known.move_to_end(name)
            return value  # type: ignore[no-any-return]

    def get_in_background(
        self, name: Hashable, compute: Callable[[], Value], of: Rows = "complete"
    ) -> Value | None:
        """What was known last, None at first; computed in the background where that is old."""
        with self.lock:
            version, value = self._known.get(name, (-1, None))
            if version == self.versions[of] or name in self._computing:
                return value  # type: ignore[no-any-return]
            self._computing.add(name)
            rest = self._rested.get(name, 0.0) - time.monotonic()
        given = (name, of, rest, compute)
        worker = threading.Thread(target=self._compute, args=given, daemon=True)
        worker.start()
        if version < 0:
            worker.join(timeout=MOMENT)
        with self.lock:
            return self._known.get(name, (-1, None))[1]  # type: ignore[no-any-return]

    def _compute(self, name: Hashable, of: Rows, rest: float, compute: Callable[[], Any]) -> None:
        time.sleep(max(0.0, rest))
        began = time.monotonic()
        try:
            with self.lock:
                version = self.versions[of]
            value = compute()
            with self.lock:
                self._keep(name, version, value)
                self.arrived += 1
        finally:
            ended = time.monotonic()
            with self.lock:
                self._rested[name] = ended + REST * (ended - began)
                self._computing.discard(name)

    def _keep(self, name: Hashable, version: int, value: Any) -> None:
        self._known[name] = (version, value)
        self._known.move_to_end(name)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
