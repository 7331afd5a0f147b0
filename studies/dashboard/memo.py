"""What follows from a study's rows, computed when it is first asked for after they have changed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")

KEPT = 48
"""Values at a time; the longest unused go first."""
MOMENT = 0.15
"""Seconds that an asker waits for the background: a small study's answer is there at once."""
REST = 9
"""The background computes a value anew after so many times what it took: a search wants the cores.
"""


class Memo:
    """Values by name, each of one version of the rows.

    Attributes:
        version: of the rows; whoever changes them raises it.
        arrived: how many values the background has delivered.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 0
        self.arrived = 0
        self._known: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self._computing: set[Hashable] = set()
        self._rested: dict[Hashable, float] = {}

    def once(self, name: Hashable, compute: Callable[[], Value]) -> Value:
        """The value of this version."""
        with self.lock:
            version, value = self._known.get(name, (-1, None))
            if version != self.version:
                value = compute()
                self._keep(name, self.version, value)
            else:
                self._known.move_to_end(name)
            return value  # type: ignore[no-any-return]

    def later(self, name: Hashable, compute: Callable[[], Value]) -> Value | None:
        """What was known last, None at first; computed in the background where that is old."""
        with self.lock:
            version, value = self._known.get(name, (-1, None))
            if version == self.version or name in self._computing:
                return value  # type: ignore[no-any-return]
            self._computing.add(name)
            rest = self._rested.get(name, 0.0) - time.monotonic()
        worker = threading.Thread(target=self._compute, args=(name, rest, compute), daemon=True)
        worker.start()
        worker.join(timeout=MOMENT)
        with self.lock:
            return self._known.get(name, (-1, None))[1]  # type: ignore[no-any-return]

    def _compute(self, name: Hashable, rest: float, compute: Callable[[], Any]) -> None:
        time.sleep(max(0.0, rest))
        began = time.monotonic()
        try:
            with self.lock:
                asked = self.version
            value = compute()
            with self.lock:
                self._keep(name, asked, value)
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
