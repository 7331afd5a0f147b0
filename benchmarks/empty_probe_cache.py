"""A probe cache for benchmarks that resolve a request without a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class EmptyProbeCache:
    """A probe cache that stays empty."""

    def get(self, _question: Mapping[str, str]) -> None:
        return None

    def put(self, _question: Mapping[str, str], _result: Mapping[str, Any]) -> None:
        pass
